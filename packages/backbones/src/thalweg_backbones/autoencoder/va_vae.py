"""The autoencoder whose latents LightningDiT is trained on."""

import attrs
from attrs.validators import gt

from thalweg.config import url_field
from thalweg_backbones.autoencoder.sd_vae import SDVAEConfig


@attrs.frozen
class VAVAEConfig(SDVAEConfig):
    """VA-VAE (Yao et al. 2025): 16 pixels a side to one of 32 channels, aligned with DINOv2 in training.

    It is built and read as ``sd-vae`` is. Its latents have no scale: they are normalised channel by channel
    by the data set, and a network records with what.

    Attributes:
        weights: a checkpoint of latent-diffusion's code, or whatever ``sd-vae`` reads; by default the fetched
            ``weights:va-vae-f16d32``.
        storage_options: what its storage needs, such as keys; never written anywhere.
        scale: factor that latents are multiplied by.
        shift: what is subtracted from latents before that; None: what config.json states, else 0.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former
            where the device computes in bfloat16 itself.
        rounding: of decoded images to bytes: nearest or down.
    """

    _name = "va-vae"

    weights: str = url_field(default="weights:va-vae-f16d32")
    scale: float = attrs.field(default=1.0, validator=gt(0.0))
