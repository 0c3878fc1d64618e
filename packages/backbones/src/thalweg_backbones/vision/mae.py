"""MAE (K. He et al., Masked autoencoders are scalable vision learners, 2022)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs

from thalweg_backbones.vision.vit import Published, PublishedViTConfig

_SIZES = {"b": ("base", 16), "l": ("large", 16), "h": ("huge", 14)}


@attrs.frozen
class MAEConfig(PublishedViTConfig):
    """MAE's encoder, patches of 16 pixels (14 for ``h``): normalised tokens of the last block.

    Attributes:
        size: of the vision transformer.
        weights: the file as published, such as ``mae_pretrain_vit_base.pth``, a path, a URL or
            ``weights:NAME``; by default what was fetched under the encoder's name, such as ``mae-b``, or
            where torch.hub puts it.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin, if it is to be checked.
        precision: of patch tokens: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is
            the former where the device computes in bfloat16 itself. All else is computed in float32.
    """

    # Files of the whole autoencoder hold its decoder too.
    ignored: ClassVar[tuple[str, ...]] = ("decoder_", "mask_token")
    size: Literal["b", "l", "h"] = "b"

    @property
    def name(self) -> str:
        """``mae-b`` and its like."""
        return f"mae-{self.size}"

    @property
    def described(self) -> Mapping[str, Any]:
        """Type and size."""
        return {"type": "mae", "size": self.size}

    @property
    def published(self) -> Published:
        """Which network it is."""
        size, patch = _SIZES[self.size]
        return Published(
            network=f"vit_{size}_patch{patch}_224",
            patch=patch,
            title=f"MAE ViT-{self.size}/{patch}",
            label=f"mae_vit{self.size}{patch}",
            source=f"https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_{size}.pth",
        )
