"""DINOv2 (M. Oquab et al., DINOv2: Learning robust visual features without supervision, 2023; with registers:
T. Darcet et al., Vision transformers need registers, 2023).

Pooled features follow the protocol of dgm-eval (G. Stein et al., Exposing flaws of generative model
evaluation metrics and their unfair treatment of diffusion models, 2023), for FD-DINOv2.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from thalweg_backbones.vision.vit import Published, PublishedViT, PublishedViTConfig

_SIDE, _PATCH = 224, 14
_SIZES = {"s": "small", "b": "base", "l": "large", "g": "giant"}
_OFFSET = 0.1  # of a patch, which the published network adds to its grid before it divides


class DinoV2(PublishedViT):
    """The encoder: pooled features are the class token of images of 224x224 after the last normalisation.

    Args:
        config: that it is built from.
        model: the network.
        sha256: of its weights.
    """

    positions: Tensor

    def __init__(self, config: "DinoV2Config", model: Any, sha256: str) -> None:
        super().__init__(config, model, sha256)
        # Weights with registers have no position of the class token.
        prefix = 0 if config.registers else 1
        self.register_buffer("positions", positions(model.pos_embed, _SIDE // _PATCH, prefix))
        self.identity = {key: one for key, one in self.identity.items() if key != "registers" or one}

    def _pooled(self, x_N3HW: Tensor) -> tuple[Tensor, None]:
        vit = self.model
        patches_NTD = vit.patch_embed(x_N3HW).flatten(1, 2)
        first = [one.expand(len(x_N3HW), -1, -1) for one in (vit.cls_token, vit.reg_token) if one is not None]
        if vit.reg_token is None:
            tokens_NTD = torch.cat([*first, patches_NTD], 1) + self.positions
        else:
            tokens_NTD = torch.cat([*first, patches_NTD + self.positions], 1)
        return vit.norm(vit.blocks(vit.norm_pre(tokens_NTD)))[:, 0], None


@attrs.frozen
class DinoV2Config(PublishedViTConfig):
    """DINOv2, patches of 14 pixels: normalised tokens of the last block.

    Frechet distances in its pooled features are comparable with FD-DINOv2 as dgm-eval computes it, which
    means the size ``l``; not with torch-fidelity's, which resizes otherwise.

    Attributes:
        size: of the vision transformer.
        registers: the networks with four registers.
        weights: the file as published, such as ``dinov2_vitb14_pretrain.pth``, a path, a URL or
            ``weights:NAME``; by default what was fetched under the encoder's name, such as ``dinov2-b``, or
            where torch.hub puts it.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin, if it is to be checked.
        precision: of patch tokens: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is
            the former where the device computes in bfloat16 itself. All else is computed in float32.
    """

    encoder: ClassVar[type[PublishedViT]] = DinoV2
    size: Literal["s", "b", "l", "g"] = "b"
    registers: bool = False

    @property
    def name(self) -> str:
        """``dinov2-b``, ``dinov2-b-registers`` and their like."""
        return f"dinov2-{self.size}" + ("-registers" if self.registers else "")

    @property
    def described(self) -> Mapping[str, Any]:
        """Type, size and whether it has registers."""
        return {"type": "dinov2", "size": self.size, "registers": self.registers}

    @property
    def published(self) -> Published:
        """Which network it is; ``fd_dinov2`` is reserved for the one that FD-DINOv2 is defined by."""
        short = "reg4_" if self.registers else ""
        label = f"dinov2_vit{self.size}14{'_reg4' if self.registers else ''}"
        network = f"dinov2_vit{self.size}14"
        return Published(
            network=f"vit_{_SIZES[self.size]}_patch14_{short}dinov2",
            patch=_PATCH,
            title=f"DINOv2 ViT-{self.size}/14{' with registers' if self.registers else ''}",
            label="dinov2" if label == "dinov2_vitl14" else label,
            source=f"https://dl.fbaipublicfiles.com/dinov2/{network}/{network}_{short}pretrain.pth",
        )


def positions(embedding: Float[Tensor, "1 T D"], side: int, prefix: int = 1) -> Float[Tensor, "1 U D"]:
    """Positions for a grid of side x side patches; the first ``prefix`` of them are no patches' and stay.

    Bicubic without antialiasing, the scale being (side + 0.1) / (side of the given grid), as the published
    network interpolates them; timm would do otherwise, and features would differ in the second digit.
    """
    own, grid = embedding[:, :prefix], embedding[:, prefix:]
    given = round(grid.shape[1] ** 0.5)
    if given == side:
        return embedding
    grid_DHW = grid.reshape(1, given, given, -1).permute(0, 3, 1, 2).float()
    scale = (side + _OFFSET) / given
    resized = functional.interpolate(grid_DHW, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([own, resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)
