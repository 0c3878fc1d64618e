"""What extractors see."""

import attrs
from jaxtyping import Float, Int64
from torch import Tensor


@attrs.frozen(eq=False)
class Features:
    """What an extractor sees in a batch of images.

    Attributes:
        pooled: one feature vector per image.
        logits: class scores per image, where the extractor is a classifier.
        spatial: one vector per image that keeps places apart, where the extractor offers one, as sFID
            takes it.
        captions: one vector per caption in the space of ``pooled``, where the extractor reads captions.
        said: a number per image that stands for its caption's words, equal for equal captions; None where
            images have none. The evaluation sets it, no extractor needs to.
    """

    pooled: Float[Tensor, "N F"]
    logits: Float[Tensor, "N classes"] | None = None
    spatial: Float[Tensor, "N S"] | None = None
    captions: Float[Tensor, "N F"] | None = None
    said: Int64[Tensor, " N"] | None = None
