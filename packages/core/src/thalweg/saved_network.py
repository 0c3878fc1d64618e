"""Saved networks: safetensors + JSON.

A saved network is a folder of two files: ``model.safetensors`` with the tensors and ``model.json`` with
the composition, the facts, the tensors' SHA-256 and a digest of itself. Nothing is unpickled, ever.
"""

import contextlib
import logging
import math
import os
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg import files
from thalweg.arguments import check_instance, check_path
from thalweg.bounding import TooLargeError, at_most, check_description
from thalweg.branches import ends_of
from thalweg.composition import compose
from thalweg.config import CONFIG, component, read_recorded
from thalweg.devices import usable_device
from thalweg.documents import write_document
from thalweg.errors import ConfigError, DataError, PluginError, ThalwegError
from thalweg.facts import Facts
from thalweg.fetching import DESCRIPTION, TENSORS, on_this_machine, read_description
from thalweg.files import sha256, sync_folder
from thalweg.folders import make_folders, remove_tree, replace_folder
from thalweg.network import FlowNetwork
from thalweg.objects import OBJECT, is_object
from thalweg.plugins import KINDS
from thalweg.plugins.recording import FILES_KEY, check_files, files_of
from thalweg.saved_averages import beside, check_average, group_of
from thalweg.stated import check_placed, compare_parts
from thalweg.storage import redacted
from thalweg.storage.places import check_folder, is_url, local_path
from thalweg.suggestions import one_line
from thalweg.tensor_files import differences, open_tensors, read_tensors, shapes_of, write_tensors
from thalweg.training import checkpoint

_FORMAT, _NEEDED = 3, {"composition", "facts"}
_SHOWN = 400  # characters of what is wrong with a description


def save(
    path: Path | str, network: FlowNetwork, *, state_dict: Mapping[str, Tensor] | None = None, **more: Any
) -> None:
    """Write a network as a folder that :func:`load` opens; nothing half written is ever visible.

    A network that was put together by hand is saved with its weights and what its parts are called;
    :func:`load` then has to be given the network again.

    Args:
        path: the folder; must not exist, or be a saved network, which is replaced as a whole.
        network: what is saved.
        state_dict: its tensors, if they are not those that it has now, such as EMA weights.
        more: JSON values worth keeping beside it, such as the step.

    Raises:
        ConfigError: if it is a URL, or called like a file; or ``network`` is none.
        DataError: if something else stands there.
        ThalwegError: if it cannot be written.
    """
    check_instance("network", network, FlowNetwork, "a network, as thalweg.compose returns it")
    tensors = network.state_dict() if state_dict is None else state_dict
    check_placed(tensors)
    if taken := sorted(more.keys() & {"format", "composition", "facts", "sha256", "digest", FILES_KEY}):
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
            _describe(path)
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
    found = {"format": _FORMAT, "composition": composition, "facts": stated}
    files = files_of(network, *_configs_of(composition))
    return {**found, FILES_KEY: files} if files else found


def _configs_of(composition: Mapping[str, Any]) -> Iterator[Any]:
    """The configs that a composition names, which may hold parts that are not in the network."""
    for kind in ("backbone", "refiner", "interpolant"):
        stated = composition.get(kind)
        if kind in KINDS and stated is not None and not is_object(stated):
            yield component(kind, stated)


