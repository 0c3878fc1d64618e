"""Reading samples out of shards: one gather a shard and tensor, not one a sample."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import attrs
import numpy as np
from jaxtyping import Bool, Float, Int64

from thalweg.data.shards.header import ShardHeader, TensorSpec
from thalweg.data.shards.store import Arrays

_CAPTIONS = ("text.tokens", "text.mask")
_AHEAD = 8  # shards opened in the background while one is read

Places = Int64[np.ndarray, " N"]


@runtime_checkable
class Opener(Protocol):
    """What opens shards."""

    def open(self, number: int) -> Arrays:
        """The tensors of one."""
        ...

    def prepare(self, numbers: Sequence[int]) -> None:
        """Some will be needed soon."""
        ...


@attrs.frozen(eq=False)
class Gathered:
    """Samples as stored, in the order in which they lie in the shards.

    Attributes:
        stored: tensors by name, without ``_flipped``, the samples in front.
        order: which of the samples asked for each of these is.
        back: which of these is each of the samples asked for.
    """

    stored: Mapping[str, np.ndarray]
    order: Places
    back: Places


def gather(
    opener: Opener,
    header: ShardHeader,
    shards: Places,
    rows: Places,
    mirrored: Bool[np.ndarray, " N"],
    draws: Float[np.ndarray, " N"] | None = None,
) -> Gathered:
    """Copy samples out of shards.

    Copying in the order of the shards needs few calls, each without Python's lock; whoever needs the
    samples in the order asked for puts the result right, which is often smaller.

    Args:
        opener: opens the shards.
        header: what they hold.
        shards: where each sample lies.
        rows: which one of that shard it is.
        mirrored: take what is stored of the mirrored image.
        draws: from [0, 1), which of its captions to take; None takes all.
    """
    tensors = header.tensors()
    flippable = {name for name in tensors if name.endswith("_flipped")}
    wanted = {name: spec for name, spec in tensors.items() if name not in flippable}
    if draws is not None:
        wanted |= {name: TensorSpec(wanted[name].dtype, wanted[name].shape[1:]) for name in _CAPTIONS}
    keys = shards * 2 + mirrored
    order = np.argsort(keys, kind="stable")
    # numpy's own memory is used again for the next batch, which fresh pages from the system would not be.
    stored = {name: np.empty((len(keys), *spec.shape), spec.dtype) for name, spec in wanted.items()}
    runs = list(_runs(keys[order]))
    for place, (key, start, stop) in enumerate(runs):
        opener.prepare([one // 2 for one, _, _ in runs[place + 1 : place + 1 + _AHEAD]])
        arrays = opener.open(key // 2)
        chosen = order[start:stop]
        for name, out in stored.items():
            twin = f"{name}_flipped"
            source = arrays[twin if key % 2 and twin in flippable else name]
            picks = rows[chosen]
            if draws is not None and name in _CAPTIONS:
                source, picks = _captions(source, picks, draws[chosen], arrays["text.count"])
            # "clip", since "raise" goes through a copy; rows come from the index and lie within.
            np.take(source, picks, axis=0, out=out[start:stop], mode="clip")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return Gathered(stored, order, back)


def _captions(
    source: np.ndarray, rows: Places, draws: Float[np.ndarray, " N"], counts: np.ndarray
) -> tuple[np.ndarray, Places]:
    """Captions one after another, and which of them these rows' draws pick; the first if there is none."""
    drawn = np.minimum((draws * counts[rows]).astype(np.int64), np.maximum(counts[rows] - 1, 0))
    room = source.shape[1]
    return source.reshape(-1, *source.shape[2:]), rows * room + drawn


def _runs(keys: Places) -> Iterator[tuple[int, int, int]]:
    """Each key of a sorted row, where it begins and where it ends."""
    starts = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist()] if len(keys) else []
    for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True):
        yield int(keys[start]), start, stop
