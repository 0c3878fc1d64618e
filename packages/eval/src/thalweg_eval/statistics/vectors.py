"""One kind of vectors out of features, checked."""

import torch
from jaxtyping import Shaped
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.types import Features

_MISSING = {
    "spatial": "spatial features are requested, which this extractor does not compute; take 'inception'",
    "logits": "class scores are requested, but this extractor is no classifier; choose another",
    "captions": "captions are requested; give images with captions and an extractor that reads them, 'clip'",
    "caption_ids": (
        "the metric needs the captions of samples and of real images, and one of the two has none in words; "
        "compare samples that were generated for captions with a data set that has captions"
    ),
}


def vectors(features: Features, kind: str) -> Shaped[Tensor, "N *F"]:
    """The vectors of the kind ``pooled``, ``logits``, ``spatial`` or ``captions``, or ``caption_ids``:
    integers.

    Raises:
        ConfigError: if there are none of this kind.
        DataError: if some are not finite.
    """
    found: Tensor | None = getattr(features, kind)
    if found is None:
        raise ConfigError(_MISSING[kind])
    if not bool(torch.isfinite(found).all()):
        raise DataError(
            "some features are not finite; look for broken images, samples that have diverged or weights "
            "of another network"
        )
    return found
