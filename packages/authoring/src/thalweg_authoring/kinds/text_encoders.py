"""What a text encoder keeps."""

import torch

from thalweg_authoring.encoders import require_frozen, require_identity
from thalweg_authoring.numbers import require_near, require_shape
from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject

CAPTIONS = ("a red car", "", "two blue dogs and a photo of a cat that looks at a third one", "dog")


@rule("text_encoder")
def each_caption_becomes_as_many_tokens(subject: Subject) -> None:
    """Of each caption it gives finite float32 tokens of the config's ``shape`` and a mask of them."""
    config, one = subject.config(), subject.build()
    require(hasattr(config, "shape"), "its config has no property 'shape', (L, E), known before it is loaded")
    require(
        tuple(config.shape) == (one.length, one.width),
        f"the config's shape is {config.shape} and what it builds has {(one.length, one.width)}",
    )
    found = one(CAPTIONS)
    require_shape("tokens", found.tokens, (len(CAPTIONS), one.length, one.width), torch.float32)
    require_shape("the mask", found.mask, (len(CAPTIONS), one.length), torch.bool)
    require(torch.isfinite(found.tokens).all(), "its tokens are not finite")


@rule("text_encoder")
def the_mask_covers_what_is_there(subject: Subject) -> None:
    """The mask is a run of True from the start, of at least one token, longer for longer captions."""
    found = subject.build()(CAPTIONS)
    used_N = found.mask.sum(1)
    run = torch.arange(found.mask.shape[1]) < used_N[:, None]
    require(torch.equal(found.mask.cpu(), run), "its mask has gaps; pad captions behind their end")
    require(
        used_N.min() >= 1, "a caption has no token, not even the empty one; give a token that stands for it"
    )
    require(used_N[1] == used_N.min(), "the empty caption has more tokens than another")


@rule("text_encoder")
def captions_that_are_cut_are_counted(subject: Subject) -> None:
    """``cut`` is the number of captions that were too long."""
    one = subject.build()
    require(one(["" for _ in range(3)]).cut == 0, "empty captions count as cut")
    long = " ".join(["dog"] * (one.length + 1))
    require(one(["dog", long, long]).cut >= 2, "captions that are too long are not counted in 'cut'")


@rule("text_encoder")
def a_caption_does_not_depend_on_its_neighbours_nor_on_the_call(subject: Subject) -> None:
    """A caption is encoded alike alone and in a batch, and by another one of the same config."""
    whole = subject.build()(CAPTIONS)
    alone = subject.build()(CAPTIONS[2:3])
    require_near(alone.tokens, whole.tokens[2:3], "a caption is encoded differently in a batch", 1e-4, 1e-5)
    require(torch.equal(alone.mask, whole.mask[2:3]), "a caption has another mask in a batch")


@rule("text_encoder")
def different_captions_are_different_tokens(subject: Subject) -> None:
    """It distinguishes captions."""
    tokens = subject.build()(["red car", "blue car"]).tokens
    require((tokens[0] - tokens[1]).abs().max() > 1e-4, "'red car' and 'blue car' have the same tokens")


@rule("text_encoder")
def it_is_frozen(subject: Subject) -> None:
    """No gradient flows into it, and it is in eval mode."""
    one = subject.build()
    require(not one(["dog"]).tokens.requires_grad, "its tokens hold on to a graph; use torch.no_grad()")
    require_frozen(one)


@rule("text_encoder")
def the_identity_is_plain_and_tells_the_type(subject: Subject) -> None:
    """``identity`` is plain data that names the type, the same for one config."""
    require_identity(subject, subject.build())
