"""Checkpoints: folders of safetensors and JSON that are there whole or not at all.

A checkpoint is written beside its place, flushed to the disk, given a manifest with the SHA-256 of every
file, and renamed. Nothing is pickled.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from thalweg.errors import DataError, ThalwegError
from thalweg.files import sha256

FORMAT = "thalweg-checkpoint"
VERSION = 1
MANIFEST = "manifest.json"

_NAME = re.compile(r"step-(\d{8,})")
_PARTIAL = ".partial-"


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    documents: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint of a step, then remove all but the newest ``keep`` up to it.

    Args:
        folder: where checkpoints live; made if need be.
        step: names it, ``step-00000500``.
        tensors: one ``.safetensors`` file each.
        documents: one ``.json`` file each.
        keep: how many to leave, at least 1.

    Returns:
        Where it is.

    Raises:
        ThalwegError: if it cannot be written; what was there before is untouched.
    """
    place = folder / f"step-{step:08d}"
    partial = folder / f"{_PARTIAL}{place.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        clean(folder)
        partial.mkdir()
        for name, group in tensors.items():
            save_file(
                {key: tensor.contiguous() for key, tensor in group.items()}, partial / f"{name}.safetensors"
            )
        for name, document in documents.items():
            (partial / f"{name}.json").write_text(_text(document))
        files = {path.name: _seal(path) for path in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(_text({"format": FORMAT, "version": VERSION, "files": files}))
        _sync(partial / MANIFEST)
        _sync(partial)
        if place.exists():
            # A damaged one that the run went back behind: it makes room for its successor.
            place.rename(folder / f"{_PARTIAL}old-{place.name}")
        partial.rename(place)
        _sync(folder)
        clean(folder)
        for old in [path for path in checkpoints(folder) if path <= place][:-keep]:
            shutil.rmtree(old)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ThalwegError(
            f"cannot write the checkpoint {place}: {error}; "
            f"make room or give permission there, then start the same run again"
        ) from error
    return place


def clean(folder: Path) -> None:
    """Remove what an interrupted write left behind."""
    for path in folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(path)


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints by step, whole or damaged."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir() and _NAME.fullmatch(path.name))


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name states."""
    return int(checkpoint.name.removeprefix("step-"))


def verify(checkpoint: Path) -> None:
    """Check every file against the manifest.

    Raises:
        DataError: naming the file that is missing, foreign or damaged.
    """
    advice = "use another checkpoint"
    for name, (size, digest) in _listed(checkpoint, advice).items():
        path = checkpoint / name
        if not path.is_file():
            raise DataError(f"{path} is missing; {advice}")
        if path.stat().st_size != size:
            raise DataError(f"{path} has {path.stat().st_size} bytes instead of {size}; {advice}")
        if sha256(path) != digest:
            raise DataError(f"{path} is damaged, its SHA-256 differs from the manifest's; {advice}")


def newest(folder: Path, complain: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that verifies; None if there is none at all.

    Args:
        folder: where checkpoints live.
        complain: told of each damaged one on the way.

    Raises:
        DataError: if there are some and all are damaged.
    """
    found = checkpoints(folder)
    for checkpoint in reversed(found):
        try:
            verify(checkpoint)
        except DataError as error:
            complain(f"{error}: going back to the one before")
            continue
        return checkpoint
    if found:
        raise DataError(
            f"all {len(found)} checkpoints in {folder} are damaged; "
            f"restore one, or remove them to start again"
        )
    return None


def read_tensors(checkpoint: Path, name: str) -> dict[str, Tensor]:
    """The tensors that were saved under a name.

    Raises:
        DataError: if the file is missing or no safetensors.
    """
    path = checkpoint / f"{name}.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}; use another checkpoint") from error


def read_document(checkpoint: Path, name: str) -> Any:
    """The document that was saved under a name.

    Raises:
        DataError: if the file is missing or no JSON.
    """
    path = checkpoint / f"{name}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; use another checkpoint") from error


def _listed(checkpoint: Path, advice: str) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 by file, as the manifest states them."""
    path = checkpoint / MANIFEST
    try:
        text = path.read_text()
        manifest = json.loads(text)
        # The manifest has no digest of its own: it must read exactly as it would be written.
        if manifest["format"] != FORMAT or _text(manifest) != text:
            raise DataError(f"{path} is damaged or foreign; {advice}")
        if manifest["version"] != VERSION:
            raise DataError(
                f"{checkpoint} has format version {manifest['version']} and this Thalweg reads {VERSION}; "
                f"use the Thalweg that wrote it"
            )
        return {name: (one["bytes"], one["sha256"]) for name, one in manifest["files"].items()}
    except FileNotFoundError as error:
        raise DataError(f"{checkpoint} is no checkpoint, it has no {MANIFEST}; {advice}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged; {advice}") from error


def _seal(path: Path) -> dict[str, Any]:
    _sync(path)
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def _text(document: Any) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
