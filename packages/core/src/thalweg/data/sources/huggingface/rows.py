"""From a row of a data set to a record: its columns, and what must be in them."""

from collections.abc import Mapping
from typing import Any

import attrs

from thalweg.data.decoding import LARGEST_IMAGE, decode
from thalweg.data.sources.captions import stripped
from thalweg.errors import DamagedImageError, DataError
from thalweg.protocols import Record
from thalweg.storage import Location
from thalweg.storage.places import is_url


@attrs.frozen
class Columns:
    """Which columns are read.

    Attributes:
        image: of the images.
        label: of the classes; None for none.
        caption: of the captions; None for none.
        limit_pixels: height times width above which an image is refused.
    """

    image: str
    label: str | None
    caption: str | None
    limit_pixels: int

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [name for name in (self.image, self.label, self.caption) if name is not None]

    def taken(self, rows: Any, where: str) -> Any:
        """A data set with these columns alone, its images as files.

        Args:
            rows: a ``Dataset`` or ``IterableDataset``.
            where: what it is called.

        Raises:
            DataError: if a column is missing or holds something else.
        """
        import datasets

        features = rows.features or {}
        missing = [name for name in self.names if name not in features]
        if missing:
            raise DataError(
                f"{where} has no column '{missing[0]}'; it has {', '.join(features) or 'none that it states'}"
            )
        kind = features[self.image]
        if isinstance(kind, datasets.Value) and kind.dtype in ("binary", "large_binary"):
            return rows.select_columns(self.names)
        if not isinstance(kind, datasets.Image) and not _is_file(kind):
            raise DataError(f"the column '{self.image}' of {where} holds {kind}, and no images; name another")
        rows = rows.select_columns(self.names)
        return rows.cast_column(self.image, datasets.Image(decode=False))

    def classes(self, rows: Any, where: str) -> tuple[int | None, tuple[str, ...]]:
        """How many classes the label column states, and their names; None and nothing if it does not.

        Raises:
            DataError: if it holds something else.
        """
        import datasets

        if self.label is None:
            return None, ()
        kind = rows.features[self.label]
        if isinstance(kind, datasets.ClassLabel):
            return kind.num_classes, tuple(kind.names)
        if not isinstance(kind, datasets.Value) or "int" not in kind.dtype:
            raise DataError(
                f"the column '{self.label}' of {where} holds {kind}, and labels are whole numbers; "
                "class_encode_column makes them of texts"
            )
        return None, ()

    def record(self, row: Mapping[str, Any], key: str, where: str) -> Record:
        """The record of a row.

        Raises:
            DamagedImageError: if its image is damaged.
            DataError: if its image's file cannot be read, or a caption is no text.
        """
        name = f"row {key} of {where}"
        image = decode(self.file(row, name), name, limit_pixels=self.limit_pixels)
        label = None if self.label is None else row[self.label]
        return Record(key, image, label, self.captions(row, name))

    def captions(self, row: Mapping[str, Any], name: str) -> tuple[str, ...]:
        """The captions of a row.

        Raises:
            DataError: if one is no text.
        """
        if self.caption is None:
            return ()
        value = row[self.caption]
        each = value if isinstance(value, list) else [value]
        if not all(one is None or isinstance(one, str) for one in each):
            raise DataError(f"{name} has a caption that is neither a text nor a list of texts; correct it")
        return stripped(each)

    def check_paths(self, table: Any, where: str, *, hub: bool) -> None:
        """Make sure that no row of an Arrow table has a URL in place of an image, but for those of the Hub.

        Raises:
            DataError: if one has.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        for cells in table.column(self.image).chunks:
            if not pa.types.is_struct(cells.type):
                return
            for path in pc.filter(cells.field("path"), cells.field("bytes").is_null()).to_pylist():
                if path and not (hub and path.rpartition("::")[2].startswith("hf://")):
                    local_file(path, f"a row of {where}")

    def file(self, row: Mapping[str, Any], name: str) -> bytes:
        """The file of a row's image.

        Raises:
            DataError: if it is not there, or cannot be read.
        """
        value = row[self.image]
        cell = value if isinstance(value, Mapping) else {"bytes": value}
        if cell.get("bytes") is not None:
            return bytes(cell["bytes"])
        path = cell.get("path")
        if not path:
            raise DamagedImageError(f"{name} has no image; take the row out")
        return local_file(path, name).read(limit=LARGEST_IMAGE)


def local_file(path: str, name: str) -> Location:
    """The file that a row names instead of holding it.

    Raises:
        DataError: if it is elsewhere than on this machine, which no row may make a run reach for.
    """
    if is_url(path):
        raise DataError(f"{name} holds no image and names a URL; save the data set with its images in it")
    return Location(path)


def _is_file(kind: Any) -> bool:
    """Whether a feature is what images are stored as."""
    return isinstance(kind, Mapping) and set(kind) == {"bytes", "path"}
