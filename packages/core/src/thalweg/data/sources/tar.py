"""Tar files in the layout of WebDataset: ``key.jpg`` beside ``key.cls``, ``key.txt`` or ``key.json``."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import attrs
from attrs.validators import and_, ge, le, optional

from thalweg.config import secret_field, url_field
from thalweg.data.contents import Contents, contents_of, fingerprints
from thalweg.data.decoding import LARGEST_IMAGE, LIMIT_PIXELS, MOST_PIXELS, decode
from thalweg.data.sources.braces import expanded, names_of
from thalweg.data.sources.captions import joined, text_of
from thalweg.data.sources.listed import LARGEST_LIST, LIST, Listing, listing
from thalweg.data.sources.numbering import classes_of
from thalweg.data.sources.passed_over import PassedOver, is_hidden
from thalweg.data.sources.refusals import (
    check_place,
    compressed,
    is_compressed_tar,
    is_folder_here,
    no_images,
)
from thalweg.data.sources.tar_samples import Sample, is_list, is_sidecar, samples
from thalweg.data.sources.tar_scan import Member, scan
from thalweg.errors import DataError
from thalweg.facts import MOST_CLASSES
from thalweg.protocols import Record
from thalweg.storage import Location

_AT_ONCE = 8  # files whose headers are read side by side


@attrs.frozen
class TarConfig:
    """Tar files, not compressed, whose members belong to one sample if they share a name up to its first dot.

    A sample is an image (jpg, png, webp) with, if they are there, its class in ``.cls``, captions in
    ``.txt``, one a line, or both in ``.json`` as ``label`` and ``caption``; or a ``dataset.json`` as EDM,
    StyleGAN and REPA have it states the classes of all. A caption that stands in both is one, an empty one is
    none. Hidden members and those of systems are passed over. Nothing is ever unpacked.

    Attributes:
        url: a tar file, a folder of them, or a pattern such as ``shard-{000..011}.tar``.
        storage_options: options of its file system, such as credentials; never written anywhere.
        classes: number of classes; none for one more than the largest label.
        limit_pixels: height times width above which an image is refused.
    """

    url: str = url_field()
    storage_options: dict[str, Any] = secret_field()
    classes: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(MOST_CLASSES))))
    limit_pixels: int = attrs.field(default=LIMIT_PIXELS, validator=[ge(1), le(MOST_PIXELS)])

    def build(self) -> "TarSource":
        """Read the headers of every file once, and the small members beside the images.

        Raises:
            DataError: if there is no such file, if one is damaged, cut off or holds what no data set does,
                or if samples differ in having labels or captions.
        """
        passed = PassedOver()
        files = _files(self.url, self.storage_options, passed)
        return TarSource(files, self.classes, self.limit_pixels, passed)


class _Tar(NamedTuple):
    """A tar file as it was when its headers were read; places in another version mean nothing."""

    location: Location
    version: str

    def read(self, member: Member, limit: int = LARGEST_IMAGE) -> bytes:
        stop = member.start + member.size
        return self.location.read(member.start, stop, version=self.version, limit=limit)


class _Place(NamedTuple):
    """A sample and the tar file that holds it."""

    tar: _Tar
    sample: Sample


class TarSource:
    """Images within tar files, in their order.

    Args:
        files: the tar files by name; the names are part of the records' keys if there are several.
        classes: number of classes; None for one more than the largest label.
        limit_pixels: height times width above which an image is refused.
        passed: what was passed over before.

    Attributes:
        passed_over: how many members and files are no part of it, by the reason why.

    Raises:
        DataError: as :meth:`TarConfig.build`.
    """

    class_names: tuple[str, ...] = ()

    def __init__(
        self,
        files: Sequence[tuple[str, Location]],
        classes: int | None,
        limit_pixels: int = LIMIT_PIXELS,
        passed: PassedOver | None = None,
    ) -> None:
        self._limit_pixels = limit_pixels
        self._places: list[_Place] = []
        where = str(files[0][1]) if len(files) == 1 else f"{files[0][1]} and {len(files) - 1} more"
        passed = PassedOver() if passed is None else passed
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            scanned = pool.map(lambda file: _scanned(file[1]), files)
            for (name, _), (tar, found, others) in zip(files, scanned, strict=True):
                prefix = f"{name}/" if len(files) > 1 else ""
                self._places += [_Place(tar, one._replace(key=prefix + one.key)) for one in found]
                passed.merge(others, prefix)
        passed.report(where)
        self.passed_over = passed.counts
        if not self._places:
            raise no_images(where, [])
        each = [place.sample for place in self._places]
        self.captioned = _all_or_none(where, "caption", [(one.key, one.described) for one in each])
        labelled = _all_or_none(where, "label", [(one.key, one.label is not None) for one in each])
        self.labels = [one.label for one in each if one.label is not None] if labelled else None
        self.classes = None if self.labels is None else classes_of(where, self.labels, classes)

    @cached_property
    def contents(self) -> Contents:
        """Names, sizes, labels and captions of all images, and the content of some."""
        every = range(len(self))
        return contents_of(
            [place.sample.key for place in self._places],
            files=fingerprints([place.sample.image.size for place in self._places], self._first),
            labels=self.labels,
            captions=[self.captions(index) for index in every] if self.captioned else None,
            classes=self.classes,
        )

    @property
    def identity(self) -> str:
        """What the source is: a hash of its contents."""
        return self.contents.identity("tar")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Record:
        tar, sample = self._places[index]
        name = f"{sample.image.name} in {tar.location}"
        image = decode(tar.read(sample.image), name, limit_pixels=self._limit_pixels)
        return Record(sample.key, image, sample.label, self.captions(index))

    def captions(self, index: int) -> tuple[str, ...]:
        """What is said of an image, which is not read.

        Raises:
            DataError: if its text is damaged.
        """
        tar, sample = self._places[index]
        if sample.text is None:
            return sample.captions
        name = f"{sample.text.name} in {tar.location}"
        return joined(text_of(sample.text.content or b"", name), sample.captions)

    def _first(self, index: int, count: int) -> bytes:
        """The first bytes of an image."""
        tar, sample = self._places[index]
        return tar.read(sample.image._replace(size=count))


def _scanned(location: Location) -> tuple[_Tar, list[Sample], PassedOver]:
    tar = _Tar(location, location.version())
    members, told = [], None
    for member in scan(location, tar.version, is_sidecar):
        one = _listing(tar, member) if is_list(member.name) else None
        if one is None:
            # What is called dataset.json and is no such list is a sample's own.
            members.append(member._replace(content=tar.read(member)) if is_list(member.name) else member)
        elif told is not None:
            raise DataError(f"{location} holds {told[0].where} and another {LIST}; pack each set for itself")
        else:
            told = one, member.name.rpartition("/")[0]
    found, passed = samples(members, str(location))
    if told is not None:
        found = _labelled(found, *told, where=str(location))
    return tar, found, passed


def _listing(tar: _Tar, member: Member) -> Listing | None:
    return listing(tar.read(member, LARGEST_LIST), f"{member.name} in {tar.location}")


def _labelled(found: list[Sample], told: Listing, folder: str, where: str) -> list[Sample]:
    """Samples with the classes that the list beside them states."""
    prefix = f"{folder}/" if folder else ""
    outside = [one.image.name for one in found if not one.image.name.startswith(prefix)]
    if outside:
        raise DataError(f"{where} holds {outside[0]} outside of {folder}, whose {LIST} is read; take it out")
    labels = told.labels_of([one.image.name.removeprefix(prefix) for one in found])
    if labels is None:
        return found
    for one, label in zip(found, labels, strict=True):
        if one.label not in (None, label):
            raise DataError(f"{one.key} in {where} has label {one.label}, and {label} in {LIST}; correct one")
    return [one._replace(label=label) for one, label in zip(found, labels, strict=True)]


def _files(url: str, storage_options: dict[str, Any], passed: PassedOver) -> list[tuple[str, Location]]:
    urls = expanded(url)
    if len(urls) > 1:
        places = (Location(one, storage_options) for one in urls)
        return list(zip(names_of(url, urls), places, strict=True))
    location = Location(urls[0], storage_options)
    if location.name.lower().endswith(".tar") and not is_folder_here(location):
        return [(location.name, location)]
    check_place(location)
    if not location.is_dir():
        raise DataError(f"{location} is neither a .tar file nor a folder of them; give one of both")
    every = {one.relative(location): one for one in location.find(closed=is_hidden)}
    kept = passed.take_hidden(every)
    found = [(name, every[name]) for name in kept if name.lower().endswith(".tar")]
    packed = [name for name in kept if is_compressed_tar(name)]
    if packed:
        raise compressed(every[packed[0]])
    if not found:
        raise DataError(f"the folder {location} holds no .tar file; put at least one there")
    passed.add("that are no tar files", (name for name in kept if not name.lower().endswith(".tar")))
    return found


def _all_or_none(where: str, what: str, having: list[tuple[str, bool]]) -> bool:
    without = [key for key, has in having if not has]
    if without and len(without) < len(having):
        raise DataError(
            f"{len(without)} of {len(having)} samples of {where} have no {what}, the first is {without[0]}; "
            f"give every sample a {what}, or none"
        )
    return not without