def load(
    path: str | Path,
    *,
    network: FlowNetwork | None = None,
    device: torch.device | str | None = None,
    average: str | None = None,
) -> FlowNetwork:
    """Open a saved network, ready to sample.

    Args:
        path: the folder written by training (its ``model``), by ``thalweg import`` or by :func:`save`; a
            checkpoint of a run, of which the EMA weights are taken; or a run directory: its ``model``
            if the run is complete, else its latest complete checkpoint. A path or a URL.
        network: takes the weights, in place of one that is composed; needed for one of parts that were made
            in Python, and its tensors must have the names and shapes of those that were saved.
        device: where to put it; one that is given stays where it is if none is.
        average: the name of one that the run keeps, such as ``"0.999"``; the main one by default.

    Returns:
        The network: the one that was given, if one was.

    Raises:
        ConfigError: if it was put together in Python and is not given.
        DataError: if it is missing, damaged or of another architecture than it says, or than was given.
        PluginError: if a plugin or a plugin file is missing that it was made with.
    """
    check_path("path", path, "a saved network, a run or a checkpoint")
    if network is not None:
        check_instance("network", network, FlowNetwork, "a network like the one that was saved, or None")
    home = None if device is None and network is not None else usable_device(device or "cpu")
    folder = on_this_machine(path)
    if average is not None and is_url(path):
        # Of a run on a store only what is asked for is brought here.
        run = str(path).rstrip("/").removesuffix("/model")
        folder = on_this_machine(f"{run}/model-{average}") or folder
    if folder is None:
        raise DataError(f"{redacted(str(path))} holds no network; give a saved one, a run or a checkpoint")
    if not (folder / DESCRIPTION).is_file() and (folder / "model" / DESCRIPTION).is_file():
        folder = folder / "model"
    if average is not None and folder.name == "model" and (other := beside(folder, average)) is not None:
        folder = other
    saved = _checkpoint(folder)
    if saved is not None:
        # Its manifest has a digest of all its files, and was compared.
        description = _read(saved / DESCRIPTION, _NEEDED, sealed=False)
        group = checkpoint.TensorGroup(saved, group_of(saved, average))
        shapes = {name: tuple(shape) for name, shape in group.shapes.items()}
    else:
        description = _describe(folder)
        check_average(folder, description, average)
        if sha256(folder / TENSORS) != description["sha256"]:
            raise DataError(
                f"{folder / TENSORS} is damaged: its SHA-256 differs from the one in {DESCRIPTION}"
            )
        shapes = shapes_of(open_tensors(folder / TENSORS))
    origin = saved or folder
    if network is None:
        _refuse_objects(description["composition"], redacted(str(path)))
        check_files(description.get(FILES_KEY), str(origin))
        network = _built(description, shapes, origin)
    else:
        _check_given(network, description, shapes, origin)
    tensors = (
        {name: group.read(name) for name in shapes} if saved is not None else read_tensors(folder / TENSORS)
    )
    network.load_state_dict(tensors)
    network.sampling = _sampling(origin, description)
    return (network if home is None else network.to(home)).eval()


def _refuse_objects(composition: Any, path: str) -> None:
    stated = composition if isinstance(composition, Mapping) else {}
    made = [f"{kind} {table[OBJECT]}" for kind, table in stated.items() if is_object(table)]
    if made:
        raise ConfigError(
            f"{path} was saved of a network of parts that were made in Python ({', '.join(made)}), which no "
            f"file can make again; build the network and give it: thalweg.load({path!r}, network=...)"
        )


def _check_given(
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


def _sampling(folder: Path, description: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the run that a network lies in draws; of one away from its run, what was saved with it."""
    found: Any = description.get("sampling")
    for above in (folder, folder.parent, folder.parent.parent):
        if (above / CONFIG).is_file():
            try:
                found = read_recorded(above / CONFIG).get("sampling")
            except DataError as error:
                logging.getLogger("thalweg").warning("%s; how its run draws is not known", error)
                found = None
            break
    return found if isinstance(found, dict) else {}


def _built(
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


def _checkpoint(folder: Path) -> Path | None:
    """The verified checkpoint that a folder is, or the newest whole one of a run directory."""
    if (folder / checkpoint.MANIFEST).is_file():
        checkpoint.verify(folder)
        return folder
    if (folder / DESCRIPTION).is_file():
        return None
    return checkpoint.newest(folder / "checkpoints", logging.getLogger("thalweg").warning)


def _describe(folder: Path) -> dict[str, Any]:
    if not (folder / DESCRIPTION).is_file() or not (folder / TENSORS).is_file():
        raise DataError(f"{folder} holds no network: {DESCRIPTION} and {TENSORS} are expected there")
    return _read(folder / DESCRIPTION, _NEEDED | {"sha256"}, sealed=True)


def _read(path: Path, needed: Set[str], *, sealed: bool) -> dict[str, Any]:
    description = read_description(path, sealed=sealed)
    version, complete = description.get("format"), needed <= description.keys()
    if version != _FORMAT or not complete:
        raise DataError(f"{path} has format {version}, this version reads {_FORMAT}; upgrade thalweg")
    return description


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
