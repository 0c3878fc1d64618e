"""The manifest of a checkpoint: size and SHA-256 of every file, written last."""

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.files import Seal, sha256, sync_folder, write_new
from thalweg.regular import parse_json, read_bytes

MANIFEST = "manifest.json"

_FORMAT, _VERSION = "thalweg-checkpoint", 1
_LARGEST = 64 * 2**20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ADVICE = "use another checkpoint"
_THREADS = 4


def write_manifest(folder: Path, seals: Mapping[str, Seal]) -> None:
    """Seal a checkpoint; all files that are named must be on disk already."""
    files = {name: {"bytes": seal.bytes, "sha256": seal.sha256} for name, seal in seals.items()}
    text = text_of({"format": _FORMAT, "version": _VERSION, "files": files})
    write_new(folder / MANIFEST, [text.encode()])
    sync_folder(folder)


def verify(checkpoint: Path) -> None:
    """Check every file against the manifest.

    Raises:
        DataError: naming the file that is missing, foreign or damaged.
    """
    seals = listed(checkpoint)
    for name, seal in seals.items():
        path = checkpoint / name
        if not path.is_file() or path.is_symlink():
            raise DataError(f"{path} is missing; {_ADVICE}")
        if path.stat().st_size != seal.bytes:
            raise DataError(f"{path} has {path.stat().st_size} bytes instead of {seal.bytes}; {_ADVICE}")
    # Hashing leaves Python's lock, so threads share the work.
    with ThreadPoolExecutor(_THREADS) as threads:
        digests = threads.map(lambda name: _digest(checkpoint / name), seals)
        for (name, seal), digest in zip(seals.items(), digests, strict=True):
            if digest != seal.sha256:
                raise DataError(
                    f"{checkpoint / name} is damaged, its SHA-256 differs from the manifest's; {_ADVICE}"
                )


def listed(checkpoint: Path) -> dict[str, Seal]:
    """Size and SHA-256 by file, as the manifest states them.

    Raises:
        DataError: if it is missing, damaged or foreign, or names a file outside of the checkpoint.
    """
    path = checkpoint / MANIFEST
    try:
        content = read_bytes(path, _LARGEST)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{checkpoint} is no checkpoint, it has no {MANIFEST}; {_ADVICE}") from error
    except OSError as error:
        raise DataError(f"{path} is damaged or foreign; {_ADVICE}") from error
    return parse_manifest(content, checkpoint)


def parse_manifest(content: bytes, checkpoint: Path) -> dict[str, Seal]:
    """The same from the manifest's bytes."""
    damaged = DataError(f"{checkpoint / MANIFEST} is damaged or foreign; {_ADVICE}")
    try:
        text = content.decode()
        manifest = parse_json(text)
        # The manifest has no digest of its own: it must read exactly as it would be written.
        if manifest["format"] != _FORMAT or text_of(manifest) != text:
            raise damaged
        if manifest["version"] != _VERSION:
            raise DataError(
                f"{checkpoint} has format version {manifest['version']} and this Thalweg reads {_VERSION}; "
                f"use the Thalweg that wrote it"
            )
        seals = {name: Seal(one["bytes"], one["sha256"]) for name, one in manifest["files"].items()}
        for name, seal in seals.items():
            sealed = type(seal.bytes) is int and _DIGEST.fullmatch(seal.sha256)
            if not (sealed and _PLAIN_NAME.fullmatch(name)):
                raise damaged
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged from error
    return seals


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); {_ADVICE}") from error


def text_of(document: Any) -> str:
    """A document in the one form in which it is written."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
