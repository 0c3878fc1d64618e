"""The autoencoder of latent diffusion, regularised by a Kullback-Leibler divergence."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from thalweg.data.pixels import Rounding, from_images, to_images
from thalweg.errors import ConfigError
from thalweg.machine import native_precision
from thalweg.sampling import SamplingPrecision
from thalweg_backbones.autoencoder.architecture import Architecture
from thalweg_backbones.autoencoder.decoder import Decoder
from thalweg_backbones.autoencoder.encoder import Encoder

_LOG_VARIANCE = (-30.0, 20.0)


class KLAutoencoder(nn.Module):
    """Encoder, decoder and the 1x1 convolutions around the latents (Rombach et al. 2022, section 3.1).

    Args:
        name: of the component, for its identity and for messages.
        architecture: the sizes.
        scale: factor that brings latents to unit variance.
        shift: what is subtracted from them before.
        sha256: of the file of weights.
        precision: as the config has it.
        rounding: as the config has it.
    """

    def __init__(
        self,
        name: str,
        architecture: Architecture,
        *,
        scale: float,
        shift: float = 0.0,
        sha256: str,
        precision: SamplingPrecision,
        rounding: Rounding,
    ) -> None:
        super().__init__()
        self._name, self.architecture = name, architecture
        self.scale, self._shift = scale, shift
        self._sha256, self._precision, self._rounding = sha256, precision, rounding
        channels, inner = architecture.latent_channels, architecture.inner_channels
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)
        self.quant_conv = nn.Conv2d(2 * inner, 2 * channels, 1) if architecture.quant_conv else None
        self.post_quant_conv = nn.Conv2d(channels, inner, 1) if architecture.post_quant_conv else None

    @property
    def identity(self) -> Mapping[str, Any]:
        """Type, SHA-256 of the weights' file, precision on the device that it is on, rounding, and the shift
        where there is one."""
        found = {
            "type": self._name,
            "sha256": self._sha256,
            "precision": self._resolved(),
            "rounding": self._rounding,
        }
        return {**found, "shift": self._shift} if self._shift else found

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The latents' shape for images of this one.

        Raises:
            ConfigError: if a side is no multiple of its factor, or there are not 3 channels.
        """
        sizes, factor = self.architecture, self.architecture.factor
        if channels != sizes.channels:
            raise ConfigError(
                f"{self._name} takes images of {sizes.channels} channels, not {channels}; convert the images"
            )
        if height < 1 or width < 1 or height % factor or width % factor:
            raise ConfigError(
                f"{self._name} cannot encode {height}x{width} images, whose sides must be multiples of "
                f"{factor}; choose another size"
            )
        return (sizes.latent_channels, height // factor, width // factor)

    @torch.inference_mode()
    def encode(
        self, images: UInt8[Tensor, "N channels height width"]
    ) -> tuple[Float[Tensor, "N C H W"], Float[Tensor, "N C H W"]]:
        """Mean, less the shift, and standard deviation of the posterior in float32, before ``scale``.

        Raises:
            ConfigError: if images of this shape cannot be encoded.
        """
        self.shape(*images.shape[1:])
        pixels = from_images(images.to(self._device)).contiguous(memory_format=torch.channels_last)
        with self._autocast():
            moments = self.encoder(pixels)
            moments = moments if self.quant_conv is None else self.quant_conv(moments)
        mean, log_variance = moments.float().chunk(2, dim=1)
        return mean - self._shift, (0.5 * log_variance.clamp(*_LOG_VARIANCE)).exp()

    @torch.inference_mode()
    def decode(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N channels height width"]:
        """Images of samples as the network gives them, that is after ``scale``.

        Raises:
            ThalwegError: if a sample is not finite.
        """
        latents = x.to(self._device, torch.float32) / self.scale + self._shift
        latents = latents.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            latents = latents if self.post_quant_conv is None else self.post_quant_conv(latents)
            images = self.decoder(latents)
        return to_images(images.float(), self._rounding)

    @property
    def _device(self) -> torch.device:
        return self.encoder.conv_in.weight.device

    def _resolved(self) -> str:
        return native_precision(self._device.type) if self._precision == "auto" else self._precision

    def _autocast(self) -> AbstractContextManager[object]:
        if self._resolved() == "32-true":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)
