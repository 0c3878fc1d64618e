"""What an extractor keeps, on a handful of images."""

import json
from typing import Any

import attrs
import torch

from thalweg.testing.numbers import images, require_near
from thalweg.testing.rules import require, rule
from thalweg.testing.subject import Subject
from thalweg.types import Features

CAPTIONS = ["a photo of a bench", "a photo of a cow", "a photo of a bicycle", "a photo of a clock"]
_COUNT = 4


def made(subject: Subject) -> Any:
    """One for grey images; fitted, if it offers ``fit``."""
    facts = attrs.evolve(subject.facts, shape=(1, *subject.facts.shape[1:]))
    one = subject.build(facts)
    if hasattr(one, "fit"):
        one.fit(_images(subject), torch.arange(_COUNT) % (facts.classes or 1), trained_on="noise")
    return one


def seen(subject: Subject, one: Any, rows: slice = slice(None)) -> Features:
    """What it sees in some of four images."""
    shown = _images(subject)[rows]
    found: Features = one(shown, CAPTIONS[rows]) if one.reads_captions else one(shown)
    return found


@rule("extractor")
def features_are_finite_float32_and_one_row_an_image(subject: Subject) -> None:
    """All that is seen is finite float32 on the CPU without a graph, one row an image."""
    one = made(subject)
    found = seen(subject, one)
    require(
        isinstance(found, Features), f"it returns a {type(found).__name__}; return thalweg.types.Features"
    )
    for name in ("pooled", "logits", "spatial", "captions"):
        part = getattr(found, name)
        if part is not None:
            good = part.shape[0] == _COUNT and part.dtype == torch.float32 and part.device.type == "cpu"
            require(
                good,
                f"Features.{name} is {part.dtype} of shape {tuple(part.shape)}; return"
                " float32, a row an image",
            )
            require(torch.isfinite(part).all(), f"Features.{name} is not finite")
            require(not part.requires_grad, f"Features.{name} holds on to a graph; see under torch.no_grad()")
    if one.labels_known:
        classes = subject.facts.classes
        good = found.logits is not None and found.logits.shape == (_COUNT, classes)
        require(good, f"labels_known is true, so that logits must be {_COUNT} x {classes}")


@rule("extractor")
def features_do_not_depend_on_the_neighbours_nor_on_the_call(subject: Subject) -> None:
    """An image is seen alike alone and in a batch, and by another one of the same config."""
    one = made(subject)
    whole = seen(subject, one).pooled
    part = seen(subject, one, slice(1, 3)).pooled
    require_near(part, whole[1:3], "an image is seen otherwise in a batch; put it into eval mode", 1e-4, 1e-4)
    require_near(
        seen(subject, made(subject)).pooled, whole, "another one of the same config sees something else"
    )


@rule("extractor")
def it_says_what_it_is(subject: Subject) -> None:
    """``identity`` is plain data that names the type, and numbers are named after the features."""
    one = made(subject)
    require(
        one.identity.get("type") == subject.name,
        f"identity['type'] is not '{subject.name}', as it is registered",
    )
    require(
        _is_plain(one.identity), "identity does not survive JSON; hold strings, numbers and lists of them"
    )
    require(dict(one.identity) == dict(made(subject).identity), "two of one config have different identities")
    require(one.name, "it has no name")
    number = one.number_name("frechet_distance")
    require(
        number and number != "frechet_distance" and number != "fid",
        f"its Frechet distance is called '{number}'; name it after the features (only"
        " published Inception says fid)",
    )


def _images(subject: Subject) -> torch.Tensor:
    return images(_COUNT, 1, *subject.facts.shape[1:])


def _is_plain(identity: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(dict(identity))) == dict(identity))
    except TypeError:
        return False
