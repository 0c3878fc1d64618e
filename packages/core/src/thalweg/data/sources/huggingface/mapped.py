"""A data set whose rows are read by index, from Arrow files that are mapped into memory."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from thalweg.data.contents import Contents, contents_of, fingerprints
from thalweg.data.sources.classes import classes_of
from thalweg.data.sources.huggingface.rows import Columns, local_file
from thalweg.errors import DataError
from thalweg.protocols import Record

_AT_ONCE = 1000  # rows whose sizes are read together


class RowImages:
    """The rows of a ``datasets.Dataset``. Fulfils :class:`thalweg.protocols.Source`.

    Args:
        rows: the data set.
        columns: which of its columns are read.
        where: what it is called in errors.
        classes: number of classes; None for what the column of labels says.

    Raises:
        DataError: if a column is missing or holds something else, or a label is beyond the classes.
    """

    def __init__(self, rows: Any, columns: Columns, where: str, classes: int | None) -> None:
        stated, self.class_names = columns.classes(columns.taken(rows, where), where)
        self._rows, self._columns, self._where = columns.taken(rows, where), columns, where
        self.captioned = columns.caption is not None
        self.labels: list[int] | None = None
        self.classes: int | None = None
        if columns.label is not None:
            self.labels = list(self._rows.select_columns([columns.label]).with_format(None)[columns.label])
            bad = next((n for n, one in enumerate(self.labels) if one is None or one < 0), None)
            if bad is not None:
                raise DataError(
                    f"row {bad} of {where} has the label {self.labels[bad]}; leave 'label' out, or correct it"
                )
            self.classes = classes_of(where, self.labels or [0], classes or stated)
            if classes is not None and stated not in (None, classes):
                raise DataError(f"{where} states {stated} classes, not {classes}; leave 'classes' out")

    @cached_property
    def contents(self) -> Contents:
        """Sizes, labels and captions of all rows, and the files of some."""
        captions = [self.captions(index) for index in range(len(self))] if self.captioned else None
        return contents_of(
            [self._key(index) for index in range(len(self))],
            files=fingerprints(self._sizes(), lambda index, count: self._file(index)[:count]),
            labels=self.labels,
            captions=captions,
            classes=self.classes,
            class_names=self.class_names,
        )

    @property
    def identity(self) -> str:
        """What the source is: a hash of its contents."""
        return self.contents.identity("huggingface")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Record:
        return self._columns.record(self._row(index), self._key(index), self._where)

    def captions(self, index: int) -> tuple[str, ...]:
        """What is stated of an image, which is not read.

        Raises:
            DataError: if it is no text.
        """
        if self._texts is None:
            return ()
        return self._columns.captions(self._texts[index], f"row {index} of {self._where}")

    @cached_property
    def _texts(self) -> Any:
        caption = self._columns.caption
        return None if caption is None else self._rows.select_columns([caption])

    def _row(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} rows, and none of index {index}")
        return self._rows[index]

    def _key(self, index: int) -> str:
        return f"{index:09d}"

    def _file(self, index: int) -> bytes:
        return self._columns.file(self._row(index), f"row {index} of {self._where}")

    def _sizes(self) -> Sequence[int]:
        """Bytes of each image's file, of which nothing is read."""
        found: list[int] = []
        tables = self._rows.select_columns([self._columns.image]).with_format("arrow")
        for table in tables.iter(_AT_ONCE):
            for cells in table.column(0).chunks:
                found += self._sizes_of(cells, len(found))
        return found

    def _sizes_of(self, cells: Any, first: int) -> list[int]:
        import pyarrow as pa
        import pyarrow.compute as pc

        inside = cells.field("bytes") if pa.types.is_struct(cells.type) else cells
        sizes: list[int | None] = pc.binary_length(inside).to_pylist()
        paths = (
            cells.field("path").to_pylist() if None in sizes and inside is not cells else [None] * len(sizes)
        )
        return [
            self._size_of(path, first + place) if size is None else size
            for place, (size, path) in enumerate(zip(sizes, paths, strict=True))
        ]

    def _size_of(self, path: str | None, index: int) -> int:
        return local_file(path, f"row {index} of {self._where}").size() if path else 0
