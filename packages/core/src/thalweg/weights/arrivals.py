"""What arrived: sizes and checksums of an entry's files, kept beside them."""

from collections.abc import Mapping
from pathlib import Path

import attrs

from thalweg.documents import read_document, write_document
from thalweg.errors import DataError

NOTE = "arrived.json"
"""The file that says so."""

BY_HAND = "by hand"
"""Where a file is from that nobody here has fetched."""

_FORMAT, _VERSION = "thalweg-weights", 1


@attrs.frozen
class Arrival:
    """A file as it arrived.

    Attributes:
        bytes: its size.
        sha256: its SHA-256.
        source: the URL that it is from, or that it was put there by hand.
    """

    bytes: int
    sha256: str
    source: str


def read_arrivals(folder: Path) -> dict[str, Arrival]:
    """What has arrived in the folder of an entry, by the names of files.

    Raises:
        DataError: what is written there is damaged.
    """
    path = folder / NOTE
    cure = "remove it, and what is there is taken as if it had been put there by hand"
    try:
        data = read_document(path, "a note of weights that arrived", cure, sealed=True)
        if (data["format"], data["version"]) != (_FORMAT, _VERSION):
            raise ValueError("another format")
        return {str(name): Arrival(**one) for name, one in data["files"].items()}
    except FileNotFoundError:
        return {}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path} is damaged or of another version; {cure}") from error


def write_arrivals(folder: Path, arrivals: Mapping[str, Arrival]) -> None:
    """Write it down.

    Raises:
        ThalwegError: it cannot be written.
    """
    files = {name: attrs.asdict(one) for name, one in sorted(arrivals.items())}
    write_document(folder / NOTE, {"format": _FORMAT, "version": _VERSION, "files": files}, sealed=True)
