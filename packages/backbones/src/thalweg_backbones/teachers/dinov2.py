"""DINOv2 (M. Oquab et al., DINOv2: Learning robust visual features without supervision, 2023; with registers:
T. Darcet et al., Vision transformers need registers, 2023)."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from thalweg.config import secret_field, url_field
from thalweg.facts import Facts, StoredFeatures
from thalweg.sampling import SamplingPrecision
from thalweg.storage import Location
from thalweg.vision.pixels import IMAGENET_MEAN, IMAGENET_STD
from thalweg.weights import read_weights
from thalweg_backbones.teachers.frozen import RESIZE, FrozenTeacher
from thalweg_backbones.teachers.stored import check_stored
from thalweg_backbones.teachers.vit import hub_folder, patch_tokens, published_vit

_PATCH = 14
_SIZES = {"s": "small", "b": "base", "l": "large", "g": "giant"}


@attrs.frozen
class DinoV2TeacherConfig:
    """DINOv2, patches of 14 pixels: normalised patch tokens of the last block.

    Attributes:
        size: of the vision transformer.
        registers: the networks with four registers.
        weights: the file as published, such as ``dinov2_vitb14_pretrain.pth``, a path or a URL; where
            torch.hub puts it by default.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin, if it is to be checked.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former where
            the device computes in bfloat16 itself.
    """

    size: Literal["s", "b", "l", "g"] = "b"
    registers: bool = False
    weights: str = url_field(default="")
    storage_options: dict[str, Any] = secret_field()
    sha256: str = ""
    precision: SamplingPrecision = "auto"

    @property
    def name(self) -> str:
        """``dinov2-b``, ``dinov2-b-registers`` and their like."""
        return f"dinov2-{self.size}" + ("-registers" if self.registers else "")

    def check_stored(self, stored: StoredFeatures) -> None:
        """Compare stored features with what this teacher would see.

        Raises:
            DataError: if another one has seen them.
        """
        weights = self._place if self.weights else None
        check_stored(self.name, stored, self._described, self.sha256, weights)

    def build(self, facts: Facts) -> FrozenTeacher:  # noqa: ARG002 - images of any size
        """Load it.

        Raises:
            PluginError: if timm is not installed.
            DataError: if the weights are missing, others than expected, or of another network.
        """
        what = f"DINOv2 ViT-{self.size}/14{' with registers' if self.registers else ''}"
        weights = read_weights(self._place, what, self._source, self.sha256)
        network = f"vit_{_SIZES[self.size]}_patch14_{'reg4_' if self.registers else ''}dinov2"
        model: Any = published_vit(network, weights.tensors, what, self._place)
        return FrozenTeacher(
            self.name,
            {**self._described, "sha256": weights.sha256},
            model,
            patch_tokens(model, _PATCH),
            width=model.num_features,
            patch=_PATCH,
            normalisation=(IMAGENET_MEAN, IMAGENET_STD),
            precision=self.precision,
        )

    @property
    def _described(self) -> Mapping[str, Any]:
        return {"type": "dinov2", "size": self.size, "registers": self.registers, "resize": RESIZE}

    @property
    def _place(self) -> Location:
        return Location(self.weights, self.storage_options) if self.weights else hub_folder() / self._file

    @property
    def _file(self) -> str:
        return f"dinov2_vit{self.size}14_{'reg4_' if self.registers else ''}pretrain.pth"

    @property
    def _source(self) -> str:
        return f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{self.size}14/{self._file}"
