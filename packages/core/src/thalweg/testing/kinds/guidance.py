"""What a guidance keeps."""

from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.testing.numbers import draws, require_near
from thalweg.testing.rules import does_not_apply, require, rule
from thalweg.testing.subject import Subject
from thalweg.types import Condition

LABELS = Condition(torch.tensor([0, 3, 9]))
TIMES = torch.tensor([0.9, 0.5, 0.0], dtype=torch.float64)


def network(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """A velocity that depends on image, time and label in closed form."""
    require(
        (t.dtype, t.device.type, tuple(t.shape)) == (torch.float64, "cpu", (len(x),)),
        f"the network is asked at times of {t.dtype}, shape {tuple(t.shape)}; pass on the times as they came",
    )
    require(
        condition.labels is None or len(condition.labels) == len(x),
        "the network is asked for other samples' labels",
    )
    if condition.labels is None:
        kinds = torch.full((len(x), 1, 1, 1), -1)
    else:
        kinds = torch.where(condition.hidden(), -1, condition.labels).view(-1, 1, 1, 1)
    return (kinds + 2) * x.sin() + t.to(x).view(-1, 1, 1, 1)


def guided(subject: Subject, condition: Condition = LABELS, **options: Any) -> Any:
    """The guided field."""
    return subject.build(**options)(network, condition)


@rule("guidance")
def the_field_keeps_shape_and_dtype(subject: Subject) -> None:
    """The guided velocity has shape and dtype of x, is finite, and the same in two calls."""
    for dtype in (torch.float32, torch.float64):
        x = draws(3, *subject.facts.shape, dtype=dtype)
        kept = x.clone()
        field = guided(subject)
        out = field(x, TIMES)
        require(
            (out.shape, out.dtype) == (x.shape, x.dtype),
            f"x of {x.dtype} gives a velocity of {out.dtype}, {tuple(out.shape)}; keep both",
        )
        require(torch.isfinite(out).all(), "the guided velocity is not finite")
        require(
            torch.equal(out, field(x, TIMES)), "two calls differ; keep no state from one call to the next"
        )
        require(torch.equal(x, kept), "it writes into x; make new tensors")


@rule("guidance")
def scale_one_is_the_conditional_field(subject: Subject) -> None:
    """With ``scale`` 1 the field is the network's own, and with another it is not."""
    if not subject.has("scale"):
        does_not_apply("it has no field 'scale'")
    x = draws(3, *subject.facts.shape)
    own = network(x, TIMES, LABELS)
    require(
        torch.equal(guided(subject, scale=1.0)(x, TIMES), own), "scale 1 changes the conditional velocity"
    )
    require(not torch.allclose(guided(subject, scale=2.5)(x, TIMES), own), "scale 2.5 changes nothing")


@rule("guidance")
def a_sample_does_not_depend_on_its_neighbours(subject: Subject) -> None:
    """A sample is guided alike alone, in a batch, and picked by ``select`` where the field has it."""
    x = draws(3, *subject.facts.shape)
    whole = guided(subject)(x, TIMES)
    message = "a sample is guided otherwise in a batch; take no mean or norm over the first axis"
    for rows in ([1], [2, 0]):
        index = torch.tensor(rows)
        require_near(
            guided(subject, LABELS.select(index))(x[index], TIMES[index]), whole[index], message, 0.0, 1e-7
        )
        field = guided(subject)
        if hasattr(field, "select"):
            require_near(
                field.select(index)(x[index], TIMES[index]),
                whole[index],
                "select(index) gives another field than the one of those samples",
                0.0,
                1e-7,
            )


@rule("guidance")
def it_asks_for_no_hidden_condition_that_training_never_hid(subject: Subject) -> None:
    """Where every condition was shown in training it raises ConfigError, or asks for no hidden one."""
    try:
        guidance = subject.build(attrs.evolve(subject.facts, condition_dropout=False))
    except ConfigError:
        return

    def watched(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        require(
            condition.labels is not None and not condition.hidden().any(),
            "it asks a network that was trained with every condition shown for a velocity without one; "
            "raise thalweg.ConfigError from build where facts.condition_dropout is False",
        )
        return network(x, t, condition)

    guidance(watched, LABELS)(draws(3, *subject.facts.shape), TIMES)


@rule("guidance")
def without_a_condition_it_works_or_says_why_not(subject: Subject) -> None:
    """On unconditional data it either works or raises ConfigError, when it is built or when it is called."""
    x = draws(3, *subject.facts.shape)
    try:
        subject.build(attrs.evolve(subject.facts, classes=None, text=None))(network, Condition())(x, TIMES)
    except ConfigError:
        return
    except Exception as error:
        require(
            False,
            f"on unconditional data it raises {type(error).__name__}; raise"
            " thalweg.ConfigError with a sentence that"
            " says what is missing",
        )
