"""Opening saved networks, runs and checkpoints."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg import checkpoint
from thalweg.arguments import check_instance, check_path
from thalweg.calibration import Calibration
from thalweg.config import CONFIG, read_recorded
from thalweg.devices import usable_device
from thalweg.errors import DataError
from thalweg.fetching import averaged_at, on_this_machine
from thalweg.files import sha256
from thalweg.network import FlowNetwork
from thalweg.plugins.recording import FILES_KEY, check_files
from thalweg.saved_network import (
    CALIBRATION,
    DESCRIPTION,
    EMA,
    TENSORS,
    check_given,
    described_network,
    description_of,
    ema_group,
    read_description,
    refuse_objects,
)
from thalweg.storage import MissingError, redacted
from thalweg.storage.places import is_url
from thalweg.tensor_files import open_tensors, read_tensors, shapes_of


def load(
    path: str | Path,
    *,
    network: FlowNetwork | None = None,
    device: torch.device | str | None = None,
    average: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> FlowNetwork:
    """Open a saved network, ready to sample.

    Args:
        path: the folder written by training (its ``model``), by ``thalweg import`` or by :func:`save`; a
            checkpoint of a run, of which the EMA weights are taken; or a run directory: its ``model``
            if the run is complete, else its latest complete checkpoint. A path or a URL, such as
            ``hf://owner/name`` or ``hf://owner/name@revision`` of the Hugging Face Hub.
        network: takes the weights, in place of one that is composed; needed for one of parts that were made
            in Python, and its tensors must have the names and shapes of those that were saved.
        device: where to put it; one that is given stays where it is if none is.
        average: the name of one that the run keeps, such as ``"0.999"``; the main one by default.
        storage_options: of a URL, such as ``{"token": ...}``; they go before those of the environment.

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
    folder = on_this_machine(path, storage_options)
    if average is not None and is_url(path):
        # Of a run on a store only what is requested is brought here.
        folder = _averaged(str(path), average, storage_options) or folder
    if folder is None:
        raise DataError(f"{redacted(str(path))} holds no network; give a saved one, a run or a checkpoint")
    if not (folder / DESCRIPTION).is_file() and (folder / "model" / DESCRIPTION).is_file():
        folder = folder / "model"
    if average is not None and folder.name == "model" and (other := _beside(folder, average)) is not None:
        folder = other
    saved = _checkpoint(folder)
    if saved is not None:
        # Its manifest has a digest of all its files, and was compared.
        description = read_description(saved / DESCRIPTION, sealed=False)
        group = checkpoint.TensorGroup(saved, _group_of(saved, average))
        shapes = {name: tuple(shape) for name, shape in group.shapes.items()}
    else:
        description = description_of(folder)
        _check_average(folder, description, average)
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
    stated = description.get(CALIBRATION)
    network.calibration = None if stated is None else Calibration.from_plain(stated)
    return (network if home is None else network.to(home)).eval()


def _averaged(path: str, average: str, options: Mapping[str, Any] | None) -> Path | None:
    try:
        return on_this_machine(averaged_at(path, average), options)
    except MissingError:
        return None  # where nothing may be downloaded, the network that is here may be the one


def _sampling(folder: Path, description: Mapping[str, Any]) -> Mapping[str, Any]:
    """The sampling settings of the run that a network is stored in, else those that were saved with it."""
    found: Any = description.get("sampling")
    for above in (folder, folder.parent, folder.parent.parent):
        if (above / CONFIG).is_file():
            try:
                found = read_recorded(above / CONFIG).get("sampling")
            except DataError as error:
                logging.getLogger("thalweg").warning("%s; how its run samples is not known", error)
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
    return checkpoint.latest_complete(folder / "checkpoints", logging.getLogger("thalweg").warning)


def _beside(model: Path, average: str) -> Path | None:
    """The saved network of another average of the same run; None if there is none."""
    found = model.parent / f"{model.name}-{Path(average).name}"
    return found if (found / DESCRIPTION).is_file() else None


def _group_of(saved: Path, average: str | None) -> str:
    """The group of a checkpoint that holds an average."""
    if average is None:
        return EMA
    names = checkpoint.read_document(saved, "state").get("averages", [])
    if average not in names:
        raise _no_average(saved, average, names)
    return ema_group(average, names)


def _check_average(folder: Path, description: Mapping[str, Any], average: str | None) -> None:
    """Make sure that a saved network is of an average, if one is requested.

    Raises:
        DataError: it is of another, or nobody knows.
    """
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
