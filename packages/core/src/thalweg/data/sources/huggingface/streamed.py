"""A data set that is read shard by shard, each from an Arrow file in the cache."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from thalweg.data.contents import fingerprints
from thalweg.data.sources.huggingface.opening import (
    DataSetPlace,
    builder_of,
    folder_of,
    is_saved,
    named,
    shown,
)
from thalweg.data.sources.huggingface.rows import Columns
from thalweg.data.sources.names import SUFFIXES
from thalweg.data.sources.shard_counts import counted
from thalweg.data.sources.sharded import ShardedImages
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.protocols import Record
from thalweg.storage import Cache, Location
from thalweg.storage.redaction import redacted
from thalweg.suggestions import one_line

_ROWS = 100  # that are written at once
_TOGETHER = 1000  # images in files of their own that make up a shard


class RowShards:
    """The shards of a ``datasets.IterableDataset``.

    Args:
        place: of the data set.
        columns: which of its columns are read.
        cache: where shards are kept.

    Raises:
        DataError: if it cannot be opened, or a column is missing or holds something else.
    """

    def __init__(self, place: DataSetPlace, columns: Columns, cache: Cache) -> None:
        self._place, self._columns, self._cache, self._where = place, columns, cache, shown(place)
        if place.url is not None and is_saved(folder_of(place)):
            raise ConfigError(
                f"{self._where} was saved by datasets, and is read by index; leave 'stream' out"
            )
        if place.hub is not None and not place.download:
            raise ConfigError(
                f"'stream' reads {self._where} from the Hub: set 'download' to allow that, or leave 'stream' "
                "out for what datasets' cache holds"
            )
        with named(place):
            builder = builder_of(place)
            rows = builder.as_streaming_dataset(split=place.split)
            if rows.features is None:
                rows = rows._resolve_features()
            self._files = [str(one) for one in (builder.config.data_files or {}).get(place.split, [])]
        if not self._files:
            raise DataError(f"of {self._where} it is not known which files it is in; state a single split")
        self._rows = columns.taken(rows, self._where)
        self._shards = int(self._rows.num_shards)
        if all(one.lower().endswith(SUFFIXES) for one in self._files):
            self._shards = -(-self._shards // _TOGETHER)

    def source(self, classes: int | None) -> ShardedImages:
        """All of them as a source.

        Args:
            classes: number of classes; None for what the column of labels says.

        Raises:
            DataError: if a shard that is opened cannot be read.
            ConfigError: if there are labels and no number of classes.
        """
        stated, names = self._columns.classes(self._rows, self._where)
        if None not in (stated, classes) and stated != classes:
            raise DataError(f"{self._where} states {stated} classes, not {classes}; leave 'classes' out")
        classes = classes or stated
        if self._columns.label is not None and classes is None:
            raise ConfigError(
                f"the column '{self._columns.label}' of {self._where} holds numbers, and of a stream the "
                "number of classes cannot be counted: set the source's 'classes'"
            )
        keys = [self._key(number) for number in range(self._shards)]
        counts = self._footers()
        if counts is None:
            versions = ["1"] * len(keys)
            counts = counted("huggingface", keys, versions, lambda one: len(self.open(one)), self._where)
        return ShardedImages(
            [self._name(number) for number in range(self._shards)],
            counts,
            self.open,
            identity=self._identity([counts, classes, names]),
            classes=classes,
            class_names=names,
            captioned=self._columns.caption is not None,
        )

    def open(self, number: int) -> "RowShard":
        """One of them.

        Raises:
            DataError: naming it, if it cannot be read.
        """
        name = self._name(number)
        path = self._cache.keep(self._key(number), lambda file: self._write(number, file), what=name)
        return RowShard(path, self._columns, f"{number:05d}", name)

    def _write(self, number: int, file: BinaryIO) -> None:
        import pyarrow as pa

        with pa.ipc.new_stream(file, self._rows.features.arrow_schema) as writer:
            for table in self._tables(number):
                writer.write_table(table)

    def _tables(self, number: int) -> Iterator[Any]:
        """The rows of a shard, those whose images are files of their own with these files in them."""
        from datasets.table import embed_table_storage

        schema = self._rows.features.arrow_schema
        try:
            rows = self._rows.shard(num_shards=self._shards, index=number).with_format("arrow")
            for table in rows.iter(_ROWS):
                self._columns.check_paths(table, self._name(number), hub=self._place.download)
                whole = embed_table_storage(table.cast(schema), remote_files=self._place.download)
                yield whole.cast(schema)
        except ThalwegError:
            raise
        except Exception as error:
            raise self._unreadable(number, error) from error

    def _unreadable(self, number: int, error: Exception) -> DataError:
        return DataError(
            f"{self._name(number)} cannot be read ({type(error).__name__}: {redacted(one_line(error))}); "
            "copy it again, or wait for its server"
        )

    def _name(self, number: int) -> str:
        if len(self._files) == self._shards:
            return f"{redacted(self._files[number])} of {self._where}"
        return f"shard {number} of {self._where}"

    def _key(self, number: int) -> str:
        """What a shard is called in the cache: another one if its file is another, or elsewhere."""
        one = self._place
        files = self._files_of(number)
        words = [one.hub, one.subset, one.split, self._columns.names, self._shards, number]
        return repr([*words, *files, *map(self._state, files)])

    def _state(self, file: str) -> tuple[int, ...]:
        if self._place.hub is not None:
            return ()  # its URL has the revision in it
        status = Path(file).stat()
        return status.st_size, status.st_mtime_ns

    def _files_of(self, number: int) -> list[str]:
        """The files of a shard; all of them where several make one up."""
        return [self._files[number]] if len(self._files) == self._shards else self._files

    def _identity(self, stated: Sequence[Any]) -> str:
        """What the shards hold: of the Hub the files of a revision, of a folder their names, sizes and the
        beginnings of some."""
        one = self._place
        if one.url is None:
            told: list[Any] = list(self._files)
        else:
            folder, places = folder_of(one), list(map(Path, self._files))
            sizes = [place.stat().st_size for place in places]
            files = fingerprints(sizes, lambda index, count: Location(places[index]).read(0, count))
            told = [
                (place.relative_to(folder).as_posix(), file)
                for place, file in zip(places, files, strict=True)
            ]
        words = [told, *stated, one.subset, one.split, self._columns.names]
        return f"huggingface:{hashlib.sha256(repr(words).encode(errors='surrogatepass')).hexdigest()}"

    def _footers(self) -> list[int] | None:
        """What Parquet files state at their ends; None of others."""
        if len(self._files) != self._shards or not all(one.endswith(".parquet") for one in self._files):
            return None
        import pyarrow.parquet as pq
        from datasets.utils.file_utils import xopen

        counts = []
        for number, place in enumerate(self._files):
            try:
                with xopen(place, "rb") as file:
                    counts.append(pq.read_metadata(file).num_rows)
            except Exception as error:
                raise self._unreadable(number, error) from error
        return counts


class RowShard:
    """A shard in an Arrow file that is mapped into memory.

    Args:
        path: the file, which is kept for as long as this is.
        columns: its columns.
        prefix: of its rows' keys.
        where: what it is called.
    """

    def __init__(self, path: Path, columns: Columns, prefix: str, where: str) -> None:
        import pyarrow as pa

        self._path, self._columns, self._prefix, self._where = path, columns, prefix, where
        self._table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        self._texts = None if columns.caption is None else self._table.select([columns.caption])

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, row: int) -> Record:
        cells = self._table.slice(row, 1).to_pylist()[0]
        return self._columns.record(cells, f"{self._prefix}/{row:09d}", self._where)

    def captions(self, row: int) -> tuple[str, ...]:
        """What is stated of a row, without its image."""
        if self._texts is None:
            return ()
        return self._columns.captions(self._texts.slice(row, 1).to_pylist()[0], f"row {row} of {self._where}")
