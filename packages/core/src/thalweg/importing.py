"""Networks on disk: ours as safetensors + JSON; tensors of released ones through importers.

A saved network is a folder of two files: ``model.safetensors`` with the tensors and ``model.json`` with
the composition, the facts and the tensors' SHA-256. Nothing is unpickled, ever.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from thalweg.composition import compose
from thalweg.config import component
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.facts import Facts
from thalweg.files import sha256, write_bytes
from thalweg.foreign import read_foreign
from thalweg.network import FlowNetwork
from thalweg.suggestions import one_line

__all__ = ["import_weights", "load", "read_foreign", "save"]

TENSORS, DESCRIPTION = "model.safetensors", "model.json"
_FORMAT = 1


def import_weights(source: str, state_dict: Mapping[str, Tensor], *, heads: int | None = None) -> FlowNetwork:
    """Read a released checkpoint's tensors as a network of ours.

    The network speaks our convention (t = 0 is data, velocity = noise - data) whatever the source's.

    Args:
        source: an importer's name: ``deepflow``, ``sit`` or ``repa``.
        state_dict: the tensors under their public names.
        heads: attention heads, where the width is none of the named sizes'.

    Raises:
        DataError: if the tensors are not of that source.
        ConfigError: if heads are needed and missing.
    """
    importer = component("importer", source).build(None)
    try:
        imported = importer(state_dict, heads)
    except (IndexError, ValueError, RuntimeError) as fault:  # what tensors of other shapes end in
        raise DataError(
            f"the checkpoint's tensors cannot be read as those of {source} ({one_line(fault)}); name its "
            f"source or check the file"
        ) from fault
    network = compose(**imported.composition, facts=imported.facts)
    _fill(network, imported.state_dict, f"the {source} checkpoint")
    return network


def save(
    path: Path,
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
        DataError: if something else stands there.
        ThalwegError: if it cannot be written.
    """
    if path.exists():
        try:
            _describe(path)
        except DataError as fault:
            raise DataError(f"{path} exists and is no saved network; choose another place") from fault
    description = {
        "format": _FORMAT,
        "composition": dict(composition),
        "facts": {"shape": list(facts.shape), "classes": facts.classes},
        **more,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
            fresh = Path(scratch) / path.name
            fresh.mkdir()
            save_file(tensors, fresh / TENSORS)
            description["sha256"] = sha256(fresh / TENSORS)
            write_bytes(fresh / DESCRIPTION, (json.dumps(description, indent=2) + "\n").encode())
            with (fresh / TENSORS).open("rb") as written:
                os.fsync(written.fileno())
            _replace(path, fresh, Path(scratch) / "former")
    except (OSError, SafetensorError) as error:
        raise ThalwegError(
            f"cannot write {path} ({one_line(error)}); choose a place open to writing"
        ) from error


def load(path: str | Path, *, device: torch.device | str | None = None) -> FlowNetwork:
    """Open a saved network, ready to sample.

    Args:
        path: the folder written by training (its ``model``), by ``thalweg import`` or by :func:`save`;
            or a run directory that holds one.
        device: where to put it.

    Raises:
        DataError: if it is missing, damaged or of another architecture than it says.
    """
    folder = Path(path)
    if not (folder / DESCRIPTION).is_file() and (folder / "model" / DESCRIPTION).is_file():
        folder = folder / "model"
    description = _describe(folder)
    if sha256(folder / TENSORS) != description["sha256"]:
        raise DataError(f"{folder / TENSORS} is damaged: its SHA-256 differs from the one in {DESCRIPTION}")
    try:
        network = compose(**description["composition"], facts=Facts(**description["facts"]))
    except (ConfigError, TypeError) as fault:
        raise DataError(f"{folder / DESCRIPTION} describes no network of this version: {fault}") from fault
    _fill(network, load_file(folder / TENSORS), str(folder))
    return network.to(device or "cpu").eval()


def _replace(path: Path, fresh: Path, former: Path) -> None:
    # A folder cannot be moved over another that holds files, so the old one steps aside first.
    if not path.exists():
        fresh.rename(path)
        return
    path.rename(former)
    try:
        fresh.rename(path)
    except BaseException:
        former.rename(path)
        raise


def _describe(folder: Path) -> dict[str, Any]:
    if not (folder / DESCRIPTION).is_file() or not (folder / TENSORS).is_file():
        raise DataError(f"{folder} holds no network: {DESCRIPTION} and {TENSORS} are expected there")
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        version = description["format"]
        complete = {"composition", "facts", "sha256"} <= description.keys()
    except (ValueError, TypeError, KeyError) as fault:
        raise DataError(f"{folder / DESCRIPTION} is no description of a network; write it anew") from fault
    if version != _FORMAT or not complete:
        raise DataError(
            f"{folder / DESCRIPTION} has format {version}, this version reads {_FORMAT}; upgrade thalweg"
        )
    return dict(description)


def _fill(network: FlowNetwork, tensors: Mapping[str, Tensor], origin: str) -> None:
    expected = network.state_dict()
    missing, extra = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or extra:
        names = ", ".join(
            [f"-{name}" for name in sorted(missing)][:3] + [f"+{name}" for name in sorted(extra)][:3]
        )
        raise DataError(f"{origin} does not fit its architecture (missing -, unknown +): {names}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise DataError(
                f"{origin} does not fit its architecture: {name} is {tuple(tensor.shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
    network.load_state_dict(dict(tensors))
