"""safetensors files of what is kept to be counted later, each with a digest of all that is in it.

The digest covers names, types, shapes, values and the texts of the header, so that no flipped bit anywhere
in a file changes a result in silence. It is compared whenever a file is read.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import replacing, unwritable
from thalweg.folders import make_folders
from thalweg.regular import opened
from thalweg.suggestions import one_line
from thalweg.tensor_files import open_tensors, write_tensors

_DIGEST = "sha256"


def write_sealed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file durably; its folder is made.

    Args:
        path: the file; there whole, or what was there before.
        tensors: on any device.
        metadata: texts kept in its header.

    Raises:
        ThalwegError: if it cannot be written.
    """
    told = {**metadata, _DIGEST: _digest(tensors.keys(), tensors.__getitem__, metadata)}
    try:
        make_folders(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    with replacing(path) as part:
        write_tensors(part, tensors, told)


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


def _digest(names: Iterable[str], tensor: Callable[[str], Tensor], metadata: Mapping[str, str]) -> str:
    ordered = sorted(names)
    digest = hashlib.sha256()
    digest.update(json.dumps([sorted(metadata.items()), ordered]).encode())
    for name in ordered:
        one = tensor(name).detach().cpu()
        digest.update(json.dumps([str(one.dtype), list(one.shape)]).encode())
        if one.numel():
            digest.update(memoryview(one.contiguous().reshape(-1).view(torch.uint8).numpy()))  # type: ignore[arg-type]  # numpy's stubs lag behind
    return digest.hexdigest()
