"""GeneratedSamples samples on disk, a file for each batch, until they are put together."""

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import attrs
import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.folders import remove_tree
from thalweg.generation.network_samples import ImageDecoder
from thalweg.generation.source import SampleSource
from thalweg.jobs import ranges as spans
from thalweg.jobs.ranges import Range
from thalweg.jobs.tasks import Recorder
from thalweg.tensor_files import SealedFile, open_sealed, write_sealed

Form = Literal["images", "tensors"]

_NAME = re.compile(r"(\d+)-(\d+)\.safetensors")
_SAMPLES = "samples"

_log = logging.getLogger("thalweg")


class DamagedBlockError(DataError):
    """Some samples on disk were damaged; they are removed, to be generated again."""


@attrs.frozen(eq=False)
class SampleBlock:
    """Neighbouring samples.

    Attributes:
        start: index of the first.
        tensors: ``images`` (uint8, NCHW) or ``x``; ``labels`` where there are classes. In files also ``nfe``,
            numerator and denominator of their NFE, and ``seconds``, the time taken.
    """

    start: int
    tensors: dict[str, Tensor]


class SampleRecorder(Recorder):
    """Generates samples and keeps each batch as a file.

    Args:
        source: generates them.
        decoder: turns them into images; None keeps them as they are.
        folder: where.
        first: index of the first sample, which counts as 0 here.
    """

    def __init__(
        self, source: SampleSource, decoder: ImageDecoder | None, folder: Path, first: int = 0
    ) -> None:
        self._source, self._decoder, self._folder, self._first = source, decoder, folder, first

    def take(self, start: int, stop: int) -> None:
        """Generate a batch and put it on disk.

        Raises:
            ThalwegError: if a sample is not finite, or the file cannot be written.
        """
        before, begun = self._source.total_nfe, time.perf_counter()
        samples = self._source(range(self._first + start, self._first + stop))
        tensors = {"x": samples.x} if self._decoder is None else {"images": self._decoder(samples.x)}
        if samples.labels is not None:
            tensors["labels"] = samples.labels
        nfe = self._source.total_nfe - before
        tensors["nfe"] = torch.tensor([nfe.numerator, nfe.denominator])
        tensors["seconds"] = torch.tensor(time.perf_counter() - begun, dtype=torch.float64)
        covered = (start, stop)
        write_sealed(_path(self._folder, covered), tensors, {_SAMPLES: _stated(covered)})

    def flush(self) -> None:
        """Everything is on disk already."""


class Blocks:
    """The files of a folder.

    Args:
        folder: where they are.

    Attributes:
        total_nfe: NFE of all that were read last.
        seconds: taken for them, those of all processes together.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.total_nfe, self.seconds = Fraction(0), 0.0

    def sift(self) -> None:
        """Remove those that are damaged, and log which."""
        for covered in self._found():
            with contextlib.suppress(DamagedBlockError):
                self._opened(covered)

    def done(self) -> list[Range]:
        """The samples that are there."""
        return spans.union(self._found())

    def __iter__(self) -> Iterator[SampleBlock]:
        """All that are there, in order; a sample that was generated twice comes once.

        Raises:
            DamagedBlockError: if one is damaged; it is gone then.
        """
        self.total_nfe, self.seconds = Fraction(0), 0.0
        reached = 0
        for start, stop in sorted(self._found()):
            if stop <= reached:
                continue
            file = self._opened((start, stop))
            tensors = {name: file.tensor(name) for name in file.names}
            self.total_nfe += Fraction(*tensors.pop("nfe").tolist())
            self.seconds += float(tensors.pop("seconds"))
            skip = max(0, reached - start)
            yield SampleBlock(start + skip, {name: one[skip:] for name, one in tensors.items()})
            reached = stop

    def remove(self) -> None:
        """Remove all files."""
        for one in self._found():
            remove_tree(_path(self._folder, one))

    def _opened(self, covered: Range) -> SealedFile:
        try:
            file = open_sealed(_path(self._folder, covered))
            if file.metadata.get(_SAMPLES) != _stated(covered):
                raise DataError(f"{_path(self._folder, covered)} holds other samples than its name says")
        except DataError as error:
            _log.warning("%s; its samples are generated again", error)
            remove_tree(_path(self._folder, covered))
            raise DamagedBlockError(str(error)) from error
        return file

    def _found(self) -> list[Range]:
        matches = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return [(int(match[1]), int(match[2])) for match in matches if match]


def _path(folder: Path, covered: Range) -> Path:
    return folder / f"{covered[0]:09d}-{covered[1]:09d}.safetensors"


def _stated(covered: Range) -> str:
    return f"{covered[0]}-{covered[1]}"
