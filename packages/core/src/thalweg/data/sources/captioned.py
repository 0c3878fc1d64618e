"""Images with captions, in the layout of MS-COCO or as a text file beside each image."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import attrs
from attrs.validators import ge, le

from thalweg.config import secret_field, url_field
from thalweg.data.contents import Contents, contents_of
from thalweg.data.decoding import LARGEST_IMAGE, LIMIT_PIXELS, MOST_PIXELS, decode
from thalweg.data.sources.captions import all_captions, captions_of
from thalweg.data.sources.coco import captions_by_file
from thalweg.data.sources.names import (
    File,
    files_below,
    fingerprints_of,
    is_image,
    key_of,
    leads_astray,
)
from thalweg.data.sources.passed_over import hidden_in
from thalweg.data.sources.refusals import no_images
from thalweg.errors import ConfigError, DataError
from thalweg.protocols import Record
from thalweg.storage import Location

_COCO = re.compile(r"captions_[^/]*\.json")


def _inside(_: object, field: "attrs.Attribute[Any]", path: str | None) -> None:
    if path and leads_astray(path):
        raise ConfigError(f"{field.name} must be a path below url")


@attrs.frozen
class CaptionedConfig:
    """A folder of images and what is said of each: a captions file as MS-COCO has it, or texts beside them.

    Every image needs a text or annotation, and every caption its image. An empty caption is none, and an
    image without one is learnt under the encoder's empty caption.

    Attributes:
        url: the folder.
        storage_options: options of its file system, such as credentials; never written anywhere.
        captions: the captions file below it, such as ``annotations/captions_train2017.json``; none for
            ``captions_*.json`` at the top of the images' folder or, without one, a ``.txt`` beside each
            image, one caption a line.
        images: the folder of images below it, such as ``train2017``; empty for the folder itself.
        limit_pixels: height times width above which an image is refused.
    """

    url: str = url_field()
    storage_options: dict[str, Any] = secret_field()
    captions: str | None = attrs.field(default=None, validator=_inside)
    images: str = attrs.field(default="", validator=_inside)
    limit_pixels: int = attrs.field(default=LIMIT_PIXELS, validator=[ge(1), le(MOST_PIXELS)])

    def build(self) -> "CaptionedSource":
        """List the images and read the captions file.

        Raises:
            DataError: if there is no image, if the captions file is damaged or there are several, or if
                captions and images do not belong together.
        """
        root = Location(self.url, self.storage_options)
        return CaptionedSource(root, self.captions, self.images, self.limit_pixels)


class CaptionedSource:
    """Images with their captions, in the order of their names.

    Args:
        root: the folder.
        captions: the captions file below it; None to look for one.
        images: the folder of images below it; empty for the folder itself.
        limit_pixels: height times width above which an image is refused.

    Attributes:
        passed_over: how many files and folders are no part of it, by the reason why.

    Raises:
        DataError: as :meth:`CaptionedConfig.build`.
    """

    classes = None
    class_names: tuple[str, ...] = ()
    captioned = True
    labels = None

    def __init__(
        self, root: Location, captions: str | None, images: str, limit_pixels: int = LIMIT_PIXELS
    ) -> None:
        self._limit_pixels = limit_pixels
        folder = root / images if images else root
        files, passed = files_below(folder)
        self._files = [file for file in files if is_image(file.name)]
        if not self._files:
            passed.report(folder)
            raise no_images(folder, [file.name for file in files])
        beside = None if captions is not None else _captions_file(folder, files)
        self._told = beside.location if beside is not None else root / captions if captions else None
        self._texts: list[File] = []
        if self._told is None:
            self._texts = _texts_beside(folder, files, self._files)
        else:
            self._captions = captions_by_file(self._told.read(), str(self._told))
            there = {file.name for file in self._files}
            bare = [name for name in sorted(there) if name not in self._captions]
            lost = [name for name in self._captions if name not in there and hidden_in(name) is None]
            _together(str(self._told), bare, lost)
        used = {file.name for file in (*self._files, *self._texts, *([beside] if beside else []))}
        passed.add("that are no images or captions", (file.name for file in files if file.name not in used))
        passed.report(folder)
        self.passed_over = passed.counts

    @cached_property
    def contents(self) -> Contents:
        """Names, sizes and captions of all images, and the content of some."""
        return contents_of(
            [file.name for file in self._files],
            files=fingerprints_of(self._files),
            captions=all_captions(self.captions, len(self)),
        )

    @property
    def identity(self) -> str:
        """What the source is: a hash of its contents."""
        return self.contents.identity("captioned")

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Record:
        name, location = self._files[index]
        image = decode(location.read(limit=LARGEST_IMAGE), str(location), limit_pixels=self._limit_pixels)
        return Record(name, image, captions=self.captions(index))

    def captions(self, index: int) -> tuple[str, ...]:
        """What is said of an image, which is not read.

        Raises:
            DataError: if the text beside it is damaged.
        """
        if self._told is not None:
            return self._captions[self._files[index].name]
        text = self._texts[index].location
        return captions_of(text.read(), str(text))


def _captions_file(folder: Location, files: Iterable[File]) -> File | None:
    found = [file for file in files if _COCO.fullmatch(file.name)]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise DataError(f"{folder} holds {len(found)} captions files, {names}; name one of them as captions")
    return found[0] if found else None


def _texts_beside(folder: Location, files: Iterable[File], images: Iterable[File]) -> list[File]:
    """The text of each image, in their order."""
    texts = {key_of(file.name): file for file in files if file.name.lower().endswith(".txt")}
    by_key: dict[str, str] = {}
    for image in images:
        other = by_key.setdefault(key_of(image.name), image.name)
        if other != image.name:
            raise DataError(f"{folder} holds {other} and {image.name}, of which only one can have the text")
    bare = [name for key, name in by_key.items() if key not in texts]
    _together(str(folder), bare, [text.name for key, text in texts.items() if key not in by_key])
    return [texts[key] for key in by_key]


def _together(where: str, bare: Sequence[str], lost: Sequence[str]) -> None:
    """No image without a caption, no caption without its image."""
    if bare:
        raise DataError(
            f"{where}: {len(bare)} images have no caption, the first is {bare[0]}; write them, or take the "
            "images away"
        )
    if lost:
        raise DataError(
            f"{where}: {len(lost)} captions have no image, the first is {lost[0]}; add the images, or take "
            "the captions away"
        )
