"""What a guidance keeps."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.calibration import Calibration
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import ConditionedField, composed
from thalweg.types import Condition, Head, Query
from thalweg.types.networks import HeadForm
from thalweg_authoring.numbers import FACTS, draws, require_near
from thalweg_authoring.rules import does_not_apply, require, rule
from thalweg_authoring.subject import Subject

_WEAKER: dict[HeadForm, float] = {"plain": 0.5, "refined": 0.6, "corrected": 0.7}
_MEASURED = Calibration(
    heads=tuple(Head(2, form) for form in _WEAKER),
    edges=(0.0, 0.5, 1.0),
    products=((tuple(map(tuple, torch.eye(3).tolist()))),) * 2,
    leads=((0.2, 0.1, 0.1), (0.1, 0.2, 0.2)),
    errors=(0.5, 0.5),
    made={},
)
LABELS = Condition(torch.tensor([0, 3, 9]))
TIMES = torch.tensor([0.9, 0.5, 0.0], dtype=torch.float64)


@attrs.frozen(eq=False)
class Network:
    """The innermost field, with a velocity that depends on data, time and label in closed form.

    Attributes:
        strength: of its velocity.
        watch: called with every query.
        facts: of a network that has a head in the middle.
        calibration: of that head.
    """

    strength: float = 1.0
    watch: Callable[[Query], None] = lambda _: None
    facts: Facts = FACTS
    calibration: Calibration = _MEASURED

    def __call__(self, query: Query) -> Tensor:
        """The velocity."""
        x, t, condition, side = query
        require(
            (t.dtype, t.device.type, tuple(t.shape)) == (torch.float64, "cpu", (len(x),)),
            f"the field is evaluated at times of {t.dtype}, shape {tuple(t.shape)}; pass on what came",
        )
        require(
            condition.labels is None or len(condition.labels) == len(x),
            "the field is evaluated with other samples' labels",
        )
        require(
            side is None or len(side) == len(x),
            "the sides of jumps are other samples'; change a query by its select, join and null",
        )
        self.watch(query)
        kinds = torch.full((len(x),), -1)
        if condition.labels is not None:
            kinds = torch.where(condition.hidden(), -1, condition.labels)
        rows = (-1, *[1] * (x.dim() - 1))
        return self.strength * ((kinds.view(rows) + 2) * x.sin() + t.to(x).view(rows))

    def heads(self, query: Query, wanted: Sequence[Head | int]) -> tuple[Tensor, ...]:
        """Velocities of the last head and of weaker ones."""
        whole = self(query)
        heads = [one if isinstance(one, Head) else Head(one) for one in wanted]
        return tuple(
            whole if head.after in (-1, self.facts.depth) else _WEAKER[head.form] * whole for head in heads
        )

    def early(
        self,
        query: Query,
        first: Sequence[Head | int],
        go_on: Callable[[tuple[Tensor, ...]], Tensor],
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Velocities of weaker heads, and of the last one for the samples that go on."""
        found = self.heads(query, first)
        index_n = go_on(found).nonzero().flatten()
        return found, index_n, self(query.select(index_n))

    def without(self, _: int, __: int) -> "Network":
        """A weaker network, whichever blocks are left out."""
        return self.beside(None)

    def beside(self, _: Any) -> "Network":
        """A weaker network, whichever it is."""
        return attrs.evolve(self, strength=self.strength / 2)


network = Network()


def guided(
    subject: Subject, condition: Condition = LABELS, inner: Any = network, **options: Any
) -> ConditionedField:
    """The guided field of these samples."""
    return ConditionedField(composed(inner, [subject.build(**options)]), condition)


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
    own = network(Query(x, TIMES, LABELS))
    require(
        torch.equal(guided(subject, scale=1.0)(x, TIMES), own), "scale 1 changes the conditional velocity"
    )
    require(not torch.allclose(guided(subject, scale=2.5)(x, TIMES), own), "scale 2.5 changes nothing")


@rule("guidance")
def a_sample_does_not_depend_on_its_neighbours(subject: Subject) -> None:
    """A sample is guided alike alone, in a batch, and picked by ``select``."""
    x = draws(3, *subject.facts.shape)
    whole = guided(subject)(x, TIMES)
    message = "a sample is guided otherwise in a batch; take no mean or norm over the first axis"
    for rows in ([1], [2, 0]):
        index = torch.tensor(rows)
        alone = guided(subject, LABELS.select(index))(x[index], TIMES[index])
        require_near(alone, whole[index], message, 0.0, 1e-7)
        selected = guided(subject).select(index)(x[index], TIMES[index])
        require_near(selected, whole[index], message, 0.0, 1e-7)


@rule("guidance")
def it_stands_around_or_within_another(subject: Subject) -> None:
    """Within a guidance that asks for shown and hidden samples at once it gives each its own velocity, and
    around one it works, or raises ConfigError because it must stand innermost."""
    x = draws(3, *subject.facts.shape)
    field = composed(network, [subject.build()])
    query = Query(x, TIMES, LABELS)
    message = "asked for shown and hidden samples at once it gives other velocities than one after the other"
    require_near(
        field(query.join(query.null())), torch.cat([field(query), field(query.null())]), message, 0.0, 1e-7
    )
    try:
        around = composed(network, [lambda inner: lambda asked: 2 * inner(asked), subject.build()])
        found = around(query)
    except ConfigError:
        return
    except Exception as error:
        require(
            False,
            f"around another guidance it raises {type(error).__name__}; take heads from "
            "thalweg.guidance.heads_of, which says that it must stand innermost",
        )
    require(found.shape == x.shape, "around another guidance its velocity has another shape than x")


@rule("guidance")
def it_passes_on_which_side_of_a_jump_a_sample_is(subject: Subject) -> None:
    """Whatever it asks the field, ``query.side`` is what it was asked with."""

    def watched(query: Query) -> None:
        require(
            query.side is not None and bool((query.side == 0.25).all()),
            "it loses query.side, by which a step of a sampler stays on one side of a jump; change a query "
            "by its select, join and null, or by _replace",
        )

    x = draws(3, *subject.facts.shape)
    field = guided(subject, inner=Network(watch=watched))
    field.during(torch.full_like(TIMES, 0.25))(x, TIMES)


@rule("guidance")
def it_asks_for_no_hidden_condition_that_training_never_hid(subject: Subject) -> None:
    """Where every condition was shown in training it raises ConfigError, or asks for no hidden one."""
    try:
        guidance = subject.build(attrs.evolve(subject.facts, condition_dropout=False))
    except ConfigError:
        return

    def watched(query: Query) -> None:
        require(
            query.condition.labels is not None and not query.condition.hidden().any(),
            "it asks a network that was trained with every condition shown for a velocity without one; raise "
            "thalweg.ConfigError from build where facts.condition_dropout is False",
        )

    field = composed(Network(watch=watched), [guidance])
    field(Query(draws(3, *subject.facts.shape), TIMES, LABELS))


@rule("guidance")
def without_a_condition_it_works_or_says_why_not(subject: Subject) -> None:
    """On unconditional data it either works or raises ConfigError, when it is built or when it is called."""
    x = draws(3, *subject.facts.shape)
    try:
        guidance = subject.build(attrs.evolve(subject.facts, classes=None, text=None))
        composed(network, [guidance])(Query(x, TIMES, Condition()))
    except ConfigError:
        return
    except Exception as error:
        require(
            False,
            f"on unconditional data it raises {type(error).__name__}; raise thalweg.ConfigError with a "
            "sentence that says what is missing",
        )
