"""The autoencoder whose latents SiT, REPA and DeepFlow are trained on."""

from typing import Any, ClassVar, get_args

import attrs
import torch
from attrs.validators import gt, in_, optional

from thalweg.config import secret_field, url_field
from thalweg.data.pixels import Rounding
from thalweg.errors import ConfigError
from thalweg.sampling import SamplingPrecision
from thalweg.storage import Location
from thalweg_backbones.autoencoder.kl_autoencoder import KLAutoencoder
from thalweg_backbones.autoencoder.loading import Weights, load_weights, read_weights

_SCALE, _FACTOR, _CHANNELS = 0.18215, 8, 4  # of Stable Diffusion 1


@attrs.frozen
class SDVAEConfig:
    """The autoencoder of Stable Diffusion (AutoencoderKL): 8 pixels a side to one of 4 channels.

    Read are folders of diffusers and checkpoints of latent-diffusion's code, also a whole one of Stable
    Diffusion; other sizes, attention at any level, and those of Stable Diffusion 3 and Flux, of 16 channels,
    with a shift and without convolutions around the latents, as well.

    Attributes:
        weights: the folder with config.json and diffusion_pytorch_model.safetensors, or a file alone
            (``.safetensors``, ``.ckpt``, ``.pt``), of which EMA weights are taken if it has any; a path, a
            URL or ``weights:NAME``; by default the fetched ``weights:sd-vae-ft-ema``.
        storage_options: what its storage needs, such as keys; never written anywhere.
        scale: factor that brings latents to unit variance; None: what config.json or the checkpoint states,
            else 0.18215 for 4 channels of 8 pixels a side.
        shift: what is subtracted from latents before that; None: what config.json states, else 0.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former
            where the device computes in bfloat16 itself.
        rounding: of decoded images to bytes: nearest, as SiT has it, or down, as REPA and DeepFlow do.
    """

    _name: ClassVar[str] = "sd-vae"

    weights: str = url_field(default="weights:sd-vae-ft-ema")
    storage_options: dict[str, Any] = secret_field()
    scale: float | None = attrs.field(default=None, validator=optional(gt(0.0)))
    shift: float | None = None
    precision: SamplingPrecision = "auto"
    rounding: Rounding = attrs.field(default="nearest", validator=in_(get_args(Rounding)))

    def build(self) -> KLAutoencoder:
        """Read the weights; the module is on the CPU.

        Raises:
            DataError: if they are missing, damaged or of another layout.
            ConfigError: if nothing states the scale of their latents.
        """
        weights = read_weights(Location(self.weights, self.storage_options))
        # On the meta device nothing is drawn that the weights would replace.
        with torch.device("meta"):
            autoencoder = KLAutoencoder(
                self._name,
                weights.architecture,
                scale=self.scale or weights.scaling or _assumed_scale(weights),
                shift=(weights.shift or 0.0) if self.shift is None else self.shift,
                sha256=weights.sha256,
                precision=self.precision,
                rounding=self.rounding,
            )
        load_weights(autoencoder, weights)
        return autoencoder.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def _assumed_scale(weights: Weights) -> float:
    sizes = weights.architecture
    if (sizes.factor, sizes.latent_channels) == (_FACTOR, _CHANNELS):
        return _SCALE
    raise ConfigError(
        f"nothing states the scale of the latents of {weights.where}, {sizes.latent_channels} channels of "
        f"{sizes.factor} pixels a side; set the autoencoder's scale to the factor that brings them to unit "
        "variance, 1 for none"
    )
