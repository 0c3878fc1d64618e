"""safetensors files: hashed while they are written through our file layer, read with a guard, compared.

A sealed file has a digest of its own in its header. It covers names, types, shapes, values and the texts of
the header, so that no flipped bit anywhere in a file changes a result in silence, and is compared whenever
the file is read.
"""

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import Seal, replacing, unwritable, write_new
from thalweg.folders import make_folders
from thalweg.regular import opened
from thalweg.suggestions import one_line

LARGEST_HEADER = 100 * 2**20
"""Bytes; what the format allows."""

_ALIGNMENT, _SHOWN = 8, 3
_DIGEST = "sha256"

FILED = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What tensors a file can hold, and how the format calls their types."""


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Seal:
    """Write a safetensors file that must not be there, and make sure that it is on disk.

    Args:
        path: the file.
        tensors: on any device; may share memory, each is written whole.
        metadata: texts kept in its header.

    Raises:
        OSError: if it cannot be written; what there is of it stays.
    """
    return write_new(path, _parts(tensors, metadata))


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the file that :func:`write_tensors` would write of these tensors; nothing is written.

    So a network in memory has the digest that :func:`thalweg.save` states of it.
    """
    digest = hashlib.sha256()
    for part in _parts(tensors, None):
        digest.update(part)
    return digest.hexdigest()


def open_tensors(path: Path) -> Any:
    """A safetensors file, mapped into memory; its tensors are read as they are requested.

    Returns:
        What ``safetensors.safe_open`` gives; it has no types.

    Raises:
        DataError: if it is missing or no whole safetensors file; nothing in it is ever executed.
    """
    try:
        with opened(path) as file:
            stated = int.from_bytes(file.read(8), "little")
            size = os.fstat(file.fileno()).st_size
        if stated > min(LARGEST_HEADER, size):
            raise DataError(
                f"{path} is no safetensors file or is damaged: its header would have {stated} bytes; "
                f"write or copy it again"
            )
        return safe_open(str(path), framework="pt")
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{path} is no whole safetensors file ({one_line(error)}); write or copy it again"
        ) from error


def shapes_of(file: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of an opened file, by its header alone."""
    return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        DataError: if it is missing or no whole safetensors file.
    """
    file = open_tensors(path)
    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict


def differences(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    """How tensors differ in names and shapes: the first few of each kind and how many more.

    Returns:
        Nothing if they are alike.
    """
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    reshaped = [
        f"{name} is {found[name]}, expected {expected[name]}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name] != found[name]
    ]
    kinds = (_first("missing ", missing), _first("unknown ", unknown), _first("", reshaped))
    return "; ".join(kind for kind in kinds if kind)


def write_sealed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file durably; its folder is made.

    Args:
        path: the file; there whole, or what was there before.
        tensors: on any device.
        metadata: texts kept in its header.

    Raises:
        ThalwegError: if it cannot be written.
    """
    texts = {**metadata, _DIGEST: _digest(tensors.keys(), tensors.__getitem__, metadata)}
    try:
        make_folders(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    with replacing(path) as part:
        write_tensors(part, tensors, texts)


class SealedFile:
    """A file, mapped into memory; nothing in it is known to be right before :meth:`check`.

    Args:
        path: the file.

    Attributes:
        metadata: the texts of its header.
        names: of its tensors.

    Raises:
        DataError: if it is missing or no whole safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            opened(path).close()  # a FIFO would hold up whoever maps it
            self._file: Any = open_tensors(path)
            self.metadata: dict[str, str] = dict(self._file.metadata() or {})
            self.names: list[str] = sorted(self._file.keys())
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror or error})") from error
        self._stated = self.metadata.pop(_DIGEST, None)

    def check(self) -> None:
        """Compare all of it with its digest.

        Raises:
            DataError: if it is damaged.
        """
        try:
            whole = self._stated == _digest(self.names, self._file.get_tensor, self.metadata)
        except Exception as error:  # safetensors and torch raise a dozen kinds on a damaged file
            raise DataError(f"{self._path} is damaged ({one_line(error)})") from error
        if not whole:
            raise DataError(f"{self._path} is damaged: it does not match its own digest")

    def tensor(self, name: str) -> Tensor:
        """One of its tensors."""
        found: Tensor = self._file.get_tensor(name)
        return found


def open_sealed(path: Path) -> SealedFile:
    """Open a file and compare it with its digest.

    Raises:
        DataError: if it is missing or damaged.
    """
    file = SealedFile(path)
    file.check()
    return file


def _first(kind: str, names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{kind}{', '.join(names[:_SHOWN])}{more}" if names else ""


def _parts(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> Iterator[bytes | memoryview]:
    """The bytes of a file, from its header on."""
    # The format wants every tensor aligned to its own element size: the large elements first.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": FILED[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    yield struct.pack("<Q", len(text)) + text
    for name in names:
        if tensors[name].numel():
            yield _bytes(tensors[name])


def _digest(names: Iterable[str], tensor: Callable[[str], Tensor], metadata: Mapping[str, str]) -> str:
    ordered = sorted(names)
    digest = hashlib.sha256()
    digest.update(json.dumps([sorted(metadata.items()), ordered]).encode())
    for name in ordered:
        one = tensor(name)
        digest.update(json.dumps([str(one.dtype), list(one.shape)]).encode())
        if one.numel():
            digest.update(_bytes(one))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return memoryview(flat.numpy())  # type: ignore[arg-type]  # numpy's stubs lag behind
