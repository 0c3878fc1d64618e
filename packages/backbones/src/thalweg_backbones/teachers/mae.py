"""MAE (K. He et al., Masked autoencoders are scalable vision learners, 2022)."""

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

_SIZES = {"b": ("base", 16), "l": ("large", 16), "h": ("huge", 14)}
_DECODER = ("decoder_", "mask_token")


@attrs.frozen
class MAETeacherConfig:
    """MAE's encoder, patches of 16 pixels (14 for ``h``): normalised patch tokens of the last block.

    Attributes:
        size: of the vision transformer.
        weights: the file as published, such as ``mae_pretrain_vit_base.pth``, a path or a URL; where
            torch.hub puts it by default.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin, if it is to be checked.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former where
            the device computes in bfloat16 itself.
    """

    size: Literal["b", "l", "h"] = "b"
    weights: str = url_field(default="")
    storage_options: dict[str, Any] = secret_field()
    sha256: str = ""
    precision: SamplingPrecision = "auto"

    @property
    def name(self) -> str:
        """``mae-b`` and its like."""
        return f"mae-{self.size}"

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
        size, patch = _SIZES[self.size]
        what, source = (
            f"MAE ViT-{self.size}/{patch}",
            f"https://dl.fbaipublicfiles.com/mae/pretrain/{self._file}",
        )
        weights = read_weights(self._place, what, source, self.sha256)
        # Files of the whole autoencoder hold its decoder too.
        tensors = {key: one for key, one in weights.tensors.items() if not key.startswith(_DECODER)}
        model: Any = published_vit(f"vit_{size}_patch{patch}_224", tensors, what, self._place)
        return FrozenTeacher(
            self.name,
            {**self._described, "sha256": weights.sha256},
            model,
            patch_tokens(model, patch),
            width=model.num_features,
            patch=patch,
            normalisation=(IMAGENET_MEAN, IMAGENET_STD),
            precision=self.precision,
        )

    @property
    def _described(self) -> Mapping[str, Any]:
        return {"type": "mae", "size": self.size, "resize": RESIZE}

    @property
    def _place(self) -> Location:
        return Location(self.weights, self.storage_options) if self.weights else hub_folder() / self._file

    @property
    def _file(self) -> str:
        return f"mae_pretrain_vit_{_SIZES[self.size][0]}.pth"
