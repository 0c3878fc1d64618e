"""What all vision encoders here share: settings, resizing, normalisation, precision and identity."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import attrs
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from thalweg.config import secret_field, url_field
from thalweg.data.pixels import rgb, standardised
from thalweg.errors import ConfigError
from thalweg.files import sha256
from thalweg.machine import native_precision
from thalweg.naming import qualified
from thalweg.sampling import SamplingPrecision
from thalweg.storage import Location, MissingError
from thalweg.suggestions import one_line
from thalweg.types import Features
from thalweg_backbones.vision.resizing import PIL_BICUBIC, PIL_CROP, pil_bicubic

_RESIZE = "bicubic"  # of patch tokens
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of values in [0, 1]."""


@attrs.frozen(kw_only=True)
class EncoderConfig:
    """Settings of every encoder; each says to its users what they are."""

    storage_options: dict[str, Any] = secret_field()
    sha256: str = ""
    precision: SamplingPrecision = "auto"

    @property
    def name(self) -> str:
        """Under which patch tokens are stored."""
        raise NotImplementedError

    @property
    def described(self) -> Mapping[str, Any]:
        """Type and options that decide its features."""
        raise NotImplementedError

    @property
    def given(self) -> Location | None:
        """The file of weights, where the config says which.

        Raises:
            MissingError: it names weights that were not fetched.
        """
        raise NotImplementedError

    @property
    def patch_identity(self) -> Mapping[str, Any]:
        """What is known of patch tokens without loading it; ``sha256`` is how the weights' begins."""
        try:
            local = None if self.given is None else self.given.local
        except MissingError:  # weights that were not fetched: nothing is known of them
            local = None
        found = sha256(local) if local is not None and local.is_file() else ""
        known = found if found.startswith(self.sha256) else self.sha256
        return {**self.described, "resize": _RESIZE, "sha256": known}


@attrs.frozen(kw_only=True)
class FileEncoderConfig(EncoderConfig):
    """Settings of an encoder whose weights are a file."""

    weights: str = url_field(default="")

    @property
    def given(self) -> Location | None:
        """The file that is named, if one is."""
        return Location(self.weights, self.storage_options) if self.weights else None

    @property
    def usual(self) -> Location:
        """Where the file is by default."""
        raise NotImplementedError

    @property
    def place(self) -> Location:
        """Where the file is."""
        return self.given or self.usual


