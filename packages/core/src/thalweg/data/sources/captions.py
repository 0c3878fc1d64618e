"""Captions: as texts and MS-COCO's files hold them, and all those of a source.

One rule holds wherever a caption stands: white space around it does not count, and an empty one is none. An
image may so be without a caption, and is then learnt under the encoder's empty one.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any

from thalweg.data.contents import side_by_side
from thalweg.data.sources.names import leads_astray
from thalweg.errors import DataError
from thalweg.protocols import Source
from thalweg.regular import parse_json

COCO = re.compile(r"captions_[^/]*\.json")
"""What files in the layout of MS-COCO are called."""

_LINE_ENDS = re.compile(r"\r\n|\r|\n")

_log = logging.getLogger("thalweg")


def captions_to_learn(source: Source) -> list[tuple[str, ...]]:
    """The captions of each image of a source, for a network; how many images have none is said in one line.

    Images are read only where the source cannot do without.

    Raises:
        DataError: naming the file, if one is damaged; or if no image has a caption.
    """
    found = side_by_side(getattr(source, "captions", lambda index: source[index].captions), len(source))
    bare = sum(not captions for captions in found)
    if found and bare == len(found):
        raise DataError(f"all captions of the {bare} images are empty; write some, or leave 'text' out")
    if bare:
        _log.warning("%d of %d images have no caption, and are learnt under the empty one", bare, len(found))
    return found


def captions_of(data: bytes, name: str) -> tuple[str, ...]:
    """The captions of a text file, one a line; none of an empty one.

    Raises:
        DataError: if it is not UTF-8.
    """
    return stripped(_LINE_ENDS.split(text_of(data, name)))


def text_of(data: bytes, name: str) -> str:
    """A text file's content, without a byte order mark.

    Raises:
        DataError: if it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text ({error.reason}); save it as UTF-8") from error


def stripped(captions: Iterable[str | None]) -> tuple[str, ...]:
    """Captions without white space around them, and without those that are empty."""
    return tuple(text for caption in captions if (text := (caption or "").strip()))


def joined(text: str, described: tuple[str, ...]) -> tuple[str, ...]:
    """Captions that stand both in a text and in JSON, each once.

    img2dataset writes the same caption into both, with its line ends, if it has any.

    Args:
        text: one caption a line.
        described: those of the JSON.
    """
    if " ".join(text.split()) == " ".join(" ".join(described).split()):
        return described
    return tuple(dict.fromkeys((*stripped(_LINE_ENDS.split(text)), *described)))


def captions_by_file(data: bytes, name: str) -> dict[str, tuple[str, ...]]:
    """Captions in the layout of MS-COCO: of each image that has annotations, by its file's name, in the order
    of the file; none for an image whose captions are empty.

    ``images`` have ``id`` and ``file_name``, ``annotations`` have ``image_id`` and ``caption``: T.-Y. Lin et
    al., Microsoft COCO: Common Objects in Context, 2014.

    Args:
        data: the JSON.
        name: what it is called in errors.

    Raises:
        DataError: if it is of another layout, names a file outside of the folder, an image twice, or an
            image that is not listed.
    """
    try:
        content: Any = parse_json(data)
        files = {_id(one, "id"): _file_name(one, name) for one in content["images"]}
        if len(files) < len(content["images"]) or len(set(files.values())) < len(files):
            raise DataError(f"{name} lists an image twice; list each once")
        captions: dict[str, list[str | None]] = {}
        for one in content["annotations"]:
            captions.setdefault(files[_id(one, "image_id")], []).append(_caption(one))
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{name} is no captions file of MS-COCO's layout ({type(error).__name__}: {error}); it needs "
            "images with id and file_name, and annotations with the image_id of one of them and caption"
        ) from error
    return {file: stripped(captions[file]) for file in files.values() if file in captions}


def _id(entry: Any, field: str) -> str:
    """An id as text, since some tools write numbers as such, or with a fraction of 0."""
    found = entry[field]
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise TypeError(f"{field} is {found!r}")
    text = str(found).strip()
    # 139 and "000000000139", as the file's name has it, are one image.
    return str(int(text)) if text.isascii() and text.isdecimal() else text


def _caption(entry: Any) -> str | None:
    text = entry["caption"]
    if text is not None and not isinstance(text, str):
        raise TypeError(f"a caption is {text!r}")
    return text


def _file_name(entry: Any, name: str) -> str:
    file = entry["file_name"]
    if not isinstance(file, str):
        raise TypeError(f"file_name is {file!r}")
    if leads_astray(file):
        raise DataError(f"{name} names the file {file!r}, which leads out of the folder; use relative names")
    return file.removeprefix("./")
