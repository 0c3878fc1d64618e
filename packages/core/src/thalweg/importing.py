"""Networks on disk: ours as safetensors + JSON; tensors of released ones through importers.

A saved network is a folder of two files: ``model.safetensors`` with the tensors and ``model.json`` with
the composition, the facts, the tensors' SHA-256 and a digest of itself. Nothing is unpickled, ever.
"""

import argparse
import contextlib
import logging
import math
import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg import files
from thalweg.arguments import check_instance, check_path
from thalweg.bounding import TooLargeError, at_most, check_description
from thalweg.composition import compose
from thalweg.config import CONFIG, component, read_recorded
from thalweg.devices import usable_device
from thalweg.documents import write_document
from thalweg.errors import ConfigError, DataError, PluginError, ThalwegError
from thalweg.facts import Facts
from thalweg.fetching import DESCRIPTION, TENSORS, on_this_machine, read_description
from thalweg.files import sha256, sync_folder
from thalweg.folders import make_folders, remove_tree, replace_folder
from thalweg.foreign import read_foreign
from thalweg.foreign_numbers import check_numbers
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component
from thalweg.storage import redacted
from thalweg.storage.places import check_folder, is_url, local_path
from thalweg.suggestions import one_line
from thalweg.tensor_files import differences, open_tensors, read_tensors, shapes_of, write_tensors
from thalweg.told import Settled, Told
from thalweg.training import checkpoint

__all__ = ["described", "import_told", "import_weights", "load", "read_foreign", "save"]

_FORMAT, _NEEDED = 3, {"composition", "facts"}
_SHOWN = 400  # characters of what is wrong with a description


@attrs.frozen(eq=False)
class Import:
    """A network that was imported, and what was taken from where.

    Attributes:
        network: speaks our convention.
        settled: what the tensors alone do not tell, such as ``heads``, with what told it.
    """

    network: FlowNetwork
    settled: Mapping[str, Settled]


def import_weights(
    source: str,
    state_dict: Mapping[str, Tensor],
    *,
    heads: int | None = None,
    branches_at: Sequence[int] | None = None,
    path: str | None = None,
    prediction: str | None = None,
    clamp: bool | None = None,
    classes: int | None = None,
    args: Mapping[str, Any] | argparse.Namespace | None = None,
) -> FlowNetwork:
    """Read a released checkpoint's tensors as a network of ours.

    The network speaks our convention (t = 0 is data, velocity = noise - data) whatever the source's. What
    neither the tensors nor ``args`` tell has to be given; nothing is guessed.

    Args:
        source: an importer's name: ``deepflow``, ``sit``, ``repa`` or ``repa-t2i``.
        state_dict: the tensors under their public names, or what :func:`read_foreign` gives.
        heads: attention heads.
        branches_at: depths after which DeepFlow's branches end, all but the last.
        path: ``linear`` or ``cosine``, which SiT calls GVP.
        prediction: what the network was trained to predict; only ``velocity`` can be imported.
        clamp: whether DeepFlow bounds the time gap's scale (``legacy_scaling``).
        classes: number of classes, without the null class.
        args: arguments of the script that trained it; those of :func:`read_foreign` unless given.

    Raises:
        DataError: if the tensors are not of that source, or of a network that cannot be represented.
        ConfigError: if something is needed and missing, or contradicts the file.
    """
    found = getattr(state_dict, "arguments", {}) if args is None else args
    found = vars(found) if isinstance(found, argparse.Namespace) else found
    check_instance("args", found, Mapping, "a mapping or an argparse.Namespace of the script's arguments")
    told = Told(heads, branches_at, path, prediction, clamp, classes, found)
    return import_told(source, state_dict, told).network


def import_told(source: str, state_dict: Mapping[str, Tensor], told: Told) -> Import:
    """As :func:`import_weights`, with what was taken from where.

    Args:
        source: an importer's name.
        state_dict: the tensors under their public names.
        told: options, and arguments of the file.

    Raises:
        DataError: if the tensors are not of that source, or of a network that cannot be represented.
        ConfigError: if something is needed and missing, or contradicts the file.
    """
    _check_tensors(state_dict)
    check_numbers(state_dict)
    importer = build_component(component("importer", source), None)
    try:
        imported = importer(state_dict, told)
    except (IndexError, ValueError, RuntimeError) as fault:  # what tensors of other shapes end in
        raise DataError(
            f"the checkpoint's tensors cannot be read as those of {source} ({one_line(fault)}); name its "
            f"source or check the file"
        ) from fault
    network = compose(**imported.composition, facts=imported.facts)
    tensors = dict(imported.state_dict)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _compare(network, shapes, f"the {source} checkpoint")
    network.load_state_dict(tensors)
    return Import(network, imported.settled)


def _check_tensors(state_dict: Mapping[str, Tensor]) -> None:
    mapping = "a mapping of names to tensors, as thalweg.importing.read_foreign reads it from a file"
    check_instance("state_dict", state_dict, Mapping, mapping)
    for name, tensor in state_dict.items():
        check_instance("a key of state_dict", name, str, "the name of a tensor")
        if isinstance(tensor, Mapping):
            raise ConfigError(
                f"state_dict[{name!r}] is a table itself, as in a whole checkpoint; give {mapping}"
            )
        check_instance(f"state_dict[{name!r}]", tensor, Tensor, "a tensor")


