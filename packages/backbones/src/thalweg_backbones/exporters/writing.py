"""Exports on disk, whole or not at all."""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import torch

from thalweg.errors import ConfigError, ThalwegError
from thalweg.exported import Exported
from thalweg.files import replacing, unwritable, whole
from thalweg.folders import make_folders, whole_folder
from thalweg.tensor_files import write_tensors
from thalweg_backbones.foreign.checkpoints import ARGUMENTS
from thalweg_backbones.foreign.dcp import METADATA

DCP = ".dcp"
"""Ending of a folder of ``torch.distributed.checkpoint`` in another program's layout."""


def check_place(path: Path, target: str, suffixes: tuple[str, ...]) -> None:
    """Make sure that an export may be written there.

    Args:
        path: of the file or folder.
        target: the exporter's name.
        suffixes: endings of the file; empty for a folder.

    Raises:
        ConfigError: something stands there, or it is called like something else.
    """
    if path.is_symlink() or path.exists():
        raise ConfigError(f"{path} exists already; choose another place, or remove it")
    if suffixes and path.suffix not in suffixes:
        *others, last = suffixes
        endings = f"{', '.join(others)} or {last}" if others else last
        raise ConfigError(f"what {target} makes ends with {endings}; {path} does not")
    if not suffixes and path.suffix in (".pt", ".pth", ".safetensors", ".json"):
        raise ConfigError(f"{target} makes a folder, and {path} is called like a file; call it otherwise")


def write(exported: Exported, path: Path) -> None:
    """Write an export where nothing is; it is there once it is whole.

    Args:
        exported: what to write.
        path: of the file or the folder.

    Raises:
        ThalwegError: if it cannot be written.
    """
    try:
        make_folders(path.parent)
        if exported.place:
            _write_folder(exported, path)
        elif path.suffix == DCP:
            with whole_folder(path) as folder:
                _write_dcp(folder, "ema", exported)
        elif path.suffix == ".safetensors":
            metadata = {ARGUMENTS: json.dumps(dict(exported.arguments))} if exported.arguments else None
            with replacing(path) as part:
                write_tensors(part, exported.tensors, metadata)
        else:
            _write_checkpoint(exported, path)
    except OSError as error:
        raise unwritable(path, error) from error
    except RuntimeError as error:  # what torch makes of a disk that is full
        if isinstance(error, ThalwegError):
            raise
        raise ThalwegError(f"{path} cannot be written ({error}); choose another place") from error


def _write_folder(exported: Exported, path: Path) -> None:
    with whole_folder(path) as folder:
        tensors = folder / exported.place
        tensors.parent.mkdir(parents=True, exist_ok=True)
        if tensors.name == METADATA:
            _write_dcp(tensors.parent, "model", exported)
        else:
            write_tensors(tensors, exported.tensors)
        for place, text in exported.files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8")


def _write_dcp(folder: Path, key: str, exported: Exported) -> None:
    """As ``torch.distributed.checkpoint`` saves in one process: the tensors under a key, arguments beside."""
    # Seldom needed, and slow to import.
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    content = {key: dict(exported.tensors), ARGUMENTS: dict(exported.arguments)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # as is meant here
        try:
            save(content, storage_writer=FileSystemWriter(folder, sync_files=True), no_dist=True)
        except CheckpointException as fault:  # which is no Exception, and holds what each rank met
            raise next(error for error, _ in fault.failures.values()) from fault


def _write_checkpoint(exported: Exported, path: Path) -> None:
    """As training scripts save: EMA weights, and a namespace of their arguments."""
    # Views share memory, of which a pickle would hold all.
    tensors = {name: tensor.contiguous().clone() for name, tensor in exported.tensors.items()}
    content: dict[str, Any] = {"ema": tensors, ARGUMENTS: argparse.Namespace(**exported.arguments)}
    with whole(path) as file:
        torch.save(content, file)
