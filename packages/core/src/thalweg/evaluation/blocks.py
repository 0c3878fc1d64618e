"""Drawn samples on disk, a file for each batch, until they are put together."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import attrs
import torch
from torch import Tensor

from thalweg.evaluation import ranges as spans
from thalweg.evaluation.datasets import Decoder
from thalweg.evaluation.networks import SampleSource
from thalweg.evaluation.parts import write_statistics
from thalweg.evaluation.ranges import Range
from thalweg.files import disk
from thalweg.tensor_files import open_tensors

Form = Literal["images", "tensors"]

_NAME = re.compile(r"(\d+)-(\d+)\.safetensors")


@attrs.frozen(eq=False)
class Block:
    """Neighbouring samples.

    Attributes:
        start: index of the first.
        tensors: ``images`` (uint8, NCHW) or ``x``; ``labels`` where there are classes; ``evaluated``, the
            images that the network was evaluated on for them, and ``seconds``, what that took.
    """

    start: int
    tensors: dict[str, Tensor]


class Drawing:
    """Draws samples and keeps each batch as a file.

    Args:
        source: draws them.
        decoder: turns them into images; None keeps them as they are.
        folder: where.
        first: index of the first sample, which counts as 0 here.
    """

    def __init__(self, source: SampleSource, decoder: Decoder | None, folder: Path, first: int = 0) -> None:
        self._source, self._decoder, self._folder, self._first = source, decoder, folder, first

    def take(self, start: int, stop: int) -> None:
        """Draw a batch and put it on disk.

        Raises:
            ThalwegError: if a sample is not finite, or the file cannot be written.
        """
        before, begun = self._source.evaluated, time.perf_counter()
        drawn = self._source(range(self._first + start, self._first + stop))
        tensors = {"x": drawn.x} if self._decoder is None else {"images": self._decoder(drawn.x)}
        if drawn.labels is not None:
            tensors["labels"] = drawn.labels
        tensors["evaluated"] = torch.tensor(self._source.evaluated - before)
        tensors["seconds"] = torch.tensor(time.perf_counter() - begun, dtype=torch.float64)
        write_statistics(_path(self._folder, (start, stop)), tensors, {})

    def flush(self) -> None:
        """Everything is on disk already."""


def done(folder: Path) -> list[Range]:
    """The samples that are there."""
    return spans.union(_found(folder))


def blocks(folder: Path) -> Iterator[Block]:
    """All that are there, in order; a sample that was drawn twice comes once."""
    reached = 0
    for start, stop in sorted(_found(folder)):
        if stop <= reached:
            continue
        file = open_tensors(_path(folder, (start, stop)))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        skip = max(0, reached - start)
        yield Block(start + skip, {name: one[skip:] if one.ndim else one for name, one in tensors.items()})
        reached = stop


@attrs.frozen
class Spent:
    """What samples have cost.

    Attributes:
        evaluated: images that the network was evaluated on, both halves of guidance counted.
        seconds: of drawing, those of all processes together.
    """

    evaluated: int
    seconds: float


def spent_on(folder: Path) -> Spent:
    """What the samples that are there have cost."""
    files = [open_tensors(_path(folder, one)) for one in _found(folder)]
    return Spent(
        sum(int(file.get_tensor("evaluated")) for file in files),
        sum(float(file.get_tensor("seconds")) for file in files),
    )


def remove(folder: Path) -> None:
    """Remove all files."""
    for one in _found(folder):
        disk.remove(_path(folder, one))


def _path(folder: Path, covered: Range) -> Path:
    return folder / f"{covered[0]:09d}-{covered[1]:09d}.safetensors"


def _found(folder: Path) -> list[Range]:
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return [(int(match[1]), int(match[2])) for match in matches if match]
