"""Folders of images: a sub-folder is a class, or ``dataset.json`` says what the classes are."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import attrs
from attrs.validators import ge, le

from thalweg.config import secret_field, url_field
from thalweg.data.decoding import LIMIT_PIXELS, MOST_PIXELS
from thalweg.data.sources.classes import check_classes, classes_of
from thalweg.data.sources.listed import LARGEST_LIST, LIST, Listing, in_chunks, listing
from thalweg.data.sources.names import File, Skipped, files_below, is_hidden, is_image
from thalweg.data.sources.refusals import no_images
from thalweg.data.sources.stored import StoredImages
from thalweg.errors import DataError
from thalweg.storage import Location

_log = logging.getLogger("thalweg")


@attrs.frozen
class FolderConfig:
    """A folder of jpg, png and webp files, whose sub-folders are the classes, in the order of their names.

    Below a class, images may be at any depth. Without sub-folders the images bear no labels. Other files,
    and images beside the sub-folders, are skipped with a warning; hidden folders and those of systems are
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

    def build(self) -> StoredImages:
        """List the folder; no image is read.

        Returns:
            Its images in the order of their names, which is class by class where folders are classes.

        Raises:
            DataError: if there is no such folder, or no image in it, if its folders are the parts of a data
                set, or if images and ``dataset.json`` do not belong together.
        """
        root = Location(self.url, self.storage_options)
        files, passed = files_below(root)
        listed = _listing(root, files)
        images = [file for file in files if is_image(file.name)]
        by_folder = listed is None and any("/" in file.name for file in images)
        if by_folder:
            images = [file for file in images if "/" in file.name]
        names = [file.name for file in images]
        if by_folder and in_chunks(names):
            by_folder = False
            _log.warning(
                "%s: its folders are of running numbers, so they are no classes, and the images bear no "
                "labels; classes may stand in a dataset.json",
                root,
            )
        folders = [name.partition("/")[0] for name in names] if by_folder else []
        class_names = tuple(dict.fromkeys(folders))
        if by_folder:
            check_classes(root, class_names, names)
        used = {*names, LIST} if listed is not None else {*names}
        _note_others(root, [file.name for file in files if file.name not in used], class_names, passed)
        passed.report(root)
        if not images:
            raise no_images(root, [file.name for file in files])
        if listed is not None:
            labels = listed.labels_of(names)
            classes = None if labels is None else classes_of(listed.where, labels)
        else:
            numbers = {name: number for number, name in enumerate(class_names)}
            labels = [numbers[name] for name in folders] if by_folder else None
            classes = len(class_names) or None
        return StoredImages(
            "folder",
            names,
            images,
            labels=labels,
            classes=classes,
            class_names=class_names,
            skipped=passed.counts,
            limit_pixels=self.limit_pixels,
        )


def _listing(root: Location, files: Sequence[File]) -> Listing | None:
    """What a ``dataset.json`` states. Folders above one are not meant: its folder would be a class."""
    for file in files:
        if file.name == LIST:
            found = listing(file.location.read(limit=LARGEST_LIST), f"{root}/{LIST}")
            if found is not None:
                return found
    for file in files:
        folder, _, name = file.name.partition("/")
        if name == LIST and any(is_image(one.name) and one.name.startswith(f"{folder}/") for one in files):
            below = None
            with suppress(DataError):  # a file of that name among the images of a class is nobody's business
                below = listing(file.location.read(limit=LARGEST_LIST), file.name)
            if below is not None:
                raise DataError(
                    f"{root}/{folder} holds {LIST} with the labels of its images, so it is no class; set the "
                    f"source's url to {root}/{folder}"
                )
    return None


def _note_others(root: Location, others: Sequence[str], classes: Sequence[str], passed: Skipped) -> None:
    """Note what is no image of the source, and sub-folders that are no class for want of images."""
    passed.add("that are no images", (name for name in others if not is_image(name)))
    passed.add("images outside of the folders", filter(is_image, others))
    if classes:
        # Of what is directly in it, whatever is neither a file nor a class.
        known = {*classes, *others}
        bare = [name for name in root.children() if name not in known and not is_hidden(name)]
        passed.add("folders without images", bare)
