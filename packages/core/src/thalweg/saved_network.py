"""The format of saved networks: safetensors and JSON.

A saved network is a folder of two files: ``model.safetensors`` with the tensors and ``model.json`` with
the composition, the facts, the tensors' SHA-256 and a digest of itself. Nothing is unpickled, ever.
:func:`thalweg.load` opens such a folder, and checkpoints of runs as well.
"""

import contextlib
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from thalweg import files
from thalweg.arguments import check_instance
from thalweg.bounding import OversizedError, at_most, check_description
from thalweg.branches import ends_of
from thalweg.calibration import Calibration
from thalweg.composition import compose
from thalweg.config import component
from thalweg.documents import parse_document, write_document
from thalweg.errors import ConfigError, DataError, PluginError, ThalwegError
from thalweg.facts import Facts, Normalisation
from thalweg.files import sync_folder
from thalweg.folders import make_folders, remove_tree, replace_folder
from thalweg.network import FlowNetwork
from thalweg.network_parts import check_placed
from thalweg.objects import OBJECT, is_object
from thalweg.plugins.recording import FILES_KEY, files_of
from thalweg.regular import read_bytes
from thalweg.storage.places import check_folder, local_path
from thalweg.suggestions import one_line
from thalweg.tensor_files import differences, write_tensors

DESCRIPTION, TENSORS = "model.json", "model.safetensors"
EMA = "ema"
"""The group of a checkpoint that holds the main average of the weights."""

CALIBRATION = "calibration"

_FORMAT = 3
_OWN = {"format", "composition", "facts", "sha256", "digest", FILES_KEY, CALIBRATION}
_LARGEST = 4 * 2**20  # bytes of a description; ours take some kB
_SHOWN = 400  # characters of what is wrong with a description


def save(
    path: Path | str,
    network: FlowNetwork,
    *,
    state_dict: Mapping[str, Tensor] | None = None,
    calibration: Calibration | None = None,
    **more: Any,
) -> None:
    """Write a network as a folder that :func:`load` opens; nothing half written is ever visible.

    A network that was put together by hand is saved with its weights and what its parts are called;
    :func:`load` then has to be given the network again.

    Args:
        path: the folder; must not exist, or be a saved network, which is replaced as a whole.
        network: what is saved.
        state_dict: its tensors, if they are not those that it has now, such as EMA weights.
        calibration: what was measured of the heads with these tensors; by default the network's own, if it is
            saved with the tensors that it has.
        more: JSON values worth keeping beside it, such as the step.

    Raises:
        ConfigError: if it is a URL, or called like a file; ``network`` or ``calibration`` is none.
        DataError: if something else stands there.
        ThalwegError: if it cannot be written.
    """
    check_instance("network", network, FlowNetwork, "a network, as thalweg.compose returns it")
    tensors = network.state_dict() if state_dict is None else state_dict
    if state_dict is None and calibration is None:
        calibration = network.calibration
    if calibration is not None:
        check_instance("calibration", calibration, Calibration, "what thalweg.calibrate returns")
    check_placed(tensors)
    if taken := sorted(more.keys() & _OWN):
        raise ConfigError(f"'{taken[0]}' is what save itself writes down; call yours otherwise")
    path = local_path(path, "the network's folder")
    check_place(path)
    fresh = path.with_name(f".{path.name}.partial")
    try:
        make_folders(path.parent)
        for remains in (fresh, fresh.with_name(f"{fresh.name}.former")):  # of a save that was killed
            if os.path.lexists(remains):
                remove_tree(remains)
        try:
            files.disk.make_folder(fresh)
            seal = write_tensors(fresh / TENSORS, tensors)
            description = {**described(network), **more, "sha256": seal.sha256}
            if calibration is not None:
                description[CALIBRATION] = calibration.plain()
            write_document(fresh / DESCRIPTION, description, sealed=True)
            sync_folder(fresh)
            former = replace_folder(path, fresh)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_tree(fresh)
            raise
        if former is not None:
            remove_tree(former)
    except OSError as error:
        raise ThalwegError(
            f"cannot write {path} ({one_line(error)}); choose a place open to writing"
        ) from error


def check_place(path: Path) -> None:
    """Make sure that a network may be saved there: there is nothing, or another one, perhaps by a link.

    Raises:
        ConfigError: if it is called like a file.
        DataError: if something else stands there.
    """
    if not os.path.lexists(path):
        check_folder(path, "the network's folder")
    if path.exists():
        try:
            description_of(path)
        except DataError as fault:
            raise DataError(f"{path} exists and is no saved network; choose another place") from fault


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
    if facts.flow_map:
        stated["flow_map"] = True
    if facts.normalisation is not None:
        both = attrs.asdict(facts.normalisation)
        stated["normalisation"] = {name: list(values) for name, values in both.items()}
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
    return read_description(folder / DESCRIPTION, sealed=True)