def save(
    path: Path | str,
    state_dict: Mapping[str, Tensor],
    composition: Mapping[str, Any],
    facts: Facts,
    **more: Any,
) -> None:
    """Write a network as a folder that :func:`load` opens; nothing half written is ever visible.

    Args:
        path: the folder; must not exist, or be a saved network, which is replaced as a whole.
        state_dict: the network's tensors.
        composition: the network's ``composition``.
        facts: the network's ``facts``.
        more: JSON values worth keeping beside it, such as the step.

    Raises:
        ConfigError: if it is a URL, or called like a file.
        DataError: if something else stands there.
        ThalwegError: if it cannot be written.
    """
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
            seal = write_tensors(fresh / TENSORS, state_dict)
            description = {**described(composition, facts), **more, "sha256": seal.sha256}
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


def described(composition: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """What it takes to compose a network again, as JSON values."""
    stated = {
        "shape": list(facts.shape),
        "classes": facts.classes,
        "condition_dropout": facts.condition_dropout,
    }
    if facts.text is not None:
        stated["text"] = list(facts.text)
    return {"format": _FORMAT, "composition": dict(composition), "facts": stated}


def load(
    path: str | Path, *, device: torch.device | str | None = None, average: str | None = None
) -> FlowNetwork:
    """Open a saved network, ready to sample.

    Args:
        path: the folder written by training (its ``model``), by ``thalweg import`` or by :func:`save`; a
            checkpoint of a run, of which the averaged weights are taken; or a run directory: its ``model``
            if the run is complete, else its newest whole checkpoint. A path or a URL.
        device: where to put it.
        average: the name of one that the run keeps, such as ``"0.999"``; the main one by default.

    Raises:
        DataError: if it is missing, damaged or of another architecture than it says.
    """
    check_path("path", path, "a saved network, a run or a checkpoint")
    home = usable_device("cpu" if device is None else device)
    folder = on_this_machine(path)
    if average is not None and is_url(path):
        # Of a run on a store only what is asked for is brought here.
        run = str(path).rstrip("/").removesuffix("/model")
        folder = on_this_machine(f"{run}/model-{average}") or folder
    if folder is None:
        raise DataError(f"{redacted(str(path))} holds no network; give a saved one, a run or a checkpoint")
    if not (folder / DESCRIPTION).is_file() and (folder / "model" / DESCRIPTION).is_file():
        folder = folder / "model"
    if average is not None and folder.name == "model" and (beside := _beside(folder, average)) is not None:
        folder = beside
    saved = _checkpoint(folder)
    if saved is not None:
        # Its manifest has a digest of all its files, and was compared.
        description = _read(saved / DESCRIPTION, _NEEDED, sealed=False)
        group = checkpoint.TensorGroup(saved, _group(saved, average))
        shapes = {name: tuple(shape) for name, shape in group.shapes.items()}
    else:
        description = _describe(folder)
        _check_average(folder, description, average)
        if sha256(folder / TENSORS) != description["sha256"]:
            raise DataError(
                f"{folder / TENSORS} is damaged: its SHA-256 differs from the one in {DESCRIPTION}"
            )
        shapes = shapes_of(open_tensors(folder / TENSORS))
    origin = saved or folder
    network = _built(description, shapes, origin)
    tensors = (
        {name: group.read(name) for name in shapes} if saved is not None else read_tensors(folder / TENSORS)
    )
    network.load_state_dict(tensors)
    network.sampling = _sampling(origin, description)
    return network.to(home).eval()


def _beside(model: Path, average: str) -> Path | None:
    """The saved network of another average of the same run; None if there is none."""
    found = model.parent / f"{model.name}-{Path(average).name}"
    return found if (found / DESCRIPTION).is_file() else None


def _group(saved: Path, average: str | None) -> str:
    """The group of a checkpoint that holds an average."""
    if average is None:
        return "ema"
    names = checkpoint.read_document(saved, "state").get("averages", [])
    if average not in names:
        raise _no_average(saved, average, names)
    return "ema" if average == names[0] else f"ema-{average}"


def _check_average(folder: Path, description: Mapping[str, Any], average: str | None) -> None:
    run = description.get("run")
    own = run.get("average") if isinstance(run, dict) else None
    if average is not None and own != average:
        raise _no_average(folder, average, [] if own is None else [own])


def _no_average(where: Path, average: str, names: Sequence[str]) -> DataError:
    known = f"it is {' and '.join(names)}" if len(names) == 1 else f"there are {', '.join(names)}"
    return DataError(
        f"{where} has no average {average!r} ({known if names else 'nobody wrote down which it has'}); "
        "name one that the run keeps, or leave it out"
    )


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
            _compare(compose(**arguments, facts=facts, device="meta"), shapes, str(origin))
        with at_most(len(shapes), elements):
            network = compose(**arguments, facts=facts)
        _compare(network, shapes, str(origin))
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


def _compare(network: FlowNetwork, shapes: Mapping[str, tuple[int, ...]], origin: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    different = differences(expected, shapes)
    if different:
        raise DataError(f"{origin} does not fit its architecture: {different}")
