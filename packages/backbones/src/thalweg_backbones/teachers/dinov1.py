"""DINO (M. Caron et al., Emerging properties in self-supervised vision transformers, 2021)."""

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

_PATCH = 16
_NETWORKS = {"s": "vit_small_patch16_224", "b": "vit_base_patch16_224"}
_FOLDERS = {"s": "dino_deitsmall16_pretrain", "b": "dino_vitbase16_pretrain"}


@attrs.frozen
class DinoV1TeacherConfig:
    """DINO, the first of its name, patches of 16 pixels: normalised patch tokens of the last block.

    Attributes:
        size: of the vision transformer.
        weights: the file as published, such as ``dino_vitbase16_pretrain.pth``, a path or a URL; where
            torch.hub puts it by default.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin, if it is to be checked.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former where
            the device computes in bfloat16 itself.
    """

    size: Literal["s", "b"] = "b"
    weights: str = url_field(default="")
    storage_options: dict[str, Any] = secret_field()
    sha256: str = ""
    precision: SamplingPrecision = "auto"

    @property
    def name(self) -> str:
        """``dinov1-b`` or ``dinov1-s``."""
        return f"dinov1-{self.size}"

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
        what, folder = f"DINO ViT-{self.size}/16", _FOLDERS[self.size]
        source = f"https://dl.fbaipublicfiles.com/dino/{folder}/{folder}.pth"
        weights = read_weights(self._place, what, source, self.sha256)
        model: Any = published_vit(_NETWORKS[self.size], weights.tensors, what, self._place)
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
        return {"type": "dinov1", "size": self.size, "resize": RESIZE}

    @property
    def _place(self) -> Location:
        if self.weights:
            return Location(self.weights, self.storage_options)
        return hub_folder() / f"{_FOLDERS[self.size]}.pth"
