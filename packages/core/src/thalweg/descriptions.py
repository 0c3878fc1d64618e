"""What ``model.json`` says of a saved network, and the network that it describes."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from thalweg.bounding import TooLargeError, at_most, check_description
from thalweg.branches import ends_of
from thalweg.composition import compose
from thalweg.config import component
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.facts import Facts
from thalweg.fetching import DESCRIPTION, TENSORS, read_description
from thalweg.network import FlowNetwork
from thalweg.objects import OBJECT, is_object
from thalweg.plugins.recording import FILES_KEY, files_of
from thalweg.stated import check_placed, compare_parts
from thalweg.tensor_files import differences

_FORMAT = 3
_NEEDED = {"composition", "facts"}
_SHOWN = 400  # characters of what is wrong with a description


def described(network: FlowNetwork) -> dict[str, Any]:
    """What it takes to compose a network again, as JSON values, with the plugin files that it needs."""
    facts, composition = network.facts, dict(network.composition)
    stated: dict[str, Any] = {
        "shape": list(facts.shape),
        "classes": facts.classes,
        "condition_dropout": facts.condition_dropout,
    }
    if facts.text is not None:
        stated["text"] = list(facts.text)
    found = {"format": _FORMAT, "composition": composition, "facts": stated}
    files = files_of(network, *_configs_of(composition))
    return {**found, FILES_KEY: files} if files else found


def _configs_of(composition: Mapping[str, Any]) -> Iterator[Any]:
    """The configs that a composition names, which may hold parts that are not in the network."""
    for kind in ("backbone", "refiner", "interpolant"):
        stated = composition.get(kind)
        if stated is not None and not is_object(stated):
            yield component(kind, stated)


def description_of(folder: Path) -> dict[str, Any]:
    """What the saved network in a folder says of itself.

    Raises:
        DataError: if there is none, or its description is damaged or of another format.
    """
    if not (folder / DESCRIPTION).is_file() or not (folder / TENSORS).is_file():
        raise DataError(f"{folder} holds no network: {DESCRIPTION} and {TENSORS} are expected there")
    return read(folder / DESCRIPTION, sealed=True)


def read(path: Path, *, sealed: bool) -> dict[str, Any]:
    """A description.

    Args:
        path: the file.
        sealed: whether it holds a digest of itself and one of the tensors, as none in a checkpoint does.

    Raises:
        DataError: if it is damaged, or of another format.
    """
    description = read_description(path, sealed=sealed)
    needed = _NEEDED | {"sha256"} if sealed else _NEEDED
    version, complete = description.get("format"), needed <= description.keys()
    if version != _FORMAT or not complete:
        raise DataError(f"{path} has format {version}, this version reads {_FORMAT}; upgrade thalweg")
    return description


def described_network(
    description: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], origin: Path
) -> FlowNetwork:
    """The network that is described, once it is known to have just the tensors that are there.

    Raises:
        DataError: if it has others, or more of them.
    """
    elements = sum(map(math.prod, shapes.values()))
    stated = {name: description[name] for name in ("composition", "facts")}
    try:
        check_description(stated, elements)
        facts = _facts(stated["facts"])
        arguments = dict(stated["composition"])
        # First where nothing is allocated, so that what differs from the tensors costs nothing.
        with at_most(len(shapes), elements), contextlib.suppress(PluginError):
            # A plugin that cannot build there is stopped as it goes, and compared afterwards.
            compare_shapes(compose(**arguments, facts=facts, device="meta"), shapes, str(origin))
        with at_most(len(shapes), elements):
            network = compose(**arguments, facts=facts)
        compare_shapes(network, shapes, str(origin))
    except (ConfigError, TypeError, AttributeError, ValueError, RecursionError) as fault:
        said = " ".join(str(fault).split())
        raise DataError(
            f"{origin / DESCRIPTION} describes no network of this version: {said[:_SHOWN]}"
        ) from fault
    except TooLargeError as fault:
        raise DataError(f"{origin / DESCRIPTION} describes no network that is here: {fault}") from fault
    return network


def check_given(
    network: FlowNetwork, description: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], origin: Path
) -> None:
    """The network that is given is one like that which was saved, as far as anybody can tell.

    Raises:
        DataError: if it is another; it is as it was.
    """
    check_placed(network.state_dict())
    compare_shapes(network, shapes, str(origin), "the network given")
    try:
        facts, composition = _facts(description["facts"]), dict(description["composition"])
        ends = ends_of(
            composition.get("branches", 1), network.facts.depth, refined=network.refiner is not None
        )
    except (ConfigError, TypeError, AttributeError, ValueError) as fault:
        raise DataError(f"{origin / DESCRIPTION} describes no network of this version: {fault}") from fault
    pairs = {
        "shape": (facts.shape, network.facts.shape),
        "classes": (facts.classes, network.facts.classes),
        "text": (facts.text, network.facts.text),
        "ends of branches": (ends, network.facts.ends),
        "interpolant": (composition.get("interpolant"), network.composition.get("interpolant")),
    }
    for what, (then, now) in pairs.items():
        if then != now:
            raise DataError(f"{origin} was saved with {what} {then}, and the network given has {now}")
    for kind in ("backbone", "refiner"):
        compare_parts(kind, composition.get(kind), network.composition.get(kind), origin)
    network.facts = attrs.evolve(network.facts, condition_dropout=facts.condition_dropout)


def compare_shapes(
    network: FlowNetwork, shapes: Mapping[str, tuple[int, ...]], origin: str, owner: str = "its architecture"
) -> None:
    """Make sure that tensors are those of a network.

    Args:
        network: what they are for.
        shapes: of the tensors, by name.
        origin: where they are, for messages.
        owner: of whom they are to be.

    Raises:
        DataError: if names or shapes differ.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    different = differences(expected, shapes)
    if different:
        raise DataError(f"{origin} does not fit {owner}: {different}")


def refuse_objects(composition: Any, path: str) -> None:
    """Make sure that nothing in a composition was made in Python.

    Raises:
        ConfigError: naming what was.
    """
    stated = composition if isinstance(composition, Mapping) else {}
    made = [f"{kind} {table[OBJECT]}" for kind, table in stated.items() if is_object(table)]
    if made:
        raise ConfigError(
            f"{path} was saved of a network of parts that were made in Python ({', '.join(made)}), which no "
            f"file can make again; build the network and give it: thalweg.load({path!r}, network=...)"
        )


def _facts(stated: Any) -> Facts:
    needed = {"shape", "classes", "condition_dropout"}
    if not isinstance(stated, dict) or not needed <= stated.keys() <= {*needed, "text"}:
        raise ConfigError(
            f"its facts must be a table of {', '.join(sorted(needed))}, and text where it is read"
        )
    facts = dict(stated)
    if isinstance(facts.get("text"), list):
        facts["text"] = tuple(facts["text"])
    return Facts(**facts)
