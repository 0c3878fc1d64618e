"""Images with captions, in the layout of MS-COCO or as a text file beside each image."""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from attrs.validators import ge, le

from thalweg.config import secret_field, url_field
from thalweg.data.decoding import LIMIT_PIXELS, MOST_PIXELS
from thalweg.data.sources.captions import COCO, captions_by_file, captions_of
from thalweg.data.sources.names import File, files_below, hidden_in, is_image, key_of, leads_astray
from thalweg.data.sources.refusals import no_images
from thalweg.data.sources.stored import StoredImages
from thalweg.errors import ConfigError, DataError
from thalweg.storage import Location


def _inside(_: object, field: "attrs.Attribute[Any]", path: str | None) -> None:
    if path and leads_astray(path):
        raise ConfigError(f"{field.name} must be a path below url")


@attrs.frozen
class CaptionedConfig:
    """A folder of images and what is stated of each: a captions file as MS-COCO has it, or texts beside them.

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

    def build(self) -> StoredImages:
        """List the images, in the order of their names, and read the captions file.

        Raises:
            DataError: if there is no image, if the captions file is damaged or there are several, or if
                captions and images do not belong together.
        """
        root = Location(self.url, self.storage_options)
        folder = root / self.images if self.images else root
        files, passed = files_below(folder)
        images = [file for file in files if is_image(file.name)]
        names = [file.name for file in images]
        if not images:
            passed.report(folder)
            raise no_images(folder, [file.name for file in files])
        used = set(names)
        told = root / self.captions if self.captions else None
        if self.captions is None and (beside := _captions_file(folder, files)) is not None:
            told = beside.location
            used.add(beside.name)
        if told is None:
            texts = _texts_beside(folder, files, names)
            used.update(text.name for text in texts)

            def captions(index: int) -> tuple[str, ...]:
                return captions_of(texts[index].location.read(), str(texts[index]))
        else:
            by_name = captions_by_file(told.read(), str(told))
            bare = [name for name in sorted(names) if name not in by_name]
            there = set(names)
            _together(told, bare, [name for name in by_name if name not in there and not hidden_in(name)])

            def captions(index: int) -> tuple[str, ...]:
                return by_name[names[index]]

        passed.add("that are no images or captions", (file.name for file in files if file.name not in used))
        passed.report(folder)
        return StoredImages(
            "captioned",
            names,
            images,
            captions=captions,
            skipped=passed.counts,
            limit_pixels=self.limit_pixels,
        )


def _captions_file(folder: Location, files: Iterable[File]) -> File | None:
    found = [file for file in files if COCO.fullmatch(file.name)]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise DataError(f"{folder} holds {len(found)} captions files, {names}; name one of them as captions")
    return found[0] if found else None


def _texts_beside(folder: Location, files: Iterable[File], images: Iterable[str]) -> list[File]:
    """The text of each image, in their order."""
    texts = {key_of(file.name): file for file in files if file.name.lower().endswith(".txt")}
    by_key: dict[str, str] = {}
    for image in images:
        other = by_key.setdefault(key_of(image), image)
        if other != image:
            raise DataError(f"{folder} holds {other} and {image}, of which only one can have the text")
    bare = [name for key, name in by_key.items() if key not in texts]
    _together(folder, bare, [text.name for key, text in texts.items() if key not in by_key])
    return [texts[key] for key in by_key]


def _together(where: Location, bare: Sequence[str], lost: Sequence[str]) -> None:
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
