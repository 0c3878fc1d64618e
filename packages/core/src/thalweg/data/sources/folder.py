"""Folders of images: a sub-folder is a class."""

from functools import cached_property
from typing import Any

import attrs
from attrs.validators import ge, le

from thalweg.config import secret_field, url_field
from thalweg.data.contents import Contents, contents_of
from thalweg.data.decoding import LARGEST_IMAGE, LIMIT_PIXELS, MOST_PIXELS, decode
from thalweg.data.sources.names import files_below, is_image, report_ignored, told_of
from thalweg.errors import DataError
from thalweg.protocols import Record
from thalweg.storage import Location


@attrs.frozen
class FolderConfig:
    """A folder of jpg, png and webp files, whose sub-folders are the classes, in the order of their names.

    Below a class, images may lie at any depth. Without sub-folders the images bear no labels. Other files,
    and images beside the sub-folders, are passed over with a warning.

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
            DataError: if there is no such folder, or no image in it.
        """
        return FolderSource(Location(self.url, self.storage_options), self.limit_pixels)


class FolderSource:
    """Images of a folder, class by class.

    Args:
        root: the folder.
        limit_pixels: height times width above which an image is refused.

    Raises:
        DataError: if there is no such folder, or no image in it.
    """

    captioned = False

    def __init__(self, root: Location, limit_pixels: int = LIMIT_PIXELS) -> None:
        self._limit_pixels = limit_pixels
        files = files_below(root)
        images = [file for file in files if is_image(file.name)]
        labelled = any("/" in file.name for file in images)
        self._files = [file for file in images if "/" in file.name] if labelled else images
        kept = {file.name for file in self._files}
        ignored = [file.name for file in files if file.name not in kept]
        report_ignored(root, ignored, "images in a class's folder" if labelled else "images")
        if not self._files:
            raise DataError(f"{root} holds no jpg, png or webp image; put at least one there")
        folders = [file.name.partition("/")[0] for file in self._files] if labelled else []
        self.class_names = tuple(sorted(set(folders)))
        self.classes = len(self.class_names) or None
        numbers = {name: number for number, name in enumerate(self.class_names)}
        self.labels = [numbers[name] for name in folders] if labelled else None

    @cached_property
    def contents(self) -> Contents:
        """Names, sizes, labels and class names of all images, and the content of some."""
        return contents_of(
            [file.name for file in self._files],
            files=told_of(self._files),
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
