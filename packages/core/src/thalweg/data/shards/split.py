"""A part of the samples in a set of shards: what is drawn at each read, in batches."""

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from thalweg.data.normalising import normalised
from thalweg.data.pixels import from_images
from thalweg.data.shards.header import ShardHeader, TensorSpec
from thalweg.data.shards.store import Arrays, ShardStore
from thalweg.facts import Normalisation
from thalweg.types import Batch, Condition, Text

_TEACHER = "teacher."
_CAPTIONS = ("text.tokens", "text.mask")
_AHEAD = 8  # shards opened in the background while one is read

Places = Int64[np.ndarray, " N"]


class ShardSplit:
    """Some samples of a set of shards, addressed by index.

    A latent is drawn from its posterior at each read, and so are which of the mirrored images and which of
    the captions it is, where there are any.

    Args:
        store: opens the shards.
        samples: the samples' numbers in the whole set, ascending.
        held: read all samples at the first read, keep them in memory, and never mirror them.
        normalisation: of the latents; None leaves them as they are.

    Attributes:
        blocks: how many of the samples are in each shard.
    """

    def __init__(
        self,
        store: ShardStore,
        samples: Int64[np.ndarray, " M"],
        *,
        held: bool = False,
        normalisation: Normalisation | None = None,
    ) -> None:
        self._store, self._header = store, store.index.header
        self._shards, self._rows = np.divmod(samples, store.index.shard_samples)
        self._flips = self._header.flips and not held
        self._normalisation = normalisation
        self._held, self._lock = held, threading.Lock()
        self._memory: Arrays | None = None
        counts = np.bincount(self._shards, minlength=len(store.index.shards))
        self.blocks: tuple[int, ...] = tuple(counts.tolist())

    def __len__(self) -> int:
        return len(self._shards)

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
        """Draws of the samples at these indices, in this order.

        Teachers' features stay in the type that they are stored in.

        Raises:
            IndexError: for an index outside the split.
            DataError: if a shard is missing or damaged.
        """
        places_N = self._places(indices)
        mirrored_N = np.zeros(len(places_N), dtype=bool)
        if self._flips:
            mirrored_N = torch.rand(len(places_N), generator=generator).numpy() < 0.5
        draws_N = None
        if self._header.text is not None:
            draws_N = torch.rand(len(places_N), generator=generator).numpy()
        arrays, order_N = self._read(places_N, mirrored_N, draws_N)
        stored = {name: torch.from_numpy(array) for name, array in arrays.items()}
        back_N = torch.from_numpy(np.argsort(order_N))
        clean_NCHW = self._clean(stored, torch.from_numpy(mirrored_N[order_N]), generator)[back_N]
        labels_N = stored["labels"][back_N] if "labels" in stored else None
        text = self._text(stored)
        condition = Condition(labels_N, None, None if text is None else text.each(lambda part: part[back_N]))
        features = {
            name.removeprefix(_TEACHER): part[back_N]
            for name, part in stored.items()
            if name.startswith(_TEACHER)
        }
        return Batch(clean_NCHW, condition, features)

    def upcoming(self, indices: Sequence[int]) -> None:
        """Open in the background the shards from which these samples will be read."""
        if not self._held:
            self._store.prepare(list(dict.fromkeys(self._shards[self._places(indices)].tolist())))

    def _read(
        self, places_N: Places, mirrored_N: Bool[np.ndarray, " N"], draws_N: Float[np.ndarray, " N"] | None
    ) -> tuple[Arrays, Places]:
        store, header = self._store, self._header
        if not self._held:
            shards_N, rows_N = self._shards[places_N], self._rows[places_N]
            return gather(store.open, header, shards_N, rows_N, mirrored_N, draws_N, prepare=store.prepare)
        with self._lock:
            if self._memory is None:
                upright = np.zeros(len(self), dtype=bool)
                # The samples ascend, so they come in the order requested.
                self._memory, _ = gather(
                    store.open, header, self._shards, self._rows, upright, prepare=store.prepare
                )
        memory = self._memory
        return gather(lambda _: memory, header, np.zeros_like(places_N), places_N, mirrored_N, draws_N)

    def _clean(
        self, stored: Mapping[str, Tensor], mirrored_N: Bool[Tensor, " N"], generator: torch.Generator
    ) -> Float[Tensor, "N C H W"]:
        if self._header.kind == "pixels":
            pixels_NCHW = stored["pixels"]
            if bool(mirrored_N.any()):
                pixels_NCHW[mirrored_N] = pixels_NCHW[mirrored_N].flip(-1)
            return from_images(pixels_NCHW)
        eps_NCHW = torch.randn(stored["mean"].shape, generator=generator)
        latents_NCHW = eps_NCHW.mul_(stored["std"]).add_(stored["mean"]).mul_(self._header.scale)
        return normalised(latents_NCHW, self._normalisation)

    def _text(self, stored: Mapping[str, Tensor]) -> Text | None:
        """The captions that were drawn, and the empty one where there is none."""
        empty = self._store.empty
        if empty is None:
            return None
        empty_tokens, empty_mask = (torch.from_numpy(empty[name].copy()) for name in ("tokens", "mask"))
        tokens_NLE, mask_NL = stored["text.tokens"].float(), stored["text.mask"]
        none_N = stored["text.count"] == 0
        tokens_NLE[none_N], mask_NL[none_N] = empty_tokens.float(), empty_mask
        return Text(tokens_NLE, mask_NL, empty_tokens.float(), empty_mask)

    def _places(self, indices: Sequence[int]) -> Places:
        places_N = np.asarray(indices, dtype=np.int64)
        if len(places_N) and not 0 <= int(places_N.min()) <= int(places_N.max()) < len(self):
            raise IndexError(f"there are {len(self)} samples; an index lies outside")
        return places_N


