"""Backbones for Thalweg, autoencoders, and importers of released weights.

Names are looked up when they are first used: plugins load without torch.
"""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg_backbones.autoencoder.kl_autoencoder import KLAutoencoder as KLAutoencoder
    from thalweg_backbones.autoencoder.sd_vae import SDVAEConfig as SDVAEConfig
    from thalweg_backbones.autoencoder.va_vae import VAVAEConfig as VAVAEConfig
    from thalweg_backbones.dit import DiT as DiT
    from thalweg_backbones.dit import DiTConfig as DiTConfig
    from thalweg_backbones.exporters.exporting import export_network as export_network
    from thalweg_backbones.foreign.checkpoints import read_foreign as read_foreign
    from thalweg_backbones.foreign.dcp import read_dcp as read_dcp
    from thalweg_backbones.foreign.diffusers_folder import read_diffusers as read_diffusers
    from thalweg_backbones.importers.importing import import_weights as import_weights
    from thalweg_backbones.lightningdit import LightningDiT as LightningDiT
    from thalweg_backbones.lightningdit import LightningDiTConfig as LightningDiTConfig
    from thalweg_backbones.mlp import MLPBackbone as MLPBackbone
    from thalweg_backbones.mlp import MLPConfig as MLPConfig
    from thalweg_backbones.mmdit import MMDiT as MMDiT
    from thalweg_backbones.mmdit import MMDiTConfig as MMDiTConfig

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "thalweg_backbones.exporters.exporting": "export_network",
        "thalweg_backbones.foreign.checkpoints": "read_foreign",
        "thalweg_backbones.foreign.dcp": "read_dcp",
        "thalweg_backbones.foreign.diffusers_folder": "read_diffusers",
        "thalweg_backbones.autoencoder.kl_autoencoder": "KLAutoencoder",
        "thalweg_backbones.autoencoder.sd_vae": "SDVAEConfig",
        "thalweg_backbones.autoencoder.va_vae": "VAVAEConfig",
        "thalweg_backbones.dit": "DiT DiTConfig",
        "thalweg_backbones.importers.importing": "import_weights",
        "thalweg_backbones.lightningdit": "LightningDiT LightningDiTConfig",
        "thalweg_backbones.mlp": "MLPBackbone MLPConfig",
        "thalweg_backbones.mmdit": "MMDiT MMDiTConfig",
    },
)
