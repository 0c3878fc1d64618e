"""Reading a verified checkpoint: documents, and tensors by any box of them."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import Seal, write_new
from thalweg.regular import parse_json, read_json
from thalweg.tensor_files import open_tensors
from thalweg.training.checkpoint.manifest import listed, text_of
from thalweg.training.checkpoint.pieces import PIECES, Box, box_of, overlap, volume

_ADVICE = "use another checkpoint"


def write_document(path: Path, document: Any) -> Seal:
    """Write a JSON document that must not be there, and make sure that it is on disk.

    Raises:
        OSError: if it cannot be written.
    """
    return write_new(path, [text_of(document).encode()])


def read_document(checkpoint: Path, name: str) -> Any:
    """The document that was saved under a name.

    Raises:
        DataError: if the file is missing or no JSON.
    """
    path = checkpoint / f"{name}.json"
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; {_ADVICE}") from error


@attrs.frozen
class _Part:
    """Where a box of a tensor is found."""

    file: Any
    box: Box


class TensorGroup:
    """The tensors of a checkpoint that were saved under one name, by one process or by several.

    Files are mapped into memory, and only what is asked for is read.

    Args:
        checkpoint: its folder.
        name: such as ``network``.

    Raises:
        DataError: if a file is missing, is no safetensors file, or its pieces do not make up its tensors.

    Attributes:
        shapes: of the whole tensors, by name.
    """

    def __init__(self, checkpoint: Path, name: str) -> None:
        self._what = f"{checkpoint / name}"
        self._parts: dict[str, list[_Part]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in _files(checkpoint, name):
            self._add(path)
        for key, shape in self.shapes.items():
            boxes = [part.box for part in self._parts[key]]
            alone = all(not overlap(one, other) for i, one in enumerate(boxes) for other in boxes[:i])
            if not alone or sum(map(volume, boxes)) != volume(box_of([0] * len(shape), shape)):
                raise DataError(f"the pieces of {key!r} in {self._what} do not make it up; {_ADVICE}")

    def read(self, key: str) -> Tensor:
        """A whole tensor."""
        first = self._parts[key][0]
        if first.box == box_of([0] * len(self.shapes[key]), self.shapes[key]):
            whole: Tensor = first.file.get_tensor(key)
            return whole
        dtype = _slice(first, key, first.box).dtype
        return self.read_into(key, torch.empty(self.shapes[key], dtype=dtype), [0] * len(self.shapes[key]))

    def dtype(self, key: str) -> torch.dtype:
        """A tensor's type; none of its values are read, unless it is a single one."""
        file = self._parts[key][0].file
        if not self.shapes[key]:
            return file.get_tensor(key).dtype  # type: ignore[no-any-return]
        return file.get_slice(key)[tuple(slice(0, 0) for _ in self.shapes[key])].dtype  # type: ignore[no-any-return]

    @torch.no_grad()
    def read_into(self, key: str, target: Tensor, offset: Iterable[int]) -> Tensor:
        """Fill a tensor with the box of its own shape that begins at ``offset``.

        Returns:
            ``target``.
        """
        wanted = box_of(list(offset), target.shape)
        for part in self._parts[key]:
            shared = overlap(part.box, wanted)
            if shared is not None:
                here = tuple(
                    slice(a - c, b - c) for (a, b), (c, _) in zip(shared, wanted, strict=True)
                )  # fmt: skip
                target[here].copy_(_slice(part, key, shared))
        return target

    def _add(self, path: Path) -> None:
        file = open_tensors(path)
        layout = _layout(path, file)
        for key in file.keys():  # noqa: SIM118 - not a dict
            stored = file.get_slice(key).get_shape()
            shape, offset = (stored, [0] * len(stored)) if layout is None else layout.get(key, ([], [-1]))
            fits = len(shape) == len(offset) == len(stored) and all(
                begin >= 0 and begin + size <= whole
                for begin, size, whole in zip(offset, stored, shape, strict=True)
            )
            if not fits or self.shapes.setdefault(key, tuple(shape)) != tuple(shape):
                raise DataError(f"{path} does not say where its piece of {key!r} belongs; {_ADVICE}")
            self._parts.setdefault(key, []).append(_Part(file, box_of(offset, stored)))


def _files(checkpoint: Path, name: str) -> list[Path]:
    """The file of a whole group, or those of all processes."""
    names = listed(checkpoint)
    if f"{name}.safetensors" in names:
        return [checkpoint / f"{name}.safetensors"]
    pattern = re.compile(rf"{re.escape(name)}\.rank(\d+)of(\d+)\.safetensors")
    found = {path: match for path in names if (match := pattern.fullmatch(path))}
    ranks = {int(match[2]) for match in found.values()}
    if len(ranks) != 1 or {int(match[1]) for match in found.values()} != set(range(*ranks)):
        raise DataError(f"{checkpoint} does not hold all of {name!r}; {_ADVICE}")
    return [checkpoint / path for path in sorted(found)]


def _layout(path: Path, file: Any) -> dict[str, tuple[list[int], list[int]]] | None:
    """Shape of the whole and offset by tensor; None where all are whole."""
    text = (file.metadata() or {}).get(PIECES)
    if text is None:
        return None
    try:
        layout = {key: (list(one["shape"]), list(one["offset"])) for key, one in parse_json(text).items()}
        if any(type(number) is not int for one in layout.values() for part in one for number in part):
            raise TypeError("a number is none")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not say where its pieces belong; {_ADVICE}") from error
    return layout


def _slice(part: _Part, key: str, box: Box) -> Tensor:
    if box == part.box:
        whole: Tensor = part.file.get_tensor(key)
        return whole
    inside = tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(box, part.box, strict=True))
    some: Tensor = part.file.get_slice(key)[inside]
    return some