def gather(
    open_shard: Callable[[int], Arrays],
    header: ShardHeader,
    shards: Places,
    rows: Places,
    mirrored: Bool[np.ndarray, " N"],
    draws: Float[np.ndarray, " N"] | None = None,
    *,
    prepare: Callable[[list[int]], None] | None = None,
) -> tuple[Arrays, Places]:
    """Copy samples out of shards: one gather a shard and tensor, not one a sample.

    Copying in the order of the shards needs few calls, each without Python's lock; whoever needs the
    samples in the order requested puts the result right, which is often smaller.

    Args:
        open_shard: gives the tensors of one.
        header: what they hold.
        shards: where each sample is stored.
        rows: which one of that shard it is.
        mirrored: take what is stored of the mirrored image.
        draws: from [0, 1), which of its captions to take; None takes all.
        prepare: told which shards will be opened soon.

    Returns:
        Tensors by name, without ``_flipped``, the samples in front in the order in which the shards store
        them; and which of the samples requested each of these is.
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
    each, starts = np.unique(keys[order], return_index=True)
    stops = [*starts[1:].tolist(), len(keys)][: len(each)]
    runs = list(zip(each.tolist(), starts.tolist(), stops, strict=True))
    for place, (key, start, stop) in enumerate(runs):
        if prepare is not None:
            prepare([one // 2 for one, _, _ in runs[place + 1 : place + 1 + _AHEAD]])
        arrays = open_shard(key // 2)
        chosen = order[start:stop]
        for name, out in stored.items():
            twin = f"{name}_flipped"
            source = arrays[twin if key % 2 and twin in flippable else name]
            picks = rows[chosen]
            if draws is not None and name in _CAPTIONS:
                source, picks = _captions(source, picks, draws[chosen], arrays["text.count"])
            # "clip", since "raise" goes through a copy; rows come from the index and lie within.
            np.take(source, picks, axis=0, out=out[start:stop], mode="clip")
    return stored, order


def _captions(
    source: np.ndarray, rows: Places, draws: Float[np.ndarray, " N"], counts: np.ndarray
) -> tuple[np.ndarray, Places]:
    """Captions one after another, and which of them these rows' draws pick; the first if there is none."""
    drawn = np.minimum((draws * counts[rows]).astype(np.int64), np.maximum(counts[rows] - 1, 0))
    room = source.shape[1]
    return source.reshape(-1, *source.shape[2:]), rows * room + drawn
