"""Weights that are here: where, whether whole, and compared with their checksums before they are used."""

import hashlib
import importlib
import logging
import os
from pathlib import Path

from thalweg.errors import DataError, ThalwegError
from thalweg.regular import opened
from thalweg.storage.cache import cache_folder
from thalweg.storage.failures import MissingError
from thalweg.storage.locks import holding
from thalweg.storage.places import local_path
from thalweg.suggestions import one_line
from thalweg.weights import permission
from thalweg.weights.arrivals import BY_HAND, Arrival, read_arrivals, write_arrivals
from thalweg.weights.entry import WeightsEntry, WeightsFile
from thalweg.weights.tables import entries, find

VARIABLE = "THALWEG_WEIGHTS"
"""The environment variable that names the folder of all weights."""

LOCK = ".lock"
"""The file in an entry's folder that is held while something there changes."""


_log = logging.getLogger("thalweg")
_sums: dict[tuple[int, ...], str] = {}
"""SHA-256 of files that this process has read, by what changes when one is replaced."""


def weights_folder() -> Path:
    """The folder of all weights: ``$THALWEG_WEIGHTS``, or ``weights`` in the user's cache.

    Raises:
        ConfigError: the variable names a URL.
    """
    stated = os.environ.get(VARIABLE, "")
    return local_path(stated, VARIABLE, "name a folder") if stated else cache_folder() / "weights"


def folder_of(entry: WeightsEntry) -> Path:
    """Where the files of an entry are, or will be."""
    return weights_folder() / entry.name


def place_of(entry: WeightsEntry) -> Path:
    """What is used of an entry: the folder, or its only file."""
    folder = folder_of(entry)
    return folder if entry.folder else folder / entry.files[0].name


def path_of(name: str) -> Path:
    """The file or folder of a name, downloaded if it is not here and that is permitted.

    Raises:
        ConfigError: there are no weights of this name.
        MissingError: they are not here.
        DataError: they are damaged, or cannot be downloaded.
    """
    entry = find(name)
    path = checked(entry) or downloaded(name)
    if path is None:
        raise MissingError(f"the weights '{name}' are not here ({place_of(entry)}); {cure(name)}")
    return path


def here(name: str) -> Path | None:
    """The file or folder of a name, where it is known and here; else None.

    Raises:
        DataError: it is damaged.
    """
    entry = entries().get(name)
    return None if entry is None else checked(entry)


def downloaded(name: str) -> Path | None:
    """The same, downloaded where that is permitted; None where it is not, or there are no such weights.

    Raises:
        DataError: it cannot be downloaded.
    """
    if not permission.given() or name not in entries():
        return None
    # It stands above this module, and is needed with the permission alone.
    get = importlib.import_module("thalweg.weights.fetching").get
    found: dict[str, Path] = get([name], permission.progress())
    return found[name]


def cure(name: str, source: str = "") -> str:
    """What fetches weights that are not here, for messages; perhaps with the place that they are from."""
    place = f" from {source}" if source else ""
    return f"'thalweg weights get {name}' fetches them{place}, and so does a command with --download"


def there(entry: WeightsEntry) -> list[WeightsFile]:
    """Those of its files that are here, whatever is in them."""
    folder = folder_of(entry)
    return [one for one in entry.files if (folder / one.name).is_file()]


def checked(entry: WeightsEntry) -> Path | None:
    """What is used of an entry, once every file was compared with its checksum; None if one is missing.

    Each process compares each file once. A file that was put there by hand is taken if its SHA-256 is the
    known one; where none is known, what it has now is written down, and compared from then on.

    Raises:
        DataError: a file is not what it must be.
    """
    if len(there(entry)) < len(entry.files):
        return None
    folder = folder_of(entry)
    arrived = read_arrivals(folder)
    found = {one.name: check_file(entry, one, arrived.get(one.name)) for one in entry.files}
    if found.keys() - arrived.keys():
        _note(entry, found)
    return place_of(entry)


def check_file(entry: WeightsEntry, file: WeightsFile, arrival: Arrival | None) -> Arrival:
    """A file as it is, compared with what the table and its arrival say.

    Raises:
        DataError: it is another, or cannot be read.
    """
    path = folder_of(entry) / file.name
    again = f"remove it, then run 'thalweg weights get {entry.name}'"
    try:
        size, sha256 = _sum(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); {again}") from error
    if file.bytes not in (None, size):
        raise DataError(f"{path} has {size:,} bytes, and {file.bytes:,} are expected; {again}")
    if not sha256.startswith(file.sha256):
        raise DataError(
            f"{path} is not what is published as '{entry.name}': its SHA-256 is {sha256}, which does not "
            f"begin with {file.sha256}; {again}"
        )
    if arrival is not None and arrival.sha256 != sha256:
        raise DataError(
            f"{path} is not what it was when it arrived: its SHA-256 is {sha256}, and was {arrival.sha256}; "
            f"{again}"
        )
    return arrival or Arrival(size, sha256, BY_HAND)


def tell_unknown(entry: WeightsEntry, file: WeightsFile, sha256: str) -> None:
    """Say that nothing was known to compare a file with, and what is compared from now on."""
    if not file.sha256:
        _log.warning(
            "no SHA-256 is known of %s of the weights '%s'; what it has now, %s, is compared from now on",
            file.name,
            entry.name,
            sha256,
        )


def _note(entry: WeightsEntry, found: dict[str, Arrival]) -> None:
    """Write down what was put there by hand."""
    folder = folder_of(entry)
    try:
        with holding(folder / LOCK):
            arrived = read_arrivals(folder)
            write_arrivals(folder, {**found, **arrived})
    except (OSError, ThalwegError) as error:
        # A folder that others share, and keep.
        _log.warning("what arrived of the weights '%s' cannot be noted: %s", entry.name, one_line(error))
        return
    for one in entry.files:
        if one.name not in arrived:
            tell_unknown(entry, one, found[one.name].sha256)


def _sum(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file, read once by a process while it stays as it is."""
    with opened(path) as file:
        status = os.fstat(file.fileno())
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in _sums:
            _sums[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return status.st_size, _sums[key]
