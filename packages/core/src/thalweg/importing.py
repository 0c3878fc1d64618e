"""Networks on disk: ours as safetensors + JSON, released ones through importers.

A saved network is a folder of two files: ``model.safetensors`` with the tensors and ``model.json`` with
the composition, the facts and the tensors' SHA-256. Nothing is unpickled, ever.
"""

import hashlib
import json
import shutil
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
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.network import FlowNetwork

TENSORS, DESCRIPTION = "model.safetensors", "model.json"
_FORMAT = 1
_AVERAGES = ("ema", "model_ema")
_WEIGHTS = ("model", "state_dict")


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
    imported = component("importer", source).build(None)(state_dict, heads)
    network = compose(**imported.composition, facts=imported.facts)
    _fill(network, imported.state_dict, f"the {source} checkpoint")
    return network


def read_foreign(path: Path) -> dict[str, Tensor]:
    """The averaged weights (EMA) of a foreign checkpoint, else its only weights.

    Reads ``.safetensors``, and ``.pt`` / ``.pth`` with ``weights_only=True``, which executes nothing.

    Raises:
        DataError: if the file is missing, damaged or holds no tensors.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; give a .pt or .safetensors checkpoint")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:  # torch raises a dozen kinds of errors on a damaged file
        raise DataError(
            f"{path} cannot be read as plain tensors ({_first_line(fault)}); it is damaged, or holds "
            f"pickled objects, which are never executed: export its weights as safetensors"
        ) from fault
    for key in (*_AVERAGES, *_WEIGHTS):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no dictionary of tensors; export its weights as safetensors")
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise DataError(f"{path} holds no tensors; give a checkpoint of a network")
    return tensors


def save(
    path: Path,
    state_dict: Mapping[str, Tensor],
    composition: Mapping[str, Any],
    facts: Facts,
    **more: Any,
) -> None:
    """Write a network as a folder that :func:`load` opens; nothing half written is ever visible.

    Args:
        path: the folder; must not exist, or be a saved network, which is replaced.
        state_dict: the network's tensors.
        composition: the network's ``composition``.
        facts: the network's ``facts``.
        more: JSON values worth keeping beside it, such as the step.
    """
    if path.exists() and not (path / DESCRIPTION).is_file():
        raise DataError(f"{path} exists and is no saved network; choose another place")
    description = {
        "format": _FORMAT,
        "composition": dict(composition),
        "facts": {"shape": list(facts.shape), "classes": facts.classes},
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
        save_file(tensors, scratch / TENSORS)
        description["sha256"] = digest(scratch / TENSORS)
        (scratch / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        scratch.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        scratch.rename(path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


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
    if digest(folder / TENSORS) != description["sha256"]:
        raise DataError(f"{folder / TENSORS} is damaged: its SHA-256 differs from the one in {DESCRIPTION}")
    facts = Facts(**description["facts"])
    network = compose(**description["composition"], facts=facts)
    _fill(network, load_file(folder / TENSORS), str(folder))
    return network.to(device or "cpu").eval()


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]


__all__ = ["ConfigError", "SafetensorError", "digest", "import_weights", "load", "read_foreign", "save"]
