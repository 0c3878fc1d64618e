"""Folders of images: a sub-folder is a class, or ``dataset.json`` says what the classes are."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import attrs
from attrs.validators import ge, le

from thalweg.config import secret_field, url_field
from thalweg.data.contents import Contents, contents_of
from thalweg.data.decoding import LARGEST_IMAGE, LIMIT_PIXELS, MOST_PIXELS, decode
from thalweg.data.sources.classes import check_classes
from thalweg.data.sources.listed import LARGEST_LIST, LIST, Listing, in_chunks, listing
from thalweg.data.sources.names import File, files_below, fingerprints_of, is_image
from thalweg.data.sources.numbering import classes_of
from thalweg.data.sources.passed_over import PassedOver, is_hidden
from thalweg.data.sources.refusals import no_images
from thalweg.errors import DataError
from thalweg.protocols import Record
from thalweg.storage import Location

_log = logging.getLogger("thalweg")


@attrs.frozen
class FolderConfig:
    """A folder of jpg, png and webp files, whose sub-folders are the classes, in the order of their names.

    Below a class, images may lie at any depth. Without sub-folders the images bear no labels. Other files,
    and images beside the sub-folders, are passed over with a warning; hidden folders and those of systems are
    no classes. Folders that are called as the parts of a data set are, ``train`` and ``val``, are refused.

    With a ``dataset.json`` as EDM, StyleGAN and REPA have it, classes are the numbers that it states, and
    folders mean nothing. Nor do folders of running numbers without one, ``00001/img00001000.png``: their
    images bear no labels.

    Attributes:
        url: the folder.
        storage_options: options of its file system, such as credentials; never written anywhere.
        limit_pixels: height times width above which an image is refused.
    """

    url: str = url_field()
    storage_options: dict[str, Any] = secret_field()
    limit_pixels: int = attrs.field(default=LIMIT_PIXELS, validator=[ge(1), le(MOST_PIXELS)])

    def build(self) -> "FolderSource":
        """List the folder; no image is read.

        Raises:
            DataError: if there is no such folder, or no image in it, if its folders are the parts of a data
                set, or if images and ``dataset.json`` do not belong together.
        """
        return FolderSource(Location(self.url, self.storage_options), self.limit_pixels)


class FolderSource:
    """Images of a folder, in the order of their names, which is class by class where folders are classes.

    Args:
        root: the folder.
        limit_pixels: height times width above which an image is refused.

    Attributes:
        passed_over: how many files and folders are no part of it, by the reason why.

    Raises:
        DataError: as :meth:`FolderConfig.build`.
    """

    captioned = False

    def __init__(self, root: Location, limit_pixels: int = LIMIT_PIXELS) -> None:
        self._limit_pixels = limit_pixels
        files, passed = files_below(root)
        self._listing = _listing(root, files)
        images = [file for file in files if is_image(file.name)]
        nested = [file for file in images if "/" in file.name]
        if self._listing is None:
            _refuse_lists_below(root, files)
        self._files = images if self._listing is not None or not nested else nested
        by_folder = self._listing is None and bool(nested)
        if by_folder and in_chunks([file.name for file in nested]):
            by_folder = False
            _log.warning(
                "%s: its folders are of running numbers, so they are no classes, and the images bear no "
                "labels; classes may stand in a dataset.json",
                root,
            )
        folders = [file.name.partition("/")[0] for file in self._files] if by_folder else []
        self.class_names = tuple(dict.fromkeys(folders))
        if by_folder:
            check_classes(root, self.class_names, [file.name for file in self._files])
        used = {file.name for file in self._files} | ({LIST} if self._listing is not None else set())
        _note_others(root, [file for file in files if file.name not in used], self.class_names, passed)
        passed.report(root)
        self.passed_over = passed.counts
        if not self._files:
            raise no_images(root, [file.name for file in files])
        if self._listing is None:
            numbers = {name: number for number, name in enumerate(self.class_names)}
            self.labels = [numbers[name] for name in folders] if by_folder else None
            self.classes = len(self.class_names) or None
        else:
            self.labels = self._listing.labels_of([file.name for file in self._files])
            self.classes = None if self.labels is None else classes_of(self._listing.where, self.labels)

    @cached_property
    def contents(self) -> Contents:
        """Names, sizes, labels and class names of all images, and the content of some."""
        return contents_of(
            [file.name for file in self._files],
            files=fingerprints_of(self._files),
            labels=self.labels,
            classes=self.classes,
            class_names=self.class_names,
        )

    @property
    def identity(self) -> str:
        """What the source is: a hash of its contents."""
        return self.contents.identity("folder")

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Record:
        name, location = self._files[index]
        image = decode(location.read(limit=LARGEST_IMAGE), str(location), limit_pixels=self._limit_pixels)
        return Record(name, image, None if self.labels is None else self.labels[index])


def _listing(root: Location, files: Sequence[File]) -> Listing | None:
    for file in files:
        if file.name == LIST:
            return listing(file.location.read(limit=LARGEST_LIST), f"{root}/{LIST}")
    return None


def _refuse_lists_below(root: Location, files: Sequence[File]) -> None:
    """Folders above one with a ``dataset.json`` are not meant: its folder would be a class."""
    for file in files:
        folder, _, name = file.name.partition("/")
        if name == LIST and any(is_image(one.name) and one.name.startswith(f"{folder}/") for one in files):
            told = None
            with suppress(DataError):  # a file of that name among the images of a class is nobody's business
                told = listing(file.location.read(limit=LARGEST_LIST), file.name)
            if told is not None:
                raise DataError(
                    f"{root}/{folder} holds {LIST} with the labels of its images, so it is no class; set the "
                    f"source's url to {root}/{folder}"
                )


def _note_others(root: Location, others: Sequence[File], classes: Sequence[str], passed: PassedOver) -> None:
    """Note what is no image of the source, and sub-folders that are no class for want of images."""
    passed.add("that are no images", (file.name for file in others if not is_image(file.name)))
    passed.add("images outside of the folders", (file.name for file in others if is_image(file.name)))
    if classes:
        # Of what lies directly in it, whatever is neither a file nor a class.
        known = {*classes, *(file.name for file in others)}
        bare = [name for name in root.children() if name not in known and not is_hidden(name)]
        passed.add("folders without images", bare)