def read_description(path: Path, *, sealed: bool, name: str = "") -> dict[str, Any]:
    """What stands in a ``model.json``.

    Args:
        path: the file.
        sealed: whether it holds a digest of itself and one of the tensors, as none in a checkpoint does.
        name: what it is called in messages; its path by default.

    Raises:
        DataError: if it is missing, damaged, or of another format.
    """
    try:
        description = parse_document(read_bytes(path, _LARGEST), sealed=sealed)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{name or path} is no description of a network or damaged ({one_line(error)}); copy it again or "
            "write it anew"
        ) from error
    version = description.get("format")
    needed = {"composition", "facts", *(["sha256"] if sealed else [])}
    if version != _FORMAT or not needed <= description.keys():
        raise DataError(f"{name or path} has format {version}, this version reads {_FORMAT}; upgrade thalweg")
    return description


def ema_group(average: str, names: Sequence[str]) -> str:
    """What the group of a checkpoint is called that holds an average: ``ema`` for the main one, else
    ``ema-NAME``.

    Args:
        average: its name.
        names: of all, the main one first.
    """
    return EMA if average == names[0] else f"{EMA}-{average}"


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
        facts = facts_of(stated["facts"])
        arguments = dict(stated["composition"])
        # First where nothing is allocated, so that what differs from the tensors costs nothing.
        with at_most(len(shapes), elements), contextlib.suppress(PluginError):
            # A plugin that cannot build there is stopped as it goes, and compared afterwards.
            compare_shapes(compose(**arguments, facts=facts, device="meta"), shapes, str(origin))
        with at_most(len(shapes), elements):
            network = compose(**arguments, facts=facts)
        compare_shapes(network, shapes, str(origin))
    except (ConfigError, TypeError, AttributeError, ValueError, RecursionError) as fault:
        message = " ".join(str(fault).split())
        raise DataError(
            f"{origin / DESCRIPTION} describes no network of this version: {message[:_SHOWN]}"
        ) from fault
    except OversizedError as fault:
        raise DataError(f"{origin / DESCRIPTION} describes no network that is here: {fault}") from fault
    return network


def check_given(
    network: FlowNetwork, description: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], origin: Path
) -> None:
    """Make sure that a given network is like the one that was saved, as far as that is recorded.

    Raises:
        DataError: if it is another; it is as it was.
    """
    check_placed(network.state_dict())
    compare_shapes(network, shapes, str(origin), "the network given")
    try:
        facts, composition = facts_of(description["facts"]), dict(description["composition"])
        ends = ends_of(
            composition.get("branches", 1), network.facts.depth, refined=network.refiner is not None
        )
    except (ConfigError, TypeError, AttributeError, ValueError) as fault:
        raise DataError(f"{origin / DESCRIPTION} describes no network of this version: {fault}") from fault
    pairs = {
        "shape": (facts.shape, network.facts.shape),
        "classes": (facts.classes, network.facts.classes),
        "text": (facts.text, network.facts.text),
        "normalisation": (facts.normalisation, network.facts.normalisation),
        "ends of branches": (ends, network.facts.ends),
        "interpolant": (composition.get("interpolant"), network.composition.get("interpolant")),
        "prediction": (composition.get("prediction", "velocity"), network.prediction),
    }
    for what, (then, now) in pairs.items():
        if then != now:
            raise DataError(f"{origin} was saved with {what} {then}, and the network given has {now}")
    for kind in ("backbone", "refiner"):
        _compare_parts(kind, composition.get(kind), network.composition.get(kind), origin)
    network.facts = attrs.evolve(
        network.facts, condition_dropout=facts.condition_dropout, flow_map=facts.flow_map
    )


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


def facts_of(stated: Any) -> Facts:
    """The facts that a description states.

    Raises:
        ConfigError: if they are not what a description holds.
    """
    needed, further = {"shape", "classes", "condition_dropout"}, {"text", "normalisation", "flow_map"}
    if not isinstance(stated, dict) or not needed <= stated.keys() <= needed | further:
        raise ConfigError(
            f"its facts must be a table of {', '.join(sorted(needed))}, text where it is read, "
            "normalisation where samples are normalised, and flow_map where the network is one"
        )
    facts = dict(stated)
    if isinstance(facts.get("text"), list):
        facts["text"] = tuple(facts["text"])
    if "normalisation" in facts:
        facts["normalisation"] = Normalisation(**facts["normalisation"])
    return Facts(**facts)


def _compare_parts(kind: str, then: Any, now: Any, origin: Path) -> None:
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
