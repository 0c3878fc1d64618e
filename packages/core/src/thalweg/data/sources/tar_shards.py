"""Tar files that are read one after another, each from a copy on this machine if it is stored elsewhere."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from thalweg.data.contents import contents_of, fingerprints
from thalweg.data.decoding import decode
from thalweg.data.sources.names import File
from thalweg.data.sources.shard_counts import counted, stated_counts
from thalweg.data.sources.sharded import ShardedImages
from thalweg.data.sources.tar_samples import Sample, all_or_none, samples_of
from thalweg.errors import ConfigError, DataError
from thalweg.protocols import Record
from thalweg.storage import Cache, Location

_AT_ONCE = 16


class TarShards:
    """The tar files of a stream.

    Args:
        files: in their order.
        cache: where copies are kept.
        limit_pixels: height times width above which an image is refused.

    Raises:
        DataError: if a file is missing.
    """

    def __init__(self, files: Sequence[File], cache: Cache, *, limit_pixels: int) -> None:
        self._files, self._cache, self._limit_pixels = files, cache, limit_pixels
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            self._entries = list(pool.map(lambda file: file.location.about(), files))

    def source(self, classes: int | None) -> ShardedImages:
        """All of them as a source. The first shard says whether there are labels and captions.

        Args:
            classes: number of classes, which is known of all samples and not of the first shard's.

        Raises:
            DataError: if a shard that is opened is damaged, or holds no sample.
            ConfigError: if labels are there and no number of classes, or the other way round.
        """
        names = [str(file.location) for file in self._files]
        first = self.open(0)
        if not len(first):
            raise DataError(f"{names[0]}, the first of its set, holds no sample; take it away")
        if first.labelled != (classes is not None):
            raise ConfigError(
                f"{names[0]} holds {'labels' if first.labelled else 'no labels'}, and of a stream the number "
                f"of classes cannot be counted: {'set' if first.labelled else 'leave out'} the source's "
                "'classes'"
            )
        locations = [file.location for file in self._files]
        counts = stated_counts(locations)
        if counts is None:
            versions = [entry.version for entry in self._entries]
            keys = [location.fingerprint for location in locations]
            where = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
            counts = counted("tar", keys, versions, lambda number: len(self.open(number)), where)
        return ShardedImages(
            names,
            counts,
            self.open,
            identity=self._identity(counts, classes),
            classes=classes,
            captioned=first.captioned,
        )

    def open(self, number: int) -> "TarShard":
        """One of them, its headers read.

        Raises:
            DataError: naming it, if it is missing, damaged, cannot be fetched or was replaced.
        """
        file, entry = self._files[number], self._entries[number]
        path, place = None, file.location
        if file.location.local is None:
            path = self._cache.keep(
                f"{file.location.fingerprint} {entry.version} {entry.size}",
                lambda copy: file.location.copy_into(copy, size=entry.size, version=entry.version),
                what=str(file.location),
                size=entry.size,
            )
            place = _Copy(path, str(file.location))
        elif file.location.version() != entry.version:
            raise DataError(
                f"{file.location} was replaced while the run reads it; begin anew with the new one"
            )
        samples, _ = samples_of(place)
        prefix = f"{file.name}/" if len(self._files) > 1 else ""
        return TarShard(str(file.location), prefix, samples, path, self._limit_pixels)

    def _identity(self, counts: Sequence[int], classes: int | None) -> str:
        sizes = [entry.size or 0 for entry in self._entries]
        files = fingerprints(sizes, lambda number, count: self._files[number].location.read(0, count))
        contents = contents_of([file.name for file in self._files], files=files, classes=classes)
        digest = hashlib.sha256(repr([contents.identity("tar"), list(counts)]).encode()).hexdigest()
        return f"tar:{digest}"


class TarShard:
    """An open tar file.

    Args:
        where: what it is called.
        prefix: of its samples' keys.
        samples: in their order.
        path: the copy that is read, which is kept for as long as this is; None of what is local.
        limit_pixels: height times width above which an image is refused.

    Attributes:
        labelled: whether its samples have labels.
        captioned: whether they have captions.
    """

    def __init__(
        self, where: str, prefix: str, samples: Sequence[Sample], path: Path | None, limit_pixels: int
    ) -> None:
        self._prefix, self._samples, self._path, self._limit_pixels = prefix, samples, path, limit_pixels
        self.captioned = all_or_none(where, "caption", [(one.key, one.described) for one in samples])
        self.labelled = all_or_none(where, "label", [(one.key, one.label is not None) for one in samples])

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, row: int) -> Record:
        sample = self._samples[row]
        image = decode(sample.image.read(), str(sample.image), limit_pixels=self._limit_pixels)
        return Record(self._prefix + sample.key, image, sample.label, self.captions(row))

    def captions(self, row: int) -> tuple[str, ...]:
        """What is stated of a sample."""
        sample = self._samples[row]
        return sample.captions if self.captioned else ()


class _Copy(Location):
    """A copy of a file that is stored elsewhere, and is called as that is."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path)
        self._name = name

    def __str__(self) -> str:
        return self._name

    def version(self) -> str:
        """None: a cache marks a file as used by its time, and holds no other under the same name."""
        return ""
