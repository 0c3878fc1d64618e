"""Weights of small autoencoders, laid out as the published ones."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from thalweg_backbones.autoencoder.architecture import Architecture
from thalweg_backbones.autoencoder.kl_autoencoder import KLAutoencoder

SMALL = Architecture(channels=3, latent_channels=4, widths=(8, 16), residuals=1, groups=4)


def sd_vae_tensors(sizes: Architecture = SMALL, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of a small sd-vae that halves images once."""
    with torch.device("meta"):
        shapes = KLAutoencoder(
            "sd-vae", sizes, scale=1.0, sha256="", precision="32-true", rounding="nearest"
        ).state_dict()
    draws = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(one.shape, generator=draws) * 0.1 + float("norm" in name and "weight" in name))
        for name, one in shapes.items()
    }


def write_sd_vae(folder: Path, seed: int = 0, **settings: Any) -> Path:
    """A folder of them, as diffusers lays it out."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(sd_vae_tensors(seed=seed), folder / "diffusion_pytorch_model.safetensors")
    stated = {"_class_name": "AutoencoderKL", "norm_num_groups": SMALL.groups, **settings}
    (folder / "config.json").write_text(json.dumps(stated))
    return folder
