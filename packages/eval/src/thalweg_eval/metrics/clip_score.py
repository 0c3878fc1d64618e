"""The CLIP score: how well an image goes with its caption.

J. Hessel et al., CLIPScore: a reference-free evaluation metric for image captioning, 2021, equation 1:
w max(cos(image, caption), 0), averaged over images.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import attrs
from attrs.validators import gt
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from thalweg.facts import Facts
from thalweg.protocols import Better, Statistic
from thalweg.types import Features
from thalweg_eval.statistics.sums import Sums
from thalweg_eval.statistics.vectors import vectors

_KEY = "cosines"


@attrs.frozen
class ClipScoreConfig:
    """Mean cosine of images and their captions, none counting as negative; of the extractor ``clip``.

    Attributes:
        scale: w. 1 gives the cosine, 100 what most tables print, 2.5 the paper's; compare equal ones.
    """

    scale: float = attrs.field(default=100.0, validator=gt(0.0))

    def build(self, facts: Facts) -> "ClipScore":  # noqa: ARG002 - captions come with the images
        """The metric."""
        return ClipScore(self.scale)


class ClipScore:
    """The metric ``clip_score``."""

    name = "clip_score"
    better: Better = "higher"

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:  # noqa: ARG002 - all count alike
        """The sum of cosines."""
        return {_KEY: partial(Sums, _cosines)}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:  # noqa: ARG002
        """None."""
        return {}

    def __call__(
        self,
        samples: Mapping[str, Statistic],
        reference: Mapping[str, Statistic],  # noqa: ARG002 - there is none
    ) -> Mapping[str, float]:
        """The score.

        Raises:
            DataError: if there were no samples.
        """
        cosines = cast(Sums, samples[_KEY])
        return {self.name: self._scale * float(cosines.sums()[0]) / cosines.count}


def _cosines(
    features: Features,
    labels: Int[Tensor, " N"] | None,  # noqa: ARG001 - captions say more
) -> Float[Tensor, "N 1"]:
    images_NF, captions_NF = (vectors(features, kind).double() for kind in ("pooled", "captions"))
    return functional.cosine_similarity(images_NF, captions_NF).clamp_min(0)[:, None]
