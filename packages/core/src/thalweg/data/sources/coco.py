"""Captions in the layout of MS-COCO: ``images`` with ``id`` and ``file_name``, ``annotations`` with
``image_id`` and ``caption``.

T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, 2014.
"""

from typing import Any

from thalweg.data.sources.captions import stripped
from thalweg.data.sources.names import leads_astray
from thalweg.errors import DataError
from thalweg.regular import parse_json


def captions_by_file(data: bytes, name: str) -> dict[str, tuple[str, ...]]:
    """The captions of each image that has annotations, by its file's name, in the order of the file; none for
    an image whose captions are empty.

    Args:
        data: the JSON.
        name: what it is called in errors.

    Raises:
        DataError: if it is of another layout, names a file outside of the folder, an image twice, or an
            image that is not listed.
    """
    try:
        said: Any = parse_json(data)
        files = {_id(one, "id"): _file_name(one, name) for one in said["images"]}
        if len(files) < len(said["images"]) or len(set(files.values())) < len(files):
            raise DataError(f"{name} lists an image twice; list each once")
        captions: dict[str, list[str | None]] = {}
        for one in said["annotations"]:
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
