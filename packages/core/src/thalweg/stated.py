"""What a network states that it is made of, where nothing composed it, and where two are compared."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.arguments import check_instance, described
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.objects import OBJECT, is_object, object_name

_OF_BACKBONE = ("depth", "width", "heads", "grid", "embed", "condition", "run", "readout")
_STATED = ("backbone", "refiner", "branches", "interpolant")


def composition(
    backbone: Any, refiner: Any, branches: int | Sequence[int], interpolant: Any, intermediate_readouts: str
) -> dict[str, Any]:
    """The table of a composition, of which what is as it mostly is goes without saying.

    Args:
        backbone: in plain values.
        refiner: the same; None for none.
        branches: how many equal ones, or the depths at which they end.
        interpolant: in plain values.
        intermediate_readouts: ``shared`` or ``own``.
    """
    found = {
        "backbone": backbone,
        "refiner": refiner,
        "branches": branches if isinstance(branches, int) else list(branches),
        "interpolant": interpolant,
    }
    if intermediate_readouts != "shared":
        found["intermediate_readouts"] = intermediate_readouts
    return found


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
    missing = [name for name in _OF_BACKBONE if not hasattr(backbone, name)]
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


def compare_parts(kind: str, then: Any, now: Any, origin: Path) -> None:
    """Two parts of the same tensors may compute something else.

    A class by another name may be the same one that has moved, so of that is only warned.

    Raises:
        DataError: if both have names, and these or their options differ.
    """
    if is_object(then) and is_object(now) and then[OBJECT] != now[OBJECT]:
        logging.getLogger("thalweg").warning(
            "%s was saved of a network whose %s is %s, and that of the network given is %s",
            origin, kind, then[OBJECT], now[OBJECT],
        )  # fmt: skip
    elif isinstance(then, Mapping) and isinstance(now, Mapping) and "type" in then and "type" in now:
        for key in [key for key in then if key in now and then[key] != now[key]]:
            raise DataError(
                f"{origin} was saved with {kind}.{key} {then[key]}, and the network given has {now[key]}; "
                "give one like the one that was saved"
            )
