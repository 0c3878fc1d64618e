"""A part of the samples in a set of shards: what is drawn at each read, in batches."""

import threading
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from thalweg.data.pixels import from_images
from thalweg.data.shards.gathering import Gathered, Places, gather
from thalweg.data.shards.store import Arrays, ShardStore
from thalweg.types import Batch, Condition, Text

_TEACHER = "teacher."


@attrs.frozen(eq=False)
class _Memory:
    """One shard, in memory."""

    arrays: Mapping[str, np.ndarray]

    def open(self, _: int) -> Arrays:
        return self.arrays

    def prepare(self, _: Sequence[int]) -> None:
        pass


class ShardSplit:
    """Some samples of a set of shards, addressed by index.

    A latent is drawn from its posterior at each read, and so are which of the mirrored images and which of
    the captions it is, where there are any.

    Args:
        store: opens the shards.
        samples: the samples' numbers in the whole set, ascending.
        empty: the encoder's empty caption, if there is text.
        held: read all samples at the first read, keep them in memory, and never mirror them.

    Attributes:
        blocks: how many of the samples lie in each shard.
    """

    def __init__(
        self, store: ShardStore, samples: Int64[np.ndarray, " M"], empty: Arrays | None, *, held: bool = False
    ) -> None:
        self._store, self._header, self._empty = store, store.index.header, empty
        self._shards, self._rows = np.divmod(samples, store.index.shard_samples)
        self._flips = self._header.flips and not held
        self._held, self._lock = held, threading.Lock()
        self._memory: _Memory | None = None
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
        draws_N = torch.rand(len(places_N), generator=generator).numpy() if self._empty is not None else None
        read = self._read(places_N, mirrored_N, draws_N)
        back_N = torch.from_numpy(read.back)
        clean_NCHW = self._clean(read, mirrored_N, generator)[back_N]
        stored = {name: torch.from_numpy(array) for name, array in read.stored.items()}
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
    ) -> Gathered:
        if not self._held:
            shards_N, rows_N = self._shards[places_N], self._rows[places_N]
            return gather(self._store, self._header, shards_N, rows_N, mirrored_N, draws_N)
        with self._lock:
            if self._memory is None:
                upright = np.zeros(len(self), dtype=bool)
                # The samples ascend, so they come in the order asked for.
                whole = gather(self._store, self._header, self._shards, self._rows, upright)
                self._memory = _Memory(whole.stored)
        return gather(self._memory, self._header, np.zeros_like(places_N), places_N, mirrored_N, draws_N)

    def _clean(
        self, read: Gathered, mirrored_N: np.ndarray, generator: torch.Generator
    ) -> Float[Tensor, "N C H W"]:
        stored = read.stored
        if self._header.kind == "pixels":
            pixels_NCHW = torch.from_numpy(stored["pixels"])
            turned_N = torch.from_numpy(mirrored_N[read.order])
            if bool(turned_N.any()):
                pixels_NCHW[turned_N] = pixels_NCHW[turned_N].flip(-1)
            return from_images(pixels_NCHW)
        eps_NCHW = torch.randn(stored["mean"].shape, generator=generator)
        clean_NCHW = eps_NCHW.mul_(torch.from_numpy(stored["std"])).add_(torch.from_numpy(stored["mean"]))
        return clean_NCHW.mul_(self._header.scale)

    def _text(self, stored: Mapping[str, Tensor]) -> Text | None:
        """The captions that were drawn, and the empty one where there is none."""
        if self._empty is None:
            return None
        empty_tokens, empty_mask = (torch.from_numpy(self._empty[name].copy()) for name in ("tokens", "mask"))
        tokens_NLE, mask_NL, none_N = (
            stored["text.tokens"].float(),
            stored["text.mask"],
            stored["text.count"] == 0,
        )
        tokens_NLE[none_N], mask_NL[none_N] = empty_tokens.float(), empty_mask
        return Text(tokens_NLE, mask_NL, empty_tokens.float(), empty_mask)

    def _places(self, indices: Sequence[int]) -> Places:
        places_N = np.asarray(indices, dtype=np.int64)
        if len(places_N) and not 0 <= int(places_N.min()) <= int(places_N.max()) < len(self):
            raise IndexError(f"there are {len(self)} samples; an index lies outside")
        return places_N
