"""Tensors in a checkpoint, whole or in pieces that several processes write, each its own file.

A whole group of tensors is one file, ``network.safetensors``. A group in pieces is one file a process,
``network.rank0of2.safetensors``, whose header holds JSON with the offset of every piece and the shape of
the whole tensor, so that any number of processes can read it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from torch import Tensor

from thalweg.files import Seal
from thalweg.tensor_files import write_tensors

PIECES = "pieces"
"""The key of the header's metadata."""


@attrs.frozen(eq=False)
class Piece:
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
    def whole(tensor: Tensor) -> "Piece":
        """A tensor as its only piece."""
        return Piece(tensor, (0,) * tensor.dim(), tuple(tensor.shape))


def file_name(group: str, rank: int, ranks: int) -> str:
    """The file of a group that a process writes; of one that is whole with a single process."""
    return f"{group}.safetensors" if ranks == 1 else f"{group}.rank{rank}of{ranks}.safetensors"


def write_pieces(path: Path, pieces: Mapping[str, Piece], *, whole: bool) -> Seal:
    """Write one process's pieces of a group.

    Args:
        path: the file, which must not be there.
        pieces: by the tensors' names.
        whole: whether they are all there is of these tensors, so that no offsets are needed.

    Raises:
        OSError: if it cannot be written.
    """
    # A process may hold nothing of a small tensor.
    held = {name: piece for name, piece in pieces.items() if piece.tensor.numel() or 0 in piece.shape}
    layout = {name: {"offset": piece.offset, "shape": piece.shape} for name, piece in held.items()}
    metadata = None if whole else {PIECES: json.dumps(layout, sort_keys=True)}
    return write_tensors(path, {name: piece.tensor for name, piece in held.items()}, metadata)


Box = tuple[tuple[int, int], ...]
"""Begin and end by dimension."""


def box_of(offset: Sequence[int], shape: Sequence[int]) -> Box:
    """The box of a piece."""
    return tuple((begin, begin + size) for begin, size in zip(offset, shape, strict=True))


def overlap(one: Box, other: Box) -> Box | None:
    """What two boxes share; None if nothing."""
    shared = tuple(
        (max(a, c), min(b, d)) for (a, b), (c, d) in zip(one, other, strict=True)
    )  # fmt: skip
    return shared if all(begin < end for begin, end in shared) else None


def volume(box: Box) -> int:
    """Elements in a box."""
    return math.prod(end - begin for begin, end in box)
