"""Tensors and documents of a checkpoint. Tensors are whole, or slices that several processes write.

A whole group of tensors is one file, ``network.safetensors``. A sharded group is one file a process,
``network.rank0of2.safetensors``, whose header holds JSON with the offset of every slice and the shape of
the whole tensor, so that any number of processes can read it.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.checkpoint.manifest import listed, text_of
from thalweg.errors import DataError
from thalweg.files import Seal, write_new
from thalweg.regular import parse_json, read_json
from thalweg.tensor_files import open_tensors, write_tensors

_LAYOUT = "pieces"  # the key of the header's metadata
_ADVICE = "use another checkpoint"

_Box = tuple[tuple[int, int], ...]  # begin and end by dimension


@attrs.frozen(eq=False)
class TensorSlice:
    """A box of a tensor.

    Attributes:
        tensor: its values.
        offset: index of its first element in the whole tensor.
        shape: of the whole tensor.
    """

    tensor: Tensor
    offset: tuple[int, ...]
    shape: tuple[int, ...]

    @staticmethod
    def whole(tensor: Tensor) -> "TensorSlice":
        """A tensor as its only slice."""
        return TensorSlice(tensor, (0,) * tensor.dim(), tuple(tensor.shape))


def file_name(group: str, rank: int, ranks: int) -> str:
    """The file of a group that a process writes; of one that is whole with a single process."""
    return f"{group}.safetensors" if ranks == 1 else f"{group}.rank{rank}of{ranks}.safetensors"


def write_slices(path: Path, slices: Mapping[str, TensorSlice], *, whole: bool) -> Seal:
    """Write one process's slices of a group.

    Args:
        path: the file, which must not be there.
        slices: by the tensors' names.
        whole: whether they are all there is of these tensors, so that no offsets are needed.
    """
    # A process may hold nothing of a small tensor.
    held = {name: one for name, one in slices.items() if one.tensor.numel() or 0 in one.shape}
    layout = {name: {"offset": one.offset, "shape": one.shape} for name, one in held.items()}
    metadata = None if whole else {_LAYOUT: json.dumps(layout, sort_keys=True)}
    return write_tensors(path, {name: one.tensor for name, one in held.items()}, metadata)


def write_document(path: Path, document: Any) -> Seal:
    """Write a JSON document that must not be there, and make sure that it is on disk."""
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


class TensorGroup:
    """The tensors of a checkpoint that were saved under one name, by one process or by several.

    Files are mapped into memory, and only what is requested is read.

    Args:
        checkpoint: its folder.
        name: such as ``network``.

    Raises:
        DataError: if a file is missing, is no safetensors file, or its slices do not make up its tensors.

    Attributes:
        shapes: of the whole tensors, by name.
    """

    def __init__(self, checkpoint: Path, name: str) -> None:
        self._stored: dict[str, list[tuple[Any, _Box]]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in _files(checkpoint, name):
            self._add(path)
        for key, shape in self.shapes.items():
            boxes = [box for _, box in self._stored[key]]
            alone = all(not _overlap(one, other) for i, one in enumerate(boxes) for other in boxes[:i])
            covered = sum(math.prod(stop - start for start, stop in box) for box in boxes)
            if not alone or covered != math.prod(shape):
                raise DataError(f"the pieces of {key!r} in {checkpoint / name} do not make it up; {_ADVICE}")

    def read(self, key: str) -> Tensor:
        """A whole tensor."""
        (file, box), shape = self._stored[key][0], self.shapes[key]
        if box == _box_of([0] * len(shape), shape):
            whole: Tensor = file.get_tensor(key)
            return whole
        return self.read_into(key, torch.empty(shape, dtype=self.dtype(key)), [0] * len(shape))

    def dtype(self, key: str) -> torch.dtype:
        """A tensor's type; none of its values are read, unless it is a single one."""
        file = self._stored[key][0][0]
        if not self.shapes[key]:
            return file.get_tensor(key).dtype  # type: ignore[no-any-return]
        return file.get_slice(key)[tuple(slice(0, 0) for _ in self.shapes[key])].dtype  # type: ignore[no-any-return]

    @torch.no_grad()
    def read_into(self, key: str, target: Tensor, offset: Iterable[int]) -> Tensor:
        """Fill a tensor with the box of its own shape that begins at ``offset``.

        Returns:
            ``target``.
        """
        wanted = _box_of(list(offset), target.shape)
        for file, box in self._stored[key]:
            shared = _overlap(box, wanted)
            if shared is not None:
                values = file.get_tensor(key) if shared == box else file.get_slice(key)[_within(shared, box)]
                target[_within(shared, wanted)].copy_(values)
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
            self._stored.setdefault(key, []).append((file, _box_of(offset, stored)))


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
    text = (file.metadata() or {}).get(_LAYOUT)
    if text is None:
        return None
    try:
        layout = {key: (list(one["shape"]), list(one["offset"])) for key, one in parse_json(text).items()}
        if any(type(number) is not int for one in layout.values() for numbers in one for number in numbers):
            raise TypeError("a number is none")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not say where its pieces belong; {_ADVICE}") from error
    return layout


def _box_of(offset: Sequence[int], shape: Sequence[int]) -> _Box:
    return tuple((begin, begin + size) for begin, size in zip(offset, shape, strict=True))


def _overlap(one: _Box, other: _Box) -> _Box | None:
    """What two boxes share; None if nothing."""
    shared = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))
    return shared if all(begin < end for begin, end in shared) else None


def _within(inner: _Box, outer: _Box) -> tuple[slice, ...]:
    """The indices of a box in a tensor that holds a larger one."""
    return tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(inner, outer, strict=True))
