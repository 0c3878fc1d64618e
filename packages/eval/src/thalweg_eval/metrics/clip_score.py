"""The CLIP score: how well an image goes with its caption.

J. Hessel et al., CLIPScore: a reference-free evaluation metric for image captioning, 2021, equation 1:
w max(cos(image, caption), 0), averaged over images.
"""

from collections.abc import Mapping

import attrs
from attrs.validators import gt
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from thalweg.facts import Facts
from thalweg.types import Features
from thalweg_eval.metrics.means import SampleMean
from thalweg_eval.statistics.vectors import vectors


@attrs.frozen
class ClipScoreConfig:
    """Mean cosine of images and their captions, none counting as negative; of the extractor ``clip``.

    Attributes:
        scale: w. 1 gives the cosine, 100 what most tables print, 2.5 the paper's; compare equal ones.
    """

    scale: float = attrs.field(default=100.0, validator=gt(0.0))

    def build(self, _: Facts) -> "ClipScore":
        """The metric."""
        return ClipScore(self.scale)


class ClipScore(SampleMean):
    """The metric ``clip_score``."""

    name, key = "clip_score", "cosines"

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def of_each(self, features: Features, _labels: Int[Tensor, " N"] | None) -> Float[Tensor, "N 1"]:
        """The cosines, none of them negative."""
        images_NF, captions_NF = (vectors(features, kind).double() for kind in ("pooled", "captions"))
        return functional.cosine_similarity(images_NF, captions_NF).clamp_min(0)[:, None]

    def of_all(self, sums: Float[Tensor, " numbers"], count: int) -> Mapping[str, float]:
        """The score."""
        return {self.name: self._scale * float(sums[0]) / count}
