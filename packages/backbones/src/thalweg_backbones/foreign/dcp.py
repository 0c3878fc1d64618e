"""Folders as ``torch.distributed.checkpoint`` saves them: what torchtitan and other sharded training leave.

A folder holds ``.metadata`` and files ``__RANK_N.distcp``, in which each rank wrote its chunks of the
tensors, each as ``torch.save`` writes a tensor. Only the chunks of the weights that are taken are read, never
the state of an optimiser, and each with ``weights_only=True``, which executes nothing.
"""

import argparse
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import sha256
from thalweg.regular import opened
from thalweg.storage import Location, local_copy
from thalweg.suggestions import one_line
from thalweg_backbones.foreign.checkpoints import ForeignWeights, check_archive
from thalweg_backbones.foreign.dcp_metadata import Chunk, Entry, entries_in
from thalweg_backbones.foreign.locating import ARGUMENT_PLACES, arguments_in, weights_in

METADATA, SUFFIX = ".metadata", ".distcp"
_LARGEST = 2**28  # bytes of .metadata; some hundred for each chunk
_LARGEST_ARGUMENT = 2**20
_STEP = re.compile(r"step-\d+")  # what torchtitan calls the folder of each step
_OPTIMISERS = ("optimizer", "optim", "optimizers")


def is_dcp(folder: Location) -> bool:
    """Whether a folder is one of ``torch.distributed.checkpoint``, holds such, or was to become one."""
    names = folder.children()
    return (folder / METADATA).exists() or any(one.endswith(SUFFIX) or _STEP.fullmatch(one) for one in names)


def read_dcp(folder: Path | str) -> ForeignWeights:
    """The EMA weights of a folder of ``torch.distributed.checkpoint``, else its only weights.

    Tensors that several ranks saved in chunks are put together. Arguments are taken from plain values under
    ``args`` or ``config``.

    Args:
        folder: as ``torch.distributed.checkpoint.save`` leaves it; a path or a URL.

    Raises:
        DataError: a file is missing or damaged, or ``.metadata`` names anything that the format does not
            need, or it is unknown which weights are meant.
    """
    return read_dcp_folder(Location(folder))[0]


def read_dcp_folder(folder: Location) -> tuple[ForeignWeights, str]:
    """As :func:`read_dcp`, and a SHA-256: that of the digests of ``.metadata`` and of the files that were
    read, in the order of their names.

    Raises:
        DataError: as :func:`read_dcp`.
    """
    metadata = folder / METADATA
    if not metadata.exists():
        raise DataError(_missing(folder))
    content = metadata.read(limit=_LARGEST)
    entries = entries_in(content, str(metadata))
    wanted = [one for one in entries.values() if one.dtype is not None and one.place[0] not in _OPTIMISERS]
    # Shapes suffice to choose; what is not chosen is never read.
    blank = {one.name: torch.empty(one.shape, dtype=one.dtype, device="meta") for one in wanted}
    stated = [one for one in entries.values() if one.dtype is None and one.place[0] in ARGUMENT_PLACES]
    flat = [one for one in wanted if len(one.place) > 1 or not _is_of_optimiser(one.name)]
    try:
        chosen = weights_in(_nested([(one.place, blank[one.name]) for one in flat]))
    except DataError as fault:
        raise DataError(f"{folder}: {fault}") from fault
    if not chosen.tensors:
        raise DataError(f"{folder} holds no tensors of a network; give a checkpoint of one")
    names = {id(tensor): name for name, tensor in blank.items()}
    by_name = {name: entries[names[id(tensor)]] for name, tensor in chosen.tensors.items()}
    with ExitStack() as stack:
        files = _Files(folder, stack)
        files.check(by_name.values())
        tensors = {name: files.tensor(one) for name, one in by_name.items()}
        arguments = arguments_in(
            _nested([(one.place, value) for one in stated for value in files.plain(one)])
        )
        digests = [hashlib.sha256(content).digest(), *files.digests()]
    left = (*chosen.left, *sorted({str(one.place[0]) for one in entries.values()} & {*_OPTIMISERS}))
    found = ForeignWeights(tensors, chosen.place, left, arguments)
    return found, hashlib.sha256(b"".join(digests)).hexdigest()


