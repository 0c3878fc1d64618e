"""What vision encoders compute."""

import attrs
from jaxtyping import Float, Int64
from torch import Tensor


@attrs.frozen(eq=False)
class Features:
    """What a vision encoder computes of a batch of images.

    Attributes:
        pooled: one feature vector per image.
        logits: class scores per image, where the encoder is a classifier.
        spatial: one vector per image that keeps places apart, where the encoder offers one, as sFID
            takes it.
        captions: one vector per caption in the space of ``pooled``, where the encoder reads captions.
        caption_ids: a number per image that stands for its caption's words, equal for equal captions; None
        where
            images have none. The evaluation sets it, no encoder needs to.
    """

    pooled: Float[Tensor, "N F"]
    logits: Float[Tensor, "N classes"] | None = None
    spatial: Float[Tensor, "N S"] | None = None
    captions: Float[Tensor, "N F"] | None = None
    caption_ids: Int64[Tensor, " N"] | None = None
