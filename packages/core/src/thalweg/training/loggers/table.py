"""A table of numbers as CSV."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import BinaryIO

import attrs

from thalweg import files
from thalweg.errors import DataError
from thalweg.files import open_own, write_bytes
from thalweg.folders import refuse_links
from thalweg.regular import read_bytes
from thalweg.training.loggers import within

_STEP = "step"
_LARGEST = 2**33
"""Bytes; a line a step of the longest runs has a tenth of it."""


@attrs.frozen
class CsvConfig:
    """Writes the numbers as one table, a line for each step that has some.

    Attributes:
        file: its name within the run directory.
    """

    file: str = attrs.field(default="metrics.csv", validator=within)

    def build(self, run_dir: Path) -> "CsvTable":
        """Open it for a run; nothing is written yet.

        Raises:
            ConfigError: if a folder on the way is a link.
            DataError: if the file is there and is no such table.
        """
        refuse_links(run_dir, *map(str, list(PurePath(self.file).parents)[:-1]))
        return CsvTable(run_dir / self.file)


class CsvTable:
    """See :class:`CsvConfig`. Fulfils :class:`thalweg.protocols.Logger`.

    The first entry's step is where the run is resumed: lines of this step and later ones that an earlier
    attempt left are removed then, and a line that was cut off. A number that comes up for the first time
    gets a column of its own, empty in the lines before, and the file is written anew.

    Raises:
        DataError: if it is there and is no such table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns, self._rows = _read(path)
        self._opened: BinaryIO | None = None

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One line; numbers that are not among these stay empty."""
        row = {_STEP: str(step), **{name: repr(float(number)) for name, number in numbers.items()}}
        new = [name for name in row if name not in self._columns]
        begins = self._opened is None
        if begins:
            self._rows = [old for old in self._rows if int(old[_STEP]) < step]
        self._rows.append(row)
        if begins or new:
            self._columns += new
            self._rewrite()
        else:
            assert self._opened is not None  # noqa: S101 - for the type checker
            self._opened.write(_line([row.get(name, "") for name in self._columns]).encode())
            self._opened.flush()

    def image(self, step: int, name: str, path: Path) -> None:
        """Nothing: a table holds numbers alone."""

    def sync(self) -> None:
        """Make sure that the lines outlive a power cut, as a checkpoint does."""
        if self._opened is not None:
            files.disk.sync(self._opened.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None and not self._opened.closed:
            self.sync()
            self._opened.close()

    def _rewrite(self) -> None:
        lines = [self._columns, *([row.get(name, "") for name in self._columns] for row in self._rows)]
        self.close()
        write_bytes(self._path, "".join(map(_line, lines)).encode())
        # A link of this name was replaced by the file just now, so nothing is appended through it.
        self._opened = open_own(self._path)
        self._opened.seek(0, io.SEEK_END)


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and whole lines of a table; none where there is no file."""
    try:
        text = read_bytes(path, _LARGEST).decode()
    except FileNotFoundError:
        return [_STEP], []
    except (OSError, ValueError) as error:
        if path.is_symlink() and isinstance(error, OSError):
            return [_STEP], []  # it leads to nothing that could be read, and is replaced
        raise _foreign(path) from error
    try:
        # What follows the last line break was cut off while it was written.
        header, *lines = csv.reader(text[: text.rfind("\n") + 1].splitlines())
        if header[0] != _STEP:
            raise ValueError(header[0])
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        for row in rows:
            int(row[_STEP])
    except (ValueError, IndexError, csv.Error) as error:
        raise _foreign(path) from error
    return header, rows


def _foreign(path: Path) -> DataError:
    return DataError(f"{path} is no table of an earlier attempt; move it away or set loggers.csv.file")