class FrozenEncoder(nn.Module):
    """A vision encoder in evaluation mode, without gradients.

    Fulfils :class:`thalweg.protocols.PooledEncoder` and :class:`thalweg.protocols.PatchEncoder`. Subclasses
    state how normalised images become pooled features and a map of features.

    For pooled features images are resized as protocols of evaluation do: by Pillow, bicubic, to ``side``. For
    patch tokens they are resized so that each patch falls on one token of the backbone: bicubic, in floating
    point and without antialiasing, as REPA does it.

    Args:
        config: that it is built from.
        model: the network.
        sha256: of its weights.
        title: what its pooled features are called beside a number.
        label: what numbers in its pooled features end in, as in ``fd_dinov2``.
        width: F, of a patch token.
        patch: edge in pixels of what one token stands for; 0 for an encoder without patch tokens.
        side: edge in pixels of images for pooled features.
        normalisation: of images.
        described: type and options that decide its pooled features, where these are not the config's.
    """

    mean: Tensor
    std: Tensor
    offers: frozenset[str] = frozenset({"pooled", "patches"})
    crop: ClassVar[bool] = False

    def __init__(
        self,
        config: EncoderConfig,
        model: nn.Module,
        sha256: str,
        *,
        title: str,
        label: str,
        width: int,
        patch: int,
        side: int,
        normalisation: Normalisation,
        described: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.title, self.label = config.name, title, label
        self.width, self.patch, self._side = width, patch, side
        self.model: Any = model
        self._precision = config.precision
        self.identity = {
            **(config.described if described is None else described),
            "weights": sha256,
            "resize": (PIL_CROP if self.crop else PIL_BICUBIC).format(side=side),
            "precision": "float32",
        }
        self._patch_identity = {**config.described, "resize": _RESIZE, "sha256": sha256}
        for key, values in zip(("mean", "std"), normalisation, strict=True):
            self.register_buffer(key, torch.tensor(values)[:, None, None])
        self.eval().requires_grad_(False)

    @property
    def patch_identity(self) -> Mapping[str, Any]:
        """What decides patch tokens, with the precision on the device that it is on."""
        return {**self._patch_identity, "precision": self._resolved()}

    def number_name(self, number: str) -> str:
        """``fd_dinov2`` and its like."""
        return qualified(number, self.label)

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "N channels height width"]) -> Features:
        """Pooled features, and logits where it offers them, in float32 on the CPU.

        Raises:
            DataError: for anything but bytes of 1 or 3 channels.
        """
        x_N3HW = pil_bicubic(images, self._side, crop=self.crop).to(self.mean.device).float() / 255
        pooled_NF, logits_NK = self._pooled(standardised(x_N3HW, self.mean, self.std))
        return Features(
            pooled=pooled_NF.float().cpu(), logits=None if logits_NK is None else logits_NK.float().cpu()
        )

    @torch.no_grad()
    def patch_tokens(
        self, images: UInt8[Tensor, "N channels height width"], grid: tuple[int, int]
    ) -> Float[Tensor, "N T F"]:
        """Patch tokens, row by row, in float32.

        Raises:
            ConfigError: if no size of image gives that grid.
            DataError: for anything but bytes of 1 or 3 channels.
        """
        size = (grid[0] * self.patch, grid[1] * self.patch)
        x_N3HW = rgb(images).to(self.mean.device).float() / 255
        if x_N3HW.shape[2:] != size:
            x_N3HW = functional.interpolate(x_N3HW, size, mode=_RESIZE)
        with self._autocast():
            found_NhwF = self._tried(standardised(x_N3HW, self.mean, self.std), grid)
        if found_NhwF.shape[1:] != (*grid, self.width):
            raise self._unfit(grid, f"it gives {' x '.join(map(str, found_NhwF.shape[1:3]))}")
        found_NTF: Tensor = found_NhwF.flatten(1, 2).float()
        return found_NTF

    def _pooled(self, x_N3HW: Tensor) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N K"] | None]:
        """Pooled features of normalised images, and their logits if it is a classifier."""
        raise NotImplementedError

    def _map(self, x_N3HW: Tensor) -> Float[Tensor, "N h w F"]:
        """A feature for each patch of normalised images."""
        raise NotImplementedError

    def _tried(self, x_N3HW: Tensor, grid: tuple[int, int]) -> Float[Tensor, "N h w F"]:
        try:
            return self._map(x_N3HW)
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, ValueError, RuntimeError) as error:  # networks that take one size alone
            raise self._unfit(grid, one_line(error)) from error

    def _unfit(self, grid: tuple[int, int], why: str) -> ConfigError:
        height, width = grid
        return ConfigError(
            f"the vision encoder {self.name} has no grid of {height} x {width} tokens, for which it is shown "
            f"images of {height * self.patch} x {width * self.patch} pixels ({why}); choose another encoder "
            "or patch"
        )

    def _resolved(self) -> str:
        return native_precision(self.mean.device.type) if self._precision == "auto" else self._precision

    def _autocast(self) -> AbstractContextManager[object]:
        if not torch.amp.is_autocast_available(self.mean.device.type):
            return nullcontext()
        mixed = self._resolved() == "bf16-mixed"
        return torch.autocast(self.mean.device.type, torch.bfloat16, enabled=mixed)


def as_map(tokens: Float[Tensor, "N T F"], x_N3HW: Tensor, patch: int) -> Float[Tensor, "N h w F"]:
    """Patch tokens of these images as a map.

    Raises:
        RuntimeError: if there are not as many as patches.
    """
    found_NhwF: Tensor = tokens.unflatten(1, (x_N3HW.shape[2] // patch, x_N3HW.shape[3] // patch))
    return found_NhwF
