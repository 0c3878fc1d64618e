"""Tar files in the layout of WebDataset: ``key.jpg`` beside ``key.cls``, ``key.txt`` or ``key.json``."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
from attrs.validators import and_, ge, gt, le, optional

from thalweg.config import secret_field, url_field
from thalweg.data.decoding import LIMIT_PIXELS, MOST_PIXELS
from thalweg.data.sources.braces import expanded, names_of
from thalweg.data.sources.classes import classes_of
from thalweg.data.sources.names import File, Skipped, files_below
from thalweg.data.sources.refusals import check_place, compressed, is_compressed_tar, is_tar, no_images
from thalweg.data.sources.shard_counts import is_statement
from thalweg.data.sources.sharded import ShardedImages
from thalweg.data.sources.stored import StoredImages
from thalweg.data.sources.tar_samples import Sample, all_or_none, samples_of
from thalweg.data.sources.tar_shards import TarShards
from thalweg.errors import DataError
from thalweg.facts import MOST_CLASSES
from thalweg.storage import Location, default_cache, redacted

_AT_ONCE = 8  # files whose headers are read side by side
_GIB = 2**30


@attrs.frozen
class TarConfig:
    """Tar files, not compressed, whose members belong to one sample if they share a name up to its first dot.

    A sample is an image (jpg, png, webp) with, if they are there, its class in ``.cls``, captions in
    ``.txt``, one a line, or both in ``.json`` as ``label`` and ``caption``; or a ``dataset.json`` as EDM,
    StyleGAN and REPA have it states the classes of all. A caption that stands in both is one, an empty one is
    none. Hidden members and those of systems are skipped. Nothing is ever unpacked.

    Attributes:
        url: a tar file, a folder of them, or a pattern such as ``shard-{000..011}.tar``.
        storage_options: options of its file system, such as credentials; never written anywhere.
        classes: number of classes; none for one more than the largest label.
        limit_pixels: height times width above which an image is refused.
        stream: read shard by shard, each copied whole to the cache when its turn comes, and never all headers
            at the start. Where samples have labels, ``classes`` must be stated.
        cache_gib: with ``stream``, what copies may take of the local disk.
    """

    url: str = url_field()
    storage_options: dict[str, Any] = secret_field()
    classes: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(MOST_CLASSES))))
    limit_pixels: int = attrs.field(default=LIMIT_PIXELS, validator=[ge(1), le(MOST_PIXELS)])
    stream: bool = False
    cache_gib: float = attrs.field(default=64.0, validator=[gt(0.0), le(2.0**20)])

    def build(self) -> StoredImages | ShardedImages:
        """Read the headers of every file once, and the small members beside the images; of a stream, only
        what is needed to know how many samples each file holds.

        Returns:
            The images in their order; the names of their files are part of the keys if there are several.

        Raises:
            DataError: if there is no such file, if one is damaged, cut off or holds what no data set does,
                or if samples differ in having labels or captions.
            ConfigError: if a stream has labels and the number of classes is not stated.
        """
        files, passed = _files(self.url, self.storage_options, counts=self.stream)
        if self.stream:
            passed.report(redacted(self.url))
            cache = default_cache(int(self.cache_gib * _GIB))
            return TarShards(files, cache, limit_pixels=self.limit_pixels).source(self.classes)
        where = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        samples: list[Sample] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            scanned = pool.map(lambda file: samples_of(file.location), files)
            for file, (found, others) in zip(files, scanned, strict=True):
                prefix = f"{file.name}/" if len(files) > 1 else ""
                samples += [one._replace(key=prefix + one.key) for one in found]
                passed.merge(others, prefix)
        passed.report(where)
        if not samples:
            raise no_images(where, [])
        captioned = all_or_none(where, "caption", [(one.key, one.described) for one in samples])
        labelled = all_or_none(where, "label", [(one.key, one.label is not None) for one in samples])
        labels = [one.label for one in samples if one.label is not None] if labelled else None
        return StoredImages(
            "tar",
            [one.key for one in samples],
            [one.image for one in samples],
            labels=labels,
            classes=None if labels is None else classes_of(where, labels, self.classes),
            captions=(lambda index: samples[index].captions) if captioned else None,
            skipped=passed.counts,
            limit_pixels=self.limit_pixels,
        )


def _files(url: str, storage_options: dict[str, Any], *, counts: bool) -> tuple[list[File], Skipped]:
    """The tar files in their order, and what is skipped, which files that state counts are not if these are
    read."""
    urls = expanded(url)
    if len(urls) > 1:
        places = (Location(one, storage_options) for one in urls)
        return list(map(File, names_of(url, urls), places)), Skipped()
    location = Location(urls[0], storage_options)
    if is_tar(location):
        return [File(location.name, location)], Skipped()
    check_place(location)
    if not location.is_dir():
        raise DataError(f"{location} is neither a .tar file nor a folder of them; give one of both")
    every, passed = files_below(location)
    for file in every:
        if is_compressed_tar(file.name):
            raise compressed(file.location)
    found = [file for file in every if file.name.lower().endswith(".tar")]
    if not found:
        raise DataError(f"the folder {location} holds no .tar file; put at least one there")
    others = [file.name for file in every if not file.name.lower().endswith(".tar")]
    if counts:
        others = [name for name in others if not is_statement(name)]
    passed.add("that are no tar files", others)
    return sorted(found, key=lambda file: file.name), passed
