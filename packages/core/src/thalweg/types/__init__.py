"""The nouns of Thalweg: the small immutable values that pass between components.

Shape legend, used in annotations and as suffixes of names:

=====  ==========================================================================
``N``  samples of a batch
``C``  channels of a latent (or of an image in pixel space)
``H``  ``W``  height and width of a latent
``T``  tokens (patches) of an image
``L``  tokens of a context, such as a caption
``D``  width of the transformer
``k``  branches of the network
``E``  width of a context's tokens, as its encoder gives them
``F``  features of a vision encoder
=====  ==========================================================================

What enters or leaves a forward pass is a named tuple, which torch.compile, data-parallel wrappers and
FSDP's hooks see through; the rest is frozen attrs.

Time runs from data to noise: t = 0 is data, t = 1 is noise, and the velocity is d x_t / d t
(DeepFlow, equation 1).
"""

from thalweg.types.conditions import Condition, EncodedCaptions, Text
from thalweg.types.features import Features
from thalweg.types.fields import ConditionalField, Increments, Query, VelocityField
from thalweg.types.networks import Boundary, Head, Prediction, Refinement, Routed, Stream
from thalweg.types.training import AskedNetwork, Batch, ObjectiveValue, Plan, Step, TrainedNetwork

__all__ = [
    "AskedNetwork",
    "Batch",
    "Boundary",
    "Condition",
    "ConditionalField",
    "EncodedCaptions",
    "Features",
    "Head",
    "Increments",
    "ObjectiveValue",
    "Plan",
    "Prediction",
    "Query",
    "Refinement",
    "Routed",
    "Step",
    "Stream",
    "Text",
    "TrainedNetwork",
    "VelocityField",
]