class _Files:
    """The files of chunks, each brought here once, where it is elsewhere."""

    def __init__(self, folder: Location, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._paths: dict[str, Path] = {}

    def check(self, entries: Iterable[Entry]) -> None:
        """Make sure, before anything is allocated, that all chunks are there in full.

        Raises:
            DataError: naming the file or the tensor that is not.
        """
        every = [(one, chunk) for one in entries for chunk in one.chunks]
        for one, chunk in every:
            size = self._path(chunk.file).stat().st_size
            if chunk.begin + chunk.length > size:
                raise DataError(
                    f"{self._folder / chunk.file} ends at byte {size:,}, and '{one.name}' stands until byte "
                    f"{chunk.begin + chunk.length:,}; copy it again"
                )
            assert one.dtype is not None  # noqa: S101 - for the type checker
            if math.prod(chunk.sizes) * one.dtype.itemsize > chunk.length:
                raise DataError(
                    f"{self._folder / chunk.file} does not hold '{one.name}' in full; save the "
                    "checkpoint again"
                )
        most = sum(path.stat().st_size for path in self._paths.values())
        if sum(chunk.length for _, chunk in every) > most:
            raise DataError(
                f"{self._folder / METADATA} states more than its files hold; save the checkpoint again"
            )

    def tensor(self, entry: Entry) -> Tensor:
        """A tensor, put together from its chunks.

        Raises:
            DataError: one is damaged, or they overlap.
        """
        whole = torch.empty(entry.shape, dtype=entry.dtype)
        filled = torch.zeros(entry.shape, dtype=torch.bool) if len(entry.chunks) > 1 else None
        for chunk in entry.chunks:
            content = self._content(chunk)
            found = self._loaded(content, entry, chunk)
            if not isinstance(found, Tensor) or (found.dtype, *found.shape) != (entry.dtype, *chunk.sizes):
                raise DataError(
                    f"{self._folder / chunk.file} holds something else than '{entry.name}' as {METADATA} "
                    "describes it; copy the folder again"
                )
            rows = tuple(
                slice(begin, begin + size) for begin, size in zip(chunk.offsets, chunk.sizes, strict=True)
            )
            if filled is not None:
                if bool(filled[rows].any()):
                    raise DataError(f"{self._folder}: chunks of '{entry.name}' overlap; save it again")
                filled[rows] = True
            whole[rows] = found
        return whole

    def plain(self, entry: Entry) -> list[Any]:
        """The value of an entry, if it is a plain one of modest length; nothing else is worth its reading."""
        (chunk,) = entry.chunks
        if chunk.length > _LARGEST_ARGUMENT:
            return []
        try:
            with torch.serialization.safe_globals([argparse.Namespace]):
                found = torch.load(io.BytesIO(self._content(chunk)), map_location="cpu", weights_only=True)
        except DataError:
            raise
        except Exception:  # an object of some class, which is never executed
            return []
        return [found]

    def digests(self) -> list[bytes]:
        """SHA-256 of each file that was read, in the order of their names."""
        return [bytes.fromhex(sha256(path)) for _, path in sorted(self._paths.items())]

    def _loaded(self, content: bytes, entry: Entry, chunk: Chunk) -> Any:
        try:
            check_archive(io.BytesIO(content), len(content))
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as fault:  # torch raises a dozen kinds of errors on damaged content
            raise DataError(
                f"{self._folder / chunk.file} is damaged where '{entry.name}' stands ({one_line(fault)}); "
                "copy it again"
            ) from fault

    def _content(self, chunk: Chunk) -> bytes:
        with opened(self._path(chunk.file)) as file:
            file.seek(chunk.begin)
            content = file.read(chunk.length)
        if len(content) < chunk.length:
            raise DataError(f"{self._folder / chunk.file} ends too early; copy it again")
        return content

    def _path(self, name: str) -> Path:
        if name not in self._paths:
            place = self._folder / name
            if not place.exists():
                raise DataError(f"{self._folder} has no file '{name}', which {METADATA} names; copy it again")
            self._paths[name] = self._stack.enter_context(local_copy(place))
        return self._paths[name]


def _missing(folder: Location) -> str:
    steps = [name for name in folder.children() if _STEP.fullmatch(name)]
    if steps:
        newest = max(steps, key=lambda name: int(name.partition("-")[2]))
        return f"{folder} holds checkpoints of several steps; give one of them, such as {folder / newest}"
    return (
        f"{folder} has no {METADATA}, which says what its {SUFFIX} files hold; copy it too, or save the "
        "checkpoint again if saving was interrupted"
    )


def _is_of_optimiser(name: str) -> bool:
    return name.partition(".")[0] in _OPTIMISERS


def _nested(items: Iterable[tuple[tuple[str | int, ...], Any]]) -> dict[Any, Any]:
    """The tables and lists that were saved."""
    top: dict[Any, Any] = {}
    for place, value in items:
        table = top
        for key in place[:-1]:
            below = table.setdefault(key, {})
            table = below if isinstance(below, dict) else {}
        table[place[-1]] = value
    return {key: _listed(value) for key, value in top.items()}


def _listed(value: Any) -> Any:
    """Tables that count their entries from 0 as the lists that they were."""
    if not isinstance(value, Mapping):
        return value
    found = {key: _listed(one) for key, one in value.items()}
    if found and sorted(found, key=str) == sorted(range(len(found)), key=str):
        return [found[index] for index in range(len(found))]
    return found
