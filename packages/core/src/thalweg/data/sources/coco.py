"""Captions in the layout of MS-COCO: ``images`` with ``id`` and ``file_name``, ``annotations`` with
``image_id`` and ``caption``.

T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, 2014.
"""

from typing import Any

from thalweg.data.sources.names import leads_astray
from thalweg.errors import DataError
from thalweg.regular import parse_json


def captions_by_file(data: bytes, name: str) -> dict[str, tuple[str, ...]]:
    """The captions of each image by its file's name, in the order of the file.

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
        captions: dict[str, list[str]] = {file: [] for file in files.values()}
        for one in said["annotations"]:
            captions[files[_id(one, "image_id")]] += _caption(one)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{name} is no captions file of MS-COCO's layout ({type(error).__name__}: {error}); it needs "
            "images with id and file_name, and annotations with the image_id of one of them and caption"
        ) from error
    return {file: tuple(each) for file, each in captions.items()}


def _id(entry: Any, field: str) -> int | str:
    number = entry[field]
    if not isinstance(number, int | str):
        raise TypeError(f"{field} is {number!r}")
    return number


def _caption(entry: Any) -> list[str]:
    text = entry["caption"]
    if not isinstance(text, str):
        raise TypeError(f"a caption is {text!r}")
    return [text.strip()] if text.strip() else []


def _file_name(entry: Any, name: str) -> str:
    file = entry["file_name"]
    if not isinstance(file, str):
        raise TypeError(f"file_name is {file!r}")
    if leads_astray(file):
        raise DataError(f"{name} names the file {file!r}, which leads out of the folder; use relative names")
    return file
