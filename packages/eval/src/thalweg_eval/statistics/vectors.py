"""One kind of vectors out of features, checked."""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.types import Features

_MISSING = {
    "spatial": "spatial features are asked for, which this extractor does not see; take 'inception'",
    "logits": "class scores are asked for, but this extractor is no classifier; choose another",
    "captions": "captions are asked for; give images with captions and an extractor that reads them, 'clip'",
}


def vectors(features: Features, kind: str) -> Float[Tensor, "N F"]:
    """The vectors of the kind ``pooled``, ``logits``, ``spatial`` or ``captions``.

    Raises:
        ConfigError: if the extractor sees none of this kind.
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
