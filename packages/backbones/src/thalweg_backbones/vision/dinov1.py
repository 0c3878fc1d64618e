"""DINO (M. Caron et al., Emerging properties in self-supervised vision transformers, 2021)."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from thalweg_backbones.vision.vit import Published, PublishedViTConfig

_NETWORKS = {"s": "vit_small_patch16_224", "b": "vit_base_patch16_224"}
_FOLDERS = {"s": "dino_deitsmall16_pretrain", "b": "dino_vitbase16_pretrain"}


@attrs.frozen
class DinoV1Config(PublishedViTConfig):
    """DINO, the first of its name, patches of 16 pixels: normalised tokens of the last block.

    Attributes:
        size: of the vision transformer.
        weights: the file as published, such as ``dino_vitbase16_pretrain.pth``, a path, a URL or
            ``weights:NAME``; by default what was fetched under the encoder's name, such as ``dinov1-b``, or
            where torch.hub puts it.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin, if it is to be checked.
        precision: of patch tokens: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is
            the former where the device computes in bfloat16 itself. All else is computed in float32.
    """

    size: Literal["s", "b"] = "b"

    @property
    def name(self) -> str:
        """``dinov1-b`` or ``dinov1-s``."""
        return f"dinov1-{self.size}"

    @property
    def described(self) -> Mapping[str, Any]:
        """Type and size."""
        return {"type": "dinov1", "size": self.size}

    @property
    def published(self) -> Published:
        """Which network it is."""
        folder = _FOLDERS[self.size]
        return Published(
            network=_NETWORKS[self.size],
            patch=16,
            title=f"DINO ViT-{self.size}/16",
            label=f"dinov1_vit{self.size}16",
            source=f"https://dl.fbaipublicfiles.com/dino/{folder}/{folder}.pth",
        )
