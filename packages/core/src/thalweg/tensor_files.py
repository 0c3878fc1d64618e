"""safetensors files: hashed while they are written through our file layer, read with a guard, compared."""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import Seal, write_new
from thalweg.regular import opened
from thalweg.suggestions import one_line

LARGEST_HEADER = 100 * 2**20
"""Bytes; what the format allows."""

_ALIGNMENT, _SHOWN = 8, 3

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
    """A safetensors file, mapped into memory; its tensors are read as they are asked for.

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
            flat = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            yield memoryview(flat.numpy())  # type: ignore[arg-type]  # numpy's stubs lag behind
