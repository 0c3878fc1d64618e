"""Saved networks: safetensors + JSON.

A saved network is a folder of two files: ``model.safetensors`` with the tensors and ``model.json`` with
the composition, the facts, the tensors' SHA-256 and a digest of itself. Nothing is unpickled, ever.
"""

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg import files
from thalweg.arguments import check_instance, check_path
from thalweg.config import CONFIG, read_recorded
from thalweg.descriptions import (
    check_given,
    described,
    described_network,
    description_of,
    read,
    refuse_objects,
)
from thalweg.devices import usable_device
from thalweg.documents import write_document
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.fetching import DESCRIPTION, TENSORS, on_this_machine
from thalweg.files import sha256, sync_folder
from thalweg.folders import make_folders, remove_tree, replace_folder
from thalweg.network import FlowNetwork
from thalweg.plugins.recording import FILES_KEY, check_files
from thalweg.saved_averages import beside, check_average, group_of
from thalweg.stated import check_placed
from thalweg.storage import redacted
from thalweg.storage.places import check_folder, is_url, local_path
from thalweg.suggestions import one_line
from thalweg.tensor_files import open_tensors, read_tensors, shapes_of, write_tensors
from thalweg.training import checkpoint


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
            description_of(path)
        except DataError as fault:
            raise DataError(f"{path} exists and is no saved network; choose another place") from fault


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
        description = read(saved / DESCRIPTION, sealed=False)
        group = checkpoint.TensorGroup(saved, group_of(saved, average))
        shapes = {name: tuple(shape) for name, shape in group.shapes.items()}
    else:
        description = description_of(folder)
        check_average(folder, description, average)
        if sha256(folder / TENSORS) != description["sha256"]:
            raise DataError(
                f"{folder / TENSORS} is damaged: its SHA-256 differs from the one in {DESCRIPTION}"
            )
        shapes = shapes_of(open_tensors(folder / TENSORS))
    origin = saved or folder
    if network is None:
        refuse_objects(description["composition"], redacted(str(path)))
        check_files(description.get(FILES_KEY), str(origin))
        network = described_network(description, shapes, origin)
    else:
        check_given(network, description, shapes, origin)
    tensors = (
        {name: group.read(name) for name in shapes} if saved is not None else read_tensors(folder / TENSORS)
    )
    network.load_state_dict(tensors)
    network.sampling = _sampling(origin, description)
    return (network if home is None else network.to(home)).eval()


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


def _checkpoint(folder: Path) -> Path | None:
    """The verified checkpoint that a folder is, or the newest whole one of a run directory."""
    if (folder / checkpoint.MANIFEST).is_file():
        checkpoint.verify(folder)
        return folder
    if (folder / DESCRIPTION).is_file():
        return None
    return checkpoint.newest(folder / "checkpoints", logging.getLogger("thalweg").warning)
