"""What is computed of every image and stored in a shard."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Shaped
from torch import Tensor

from thalweg.encoding.images import ImageBatch
from thalweg.protocols import Autoencoder, Teacher


@runtime_checkable
class Columns(Protocol):
    """Makes one or several tensors of a batch; each becomes a tensor of the shard, one row an image."""

    def __call__(self, batch: ImageBatch) -> Mapping[str, Shaped[Tensor, "N *row"]]:
        """Tensors by their names in the shard, on any device."""
        ...


class Labels:
    """The images' classes."""

    def __call__(self, batch: ImageBatch) -> Mapping[str, Tensor]:
        """``labels``, where there are any."""
        return {} if batch.labels is None else {"labels": batch.labels}


class Pixels:
    """The images themselves, as bytes."""

    def __call__(self, batch: ImageBatch) -> Mapping[str, Tensor]:
        """``pixels``."""
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


class Seen:
    """What a frozen teacher sees.

    Args:
        teacher: on the device where it is to work.
        device: that device.
        grid: tokens per column and per row.
        flips: in the mirrored images too.
    """

    def __init__(self, teacher: Teacher, device: torch.device, grid: tuple[int, int], *, flips: bool) -> None:
        self._teacher, self._device, self._grid, self._flips = teacher, device, grid, flips

    def __call__(self, batch: ImageBatch) -> Mapping[str, Tensor]:
        """``teacher.NAME``, and of mirrored images ``teacher.NAME_flipped``, in float16."""
        images = batch.images.to(self._device, non_blocking=True)
        name = f"teacher.{self._teacher.name}"
        found = {name: self._teacher(images, self._grid).half()}
        if self._flips:
            found[f"{name}_flipped"] = self._teacher(images.flip(-1), self._grid).half()
        return found
