"""The autoencoder whose latents SiT, REPA and DeepFlow are trained on."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, get_args

import attrs
import torch
from attrs.validators import gt, in_, optional
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from thalweg.config import secret_field, url_field
from thalweg.data.pixels import Rounding, from_images, to_images
from thalweg.errors import ConfigError, DataError
from thalweg.machine import native_precision
from thalweg.sampling import SamplingPrecision
from thalweg.storage import Location
from thalweg_backbones.autoencoder.architecture import Architecture
from thalweg_backbones.autoencoder.decoder import Decoder
from thalweg_backbones.autoencoder.encoder import Encoder
from thalweg_backbones.autoencoder.loading import read_weights

_SCALE = 0.18215  # of Stable Diffusion 1, where no settings state another
_LOG_VARIANCE = (-30.0, 20.0)
_SHOWN = 3


@attrs.frozen
class SDVAEConfig:
    """The autoencoder of Stable Diffusion (diffusers' AutoencoderKL): 8 pixels a side to one of 4 channels.

    Those of Stable Diffusion 3 and Flux, of 16 channels, with a shift and without convolutions around the
    latents, are read as well.

    Attributes:
        weights: the folder with config.json and diffusion_pytorch_model.safetensors, or that file alone;
            a path, a URL or ``weights:NAME``; by default the fetched ``weights:sd-vae-ft-ema``.
        storage_options: what its storage needs, such as keys; never written anywhere.
        scale: factor that brings latents to unit variance; None: what config.json states, else 0.18215.
        shift: what is subtracted from latents before that; None: what config.json states, else 0.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former
            where the device computes in bfloat16 itself.
        rounding: of decoded images to bytes: nearest, as SiT has it, or down, as REPA and DeepFlow do.
    """

    weights: str = url_field(default="weights:sd-vae-ft-ema")
    storage_options: dict[str, Any] = secret_field()
    scale: float | None = attrs.field(default=None, validator=optional(gt(0.0)))
    shift: float | None = None
    precision: SamplingPrecision = "auto"
    rounding: Rounding = attrs.field(default="nearest", validator=in_(get_args(Rounding)))

    def build(self) -> "SDVAE":
        """Read the weights; the module is on the CPU.

        Raises:
            DataError: if they are missing, damaged or of another layout.
        """
        weights = read_weights(Location(self.weights, self.storage_options))
        # On the meta device nothing is drawn that the weights would replace.
        with torch.device("meta"):
            autoencoder = SDVAE(
                weights.architecture,
                scale=self.scale or weights.scaling or _SCALE,
                shift=(weights.shift or 0.0) if self.shift is None else self.shift,
                sha256=weights.sha256,
                precision=self.precision,
                rounding=self.rounding,
            )
        _check(autoencoder, weights.tensors, weights.where)
        autoencoder.load_state_dict(weights.tensors, assign=True)
        return autoencoder.requires_grad_(False).eval().to(memory_format=torch.channels_last)


class SDVAE(nn.Module):
    """Encoder, decoder and the 1x1 convolutions around the latents.

    Args:
        architecture: the sizes.
        scale: factor that brings latents to unit variance.
        shift: what is subtracted from them before.
        sha256: of the file of weights.
        precision: as the config has it.
        rounding: as the config has it.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        scale: float,
        shift: float = 0.0,
        sha256: str,
        precision: SamplingPrecision,
        rounding: Rounding,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.scale, self._shift = scale, shift
        self._sha256, self._precision, self._rounding = sha256, precision, rounding
        channels = architecture.latent_channels
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1) if architecture.quant_conv else None
        self.post_quant_conv = nn.Conv2d(channels, channels, 1) if architecture.post_quant_conv else None

    @property
    def identity(self) -> Mapping[str, Any]:
        """Type, SHA-256 of the weights' file, precision on the device that it is on, rounding, and the shift
        where there is one."""
        found = {
            "type": "sd-vae",
            "sha256": self._sha256,
            "precision": self._resolved(),
            "rounding": self._rounding,
        }
        return {**found, "shift": self._shift} if self._shift else found

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The latents' shape for images of this one.

        Raises:
            ConfigError: if a side is no multiple of 8, or there are not 3 channels.
        """
        sizes, factor = self.architecture, self.architecture.factor
        if channels != sizes.channels:
            raise ConfigError(
                f"sd-vae takes images of {sizes.channels} channels, not {channels}; convert the images"
            )
        if height < 1 or width < 1 or height % factor or width % factor:
            raise ConfigError(
                f"sd-vae cannot encode {height}x{width} images, whose sides must be multiples of {factor}; "
                "choose another size"
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


def _check(autoencoder: SDVAE, tensors: Mapping[str, Tensor], where: str) -> None:
    """Name the first differences, if there are any."""
    ours = {name: tuple(tensor.shape) for name, tensor in autoencoder.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    faults = [f"'{name}' is missing" for name in ours if name not in theirs]
    faults += [f"'{name}' is not known" for name in theirs if name not in ours]
    faults += [
        f"'{name}' has shape {theirs[name]}, not {shape}"
        for name, shape in ours.items()
        if theirs.get(name, shape) != shape
    ]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(
            f"{where} does not fit the autoencoder of Stable Diffusion: {'; '.join(faults[:_SHOWN])}{more}; "
            "give the weights of one"
        )
