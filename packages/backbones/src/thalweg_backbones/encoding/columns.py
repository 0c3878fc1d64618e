"""What is computed of every image and stored in a shard."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor

from thalweg.data.shards import TextHeader
from thalweg.protocols import Autoencoder, PatchEncoder, TextEncoder
from thalweg_backbones.encoding.batches import ImageBatch

Columns = Callable[[ImageBatch], Mapping[str, Shaped[Tensor, "N *row"]]]
"""Makes one or several tensors of a batch, by their names in the shard, on any device; each becomes a
tensor of the shard, one row an image."""


def labels(batch: ImageBatch) -> Mapping[str, Tensor]:
    """The images' classes: ``labels``, where there are any."""
    return {} if batch.labels is None else {"labels": batch.labels}


def pixels(batch: ImageBatch) -> Mapping[str, Tensor]:
    """The images themselves, as bytes: ``pixels``."""
    return {"pixels": batch.images}


class Posteriors:
    """An autoencoder's posteriors.

    Args:
        autoencoder: on the device where it is to work.
        device: that device.
        flips: of the mirrored images too.
        dtype: in which they are stored.
    """

    def __init__(
        self, autoencoder: Autoencoder, device: torch.device, *, flips: bool, dtype: torch.dtype
    ) -> None:
        self._autoencoder, self._device, self._dtype = autoencoder, device, dtype
        self._views: dict[str, Callable[[Tensor], Tensor]] = {"": lambda images: images}
        if flips:
            self._views["_flipped"] = lambda images: images.flip(-1)

    def __call__(self, batch: ImageBatch) -> Mapping[str, Tensor]:
        """``mean`` and ``std``; of mirrored images ``mean_flipped`` and ``std_flipped``."""
        images = batch.images.to(self._device, non_blocking=True)
        found: dict[str, Tensor] = {}
        for name, view in self._views.items():
            mean, std = self._autoencoder.encode(view(images))
            found[f"mean{name}"] = mean.to(self._dtype)
            # One without spread is a posterior that is certain.
            found[f"std{name}"] = (
                torch.zeros_like(found[f"mean{name}"]) if std is None else std.to(self._dtype)
            )
        return found


class CaptionColumns:
    """Encoded captions, as many of each image as there is room for.

    Args:
        encoder: on the device where it is to work.
        header: what the shards hold of them.

    Attributes:
        cut: how many were too long so far, and lost their end.
    """

    def __init__(self, encoder: TextEncoder, header: TextHeader) -> None:
        self._encoder, self._header = encoder, header
        self.cut = 0

    def __call__(self, batch: ImageBatch) -> Mapping[str, Tensor]:
        """``text.tokens``, ``text.mask`` and ``text.count``."""
        header, count = self._header, len(batch.keys)
        dtype = getattr(torch, header.dtype)
        tokens_NSLE = torch.zeros(count, header.captions, header.length, header.width, dtype=dtype)
        mask_NSL = torch.zeros(count, header.captions, header.length, dtype=torch.bool)
        given = [
            (row, place, one) for row, some in enumerate(batch.captions) for place, one in enumerate(some)
        ]
        if given:
            rows, places = (torch.tensor([one[part] for one in given]) for part in (0, 1))
            encoded = self._encoder([one[2] for one in given])
            self.cut += encoded.cut
            tokens_NSLE[rows, places] = encoded.tokens.to("cpu", dtype)
            mask_NSL[rows, places] = encoded.mask.cpu()
        counts_N = torch.tensor([len(some) for some in batch.captions])
        return {"text.tokens": tokens_NSLE, "text.mask": mask_NSL, "text.count": counts_N}


class PatchTokens:
    """Patch tokens of a frozen teacher.

    Args:
        teacher: on the device where it is to work.
        device: that device.
        grid: tokens per column and per row.
        flips: in the mirrored images too.
    """

    def __init__(
        self, teacher: PatchEncoder, device: torch.device, grid: tuple[int, int], *, flips: bool
    ) -> None:
        self._teacher, self._device, self._grid, self._flips = teacher, device, grid, flips

    def __call__(self, batch: ImageBatch) -> Mapping[str, Tensor]:
        """``teacher.NAME``, and of mirrored images ``teacher.NAME_flipped``, in float16."""
        images = batch.images.to(self._device, non_blocking=True)
        name = f"teacher.{self._teacher.name}"
        found = {name: self._teacher.patch_tokens(images, self._grid).half()}
        if self._flips:
            found[f"{name}_flipped"] = self._teacher.patch_tokens(images.flip(-1), self._grid).half()
        return found
