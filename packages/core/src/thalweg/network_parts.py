"""The parts of a network: whether they are some, and how a composition states them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from thalweg.arguments import check_instance, described
from thalweg.errors import ConfigError, PluginError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.objects import OBJECT, lacking, object_name
from thalweg.protocols import Backbone

Predicted = Literal["velocity", "clean"]
"""What read-outs give: a velocity, or the clean data from which one follows (x-prediction)."""

LEAST_SIGMA = 0.05
"""That the noise's weight is taken for where it is smaller, when a velocity follows from clean data."""

_STATED = ("backbone", "refiner", "branches", "interpolant")


def composition(
    backbone: Any,
    refiner: Any,
    branches: int | Sequence[int],
    interpolant: Any,
    intermediate_readouts: str,
    heads: Sequence[int],
    detach_heads: bool,
    prediction: str,
) -> dict[str, Any]:
    """The table of a composition, of which what is as it mostly is goes without saying.

    Args:
        backbone: in plain values.
        refiner: the same; None for none.
        branches: how many equal ones, or the depths at which they end.
        interpolant: in plain values.
        intermediate_readouts: ``shared`` or ``own``.
        heads: depths of heads that end no branch.
        detach_heads: whether these leave the rest as it is.
        prediction: what read-outs give.
    """
    found = {
        "backbone": backbone,
        "refiner": refiner,
        "branches": branches if isinstance(branches, int) else list(branches),
        "interpolant": interpolant,
    }
    if intermediate_readouts != "shared":
        found["intermediate_readouts"] = intermediate_readouts
    if heads:
        found["heads"] = list(heads)
    if not detach_heads:
        found["detach_heads"] = False
    if prediction != "velocity":
        found["prediction"] = prediction
    return found


def check_prediction(prediction: Any) -> None:
    """What read-outs give is known.

    Raises:
        ConfigError: it is something else.
    """
    if prediction not in get_args(Predicted):
        raise ConfigError(f"prediction is {described(prediction)}; it must be 'velocity' or 'clean'")


def names_of(refiner: Any) -> tuple[str, ...]:
    """The read-outs that a refiner feeds.

    Raises:
        PluginError: if they are no names.
    """
    names: Any = getattr(refiner, "readouts", None)
    whole = isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)
    if not whole or any(not name.isidentifier() or name == "velocity" for name in names):
        raise PluginError(
            f"{type(refiner).__qualname__} of {type(refiner).__module__} has readouts {names!r}; it must be "
            "a tuple of names such as ('acceleration',), or () for none, and 'velocity' is taken"
        )
    return tuple(names)


def check_parts(backbone: Any, facts: Any) -> None:
    """A network is made of a backbone and of facts.

    Raises:
        ConfigError: one of them is something else.
    """
    check_instance("facts", facts, Facts, "those of the data, such as thalweg.Facts(shape=(2,))")
    missing = lacking(backbone, Backbone)
    if missing:
        raise ConfigError(
            f"backbone is {described(backbone)}, which has no {missing[0]}; give what fulfils "
            "thalweg.protocols.Backbone"
        )


def check_whole(composition: Mapping[str, Any]) -> None:
    """Make sure that a composition states all that there is to a network.

    Raises:
        ConfigError: naming what it leaves out.
    """
    if missing := [name for name in _STATED if name not in composition]:
        raise ConfigError(
            f"composition states no {missing[0]}; leave it out, or give what thalweg.compose takes: "
            f"{', '.join(_STATED)}"
        )


def made_of(part: Any) -> Any:
    """A part as a composition states it that nothing composes again."""
    if isinstance(part, Interpolant):
        return part.stated
    return None if part is None else {OBJECT: object_name(part)}


def check_placed(tensors: Mapping[str, Any]) -> None:
    """Weights are on this machine.

    Raises:
        ConfigError: naming the first that is not.
    """
    name = next((name for name, one in tensors.items() if one.is_meta), None)
    if name is not None:
        raise ConfigError(
            f"the network given has no weights on this machine ('{name}' is on the device meta); build it on "
            "another device, or load it"
        )
