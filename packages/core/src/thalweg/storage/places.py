"""Places that users name, where not every URL is taken: paths of this machine, and documents from anywhere.

A URL that becomes a path by accident is a folder called ``s3:``, and what was to be kept elsewhere is lost
with the machine. So whoever writes asks here first.
"""

import os
import re
from pathlib import Path

from thalweg.errors import ConfigError
from thalweg.regular import read_bytes
from thalweg.storage.named import name_in, named_path
from thalweg.storage.redaction import excerpt, redacted, register_url
from thalweg.storage.url_texts import scheme_of

_FILE = re.compile(r"file:/+", re.IGNORECASE)  # pathlib leaves one slash of two
_LONGEST = 255  # bytes of a file's name, on every common file system
_SHOWN = 60
_FILES = frozenset(
    [
        *(".bmp", ".csv", ".gif", ".gz", ".h5", ".html", ".jpeg", ".jpg", ".json", ".jsonl", ".npy", ".npz"),
        *(".parquet", ".pickle", ".pkl", ".png", ".pt", ".pth", ".safetensors", ".tar", ".tgz", ".tif"),
        *(".tiff", ".toml", ".txt", ".webp", ".zip"),
    ]
)
"""Endings that only files have."""


def is_url(place: "str | os.PathLike[str]") -> bool:
    """Whether a place is, or was before pathlib had it, a URL that is no ``file:``."""
    text = os.fspath(place)
    head, mark, _ = text.partition("://")
    return (bool(scheme_of(text)) or bool(mark and "/" not in head)) and not _FILE.match(text)


def plain_place(place: "str | os.PathLike[str]") -> str:
    """A place without ``file://``, ``~`` and ``weights:``: a path as it is opened, or a URL as it is.

    Raises:
        ConfigError: it begins by ``file:`` and names no absolute path, was a URL, only holds one, no file can
            be called so, or there are no weights of its name.
        DataError: it names weights that are not here.
    """
    from thalweg.storage.urls import address_of  # whoever has none of it need not wait

    text = os.fspath(place)
    weights = named_path(text)
    if weights is not None:
        return str(weights)
    found = _FILE.match(text)
    if found is None:
        if is_url(text) and "://" not in text:
            raise ConfigError(f"{redacted(text)} was a URL before it became a Path; give it as text")
        # As storage takes it, it would be a path with a URL somewhere within.
        if is_url(text) and not scheme_of(text) and address_of(text).scheme == "file":
            raise ConfigError(f"{redacted(text)} is neither a path nor a URL, which begins with its protocol")
        _check_spelling(text)
        # A name that begins by ~ and is no user's stays what it is; a folder that is called ~ is ./~.
        return os.path.expanduser(text)  # noqa: PTH111 - pathlib's raises then
    return address_of(text if "://" in text else f"file:///{text[found.end() :]}").path


def _check_spelling(path: str) -> None:
    """What no file can be called ends in errors of the system wherever it is looked for."""
    if "\0" in path:
        raise ConfigError(f"{redacted(path)!r} has a zero byte in it; take it out")
    longest = max(len(os.fsencode(part)) for part in path.split("/"))
    if longest > _LONGEST:
        raise ConfigError(
            f"{excerpt(path, _SHOWN)} has a name of {longest} bytes in it, and files have at most "
            f"{_LONGEST}; shorten it"
        )


def local_path(place: "str | os.PathLike[str]", name: str, instead: str = "") -> Path:
    """A place as a path of this machine.

    Args:
        place: a path, or a ``file://`` URL.
        name: what it is called in the message.
        instead: what to do; by default how an output gets to where it was meant to go.

    Raises:
        ConfigError: it is another URL, or a name of published weights.
    """
    text = os.fspath(place)
    if is_url(text):
        register_url(text)
        cure = instead or "write to a path, and copy it there afterwards"
        raise ConfigError(f"{name} is {redacted(text)}, and must be a path on this machine; {cure}")
    _refuse_weights(text, name)
    return Path(plain_place(text))


def _refuse_weights(text: str, name: str) -> None:
    if name_in(text) is not None:
        raise ConfigError(f"{name} is {redacted(text)}, and published weights are only read; give a path")


def folder_at(place: str) -> Path:
    """A folder of weights on this machine.

    Raises:
        ConfigError: it is behind a URL, where no folder can be opened, or there are no weights of its name.
        DataError: it names weights that are not here.
    """
    weights = named_path(place)
    if weights is not None:
        return weights
    return local_path(place, "the folder of weights", "download it first")


def check_folder(path: Path, name: str, instead: str = "") -> None:
    """Make sure that a folder is not to be called like a file.

    Args:
        path: what is to be a folder.
        name: what it is called in the message.
        instead: what else there is.

    Raises:
        ConfigError: it ends like a file, and is no folder that is there; or is not UTF-8.
    """
    check_name(path, name)
    if path.suffix.lower() in _FILES and not path.is_dir():
        raise ConfigError(
            f"{name} is {path}, and would be a folder that is called like a file; take a name without "
            f"{path.suffix}{instead}"
        )


def check_name(path: Path, name: str) -> None:
    """Make sure that a name can be passed to all that write below it: libraries take paths as UTF-8.

    Args:
        path: what is to be.
        name: what it is called in the message.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise ConfigError(f"{name} is {shown}, which is not UTF-8; take a name that is") from None


def check_target(place: str, name: str) -> None:
    """Make sure that a folder can be made there, as far as its name shows.

    Raises:
        ConfigError: it is on the web, where nothing can be written, called like a file, or a name of
            published weights.
    """
    _refuse_weights(place, name)
    named = plain_place(place)
    if re.match(r"https?://", named, re.IGNORECASE):
        raise ConfigError(
            f"{name} is {redacted(named)}, and the web can only be read; give a path, or a URL that can be "
            f"written, such as s3://"
        )
    if not is_url(named):
        check_folder(Path(named), name)


def read_place(place: "str | os.PathLike[str]", limit: int) -> bytes:
    """The content of a document of bounded length, from a path or URL.

    Raises:
        OSError: a path cannot be read; as :func:`thalweg.regular.read_bytes`.
        DataError: a URL cannot be read.
        ConfigError: the URL's protocol is not taken.
    """
    if is_url(place):
        from thalweg.storage.location import Location

        return Location(place).read(limit=limit)
    return read_bytes(Path(plain_place(place)), limit)
