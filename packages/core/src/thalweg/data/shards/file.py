"""The safetensors files of a set, guarded: nothing in one is believed that the index does not say too."""

import hashlib
import json
import math
import mmap
import os
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import numpy as np

from thalweg.data.shards.header import EMPTY, ShardHeader, TensorSpec
from thalweg.data.shards.index import INDEX, FileEntry, ShardIndex, read_index, shard_name
from thalweg.errors import DataError
from thalweg.regular import opened
from thalweg.storage import Location

_LARGEST_HEADER = 2**20  # bytes; ours take some hundred
_LENGTH = struct.Struct("<Q")
_CODES = {"float16": "F16", "float32": "F32", "uint8": "U8", "int64": "I64", "bool": "BOOL"}


@attrs.frozen
class Damage:
    """A file that is not what the index says.

    Attributes:
        file: its name within the folder.
        reason: one sentence.
    """

    file: str
    reason: str


@attrs.frozen
class Report:
    """What :func:`verify` found.

    Attributes:
        files: files looked at, the index among them.
        bytes: bytes of those that are whole, without the index.
        damaged: the others.
    """

    files: int
    bytes: int
    damaged: tuple[Damage, ...]


def map_file(
    path: Path, name: str, entry: FileEntry, tensors: Mapping[str, TensorSpec], *, check: bool
) -> dict[str, np.ndarray]:
    """The tensors of a file, mapped into memory read-only; they stay as long as an array does.

    Args:
        path: the file.
        name: what it is called in messages.
        entry: what the index says of it.
        tensors: what must be in it.
        check: compare the SHA-256 of its content with the index first.

    Raises:
        DataError: if it is missing, damaged or another file.
    """
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry.bytes:
                raise _damaged(name, f"it has {size} bytes where the index says {entry.bytes}")
            begins = _begins(file, name, entry.bytes, tensors)
            if check:
                file.seek(0)
                if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                    raise _damaged(name, "its SHA-256 is not the one in the index")
            # The open file, not the path: what was checked is what is mapped.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{name} cannot be read ({reason}); copy it again or encode anew") from error
    return {
        key: np.frombuffer(content, spec.dtype, math.prod(spec.shape), begins[key]).reshape(spec.shape)
        for key, spec in tensors.items()
    }


def check_labels(
    arrays: Mapping[str, Any], header: ShardHeader, name: str, cure: str = "encode the images anew"
) -> None:
    """Check that labels and numbers of captions are within their bounds.

    Args:
        arrays: those of a shard, of numpy or torch.
        header: what they must hold.
        name: what the shard is called in messages.
        cure: what to do, for messages.

    Raises:
        DataError: if one is not.
    """
    bounds = {"labels": (header.classes or 1) - 1, "text.count": header.text.captions if header.text else 0}
    for key, highest in bounds.items():
        if key in arrays:
            low, high = int(arrays[key].min()), int(arrays[key].max())
            if low < 0 or high > highest:
                raise DataError(f"'{key}' of {name} goes from {low} to {high}, outside 0..{highest}; {cure}")


def verify(location: Location, progress: Callable[[int, int], None] | None = None) -> Report:
    """Read every file of a set of shards and compare it with the index.

    Args:
        location: the folder.
        progress: called with how many files are done, and of how many, after each.
    """
    try:
        index = read_index(location)
    except DataError as error:
        return Report(1, 0, (Damage(INDEX, str(error)),))
    entries = {shard_name(number): entry for number, entry in enumerate(index.shards)}
    if index.empty is not None:
        entries[EMPTY] = index.empty
    sound, damaged = 0, []
    for done, (name, entry) in enumerate(entries.items(), 1):
        try:
            _check_file(location / name, name, entry, index)
            sound += entry.bytes
        except DataError as error:
            damaged.append(Damage(name, str(error)))
        if progress is not None:
            progress(done, len(entries))
    return Report(1 + len(entries), sound, tuple(damaged))


def _check_file(place: Location, name: str, entry: FileEntry, index: ShardIndex) -> None:
    header = index.header
    tensors = header.empty_caption() if name == EMPTY else header.shard(entry.count)
    if place.local is not None:
        check_labels(map_file(place.local, str(place), entry, tensors, check=True), header, str(place))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        place.download(path, sha256=entry.sha256, size=entry.bytes)
        check_labels(map_file(path, str(place), entry, tensors, check=False), header, str(place))


def _begins(file: BinaryIO, name: str, size: int, tensors: Mapping[str, TensorSpec]) -> dict[str, int]:
    """Where in the file each tensor begins."""
    first = file.read(_LENGTH.size)
    length = _LENGTH.unpack(first)[0] if len(first) == _LENGTH.size else 0
    if not 0 < length <= min(_LARGEST_HEADER, size - _LENGTH.size):
        raise _foreign(name, f"its header would be {length} bytes long")
    header = _parse(file.read(length), name)
    if set(header) != set(tensors):
        raise _foreign(name, f"it holds {sorted(header)} where the index says {sorted(tensors)}")
    start = _LENGTH.size + length
    spans = {key: _span(header[key], f"'{key}' of {name}", spec) for key, spec in tensors.items()}
    # End to end over all the rest of the file: no tensor outside it, none upon another, nothing between.
    ordered = sorted(spans.values())
    edges = [0, *(end for _, end in ordered)]
    if [begin for begin, _ in ordered] != edges[:-1] or edges[-1] != size - start:
        raise _foreign(name, "its tensors do not fill it")
    return {key: start + begin for key, (begin, _) in spans.items()}


def _span(described: Any, tensor: str, spec: TensorSpec) -> tuple[int, int]:
    if not isinstance(described, dict) or set(described) != {"dtype", "shape", "data_offsets"}:
        raise _foreign(tensor, "its description is none of safetensors")
    code, shape = _CODES[spec.dtype], list(spec.shape)
    if described["dtype"] != code or described["shape"] != shape:
        actual = f"{described['dtype']} {described['shape']}"
        raise _foreign(tensor, f"it is {actual} where the index says {code} {shape}")
    offsets = described["data_offsets"]
    if not isinstance(offsets, list) or [type(one) for one in offsets] != [int, int]:
        raise _foreign(tensor, "its offsets are none")
    begin, end = offsets
    if begin < 0 or end - begin != spec.bytes:
        raise _foreign(tensor, f"its offsets are {offsets}, and its shape needs {spec.bytes} bytes")
    return begin, end


def _parse(text: bytes, name: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    try:
        header = json.loads(text.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise _foreign(name, f"its header is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise _foreign(name, "its header is no table")
    return header


def _damaged(name: str, why: str) -> DataError:
    return DataError(f"{name} is damaged: {why}; copy it again or encode anew")


def _foreign(name: str, why: str) -> DataError:
    return DataError(f"{name} is no shard of this set: {why}; copy it again or encode anew")
