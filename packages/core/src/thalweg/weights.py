"""Published weights of a network, here or behind a URL: found, checked by their SHA-256, read without
executing anything."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import sha256
from thalweg.foreign import read_foreign
from thalweg.storage import Location, default_cache

_WHOLE = re.compile(r"[0-9a-f]{64}")


@attrs.frozen(eq=False)
class Weights:
    """Tensors of a file.

    Attributes:
        tensors: by their names in the file.
        sha256: of the file.
    """

    tensors: dict[str, Tensor]
    sha256: str


def read_weights(place: Location, what: str, source: str, expected: str = "") -> Weights:
    """Read a ``.pth``, ``.pt`` or ``.safetensors`` file.

    One behind a URL is kept in the cache if its whole SHA-256 is known beforehand.

    Args:
        place: where it should be.
        what: what the weights are, for messages.
        source: where they are published.
        expected: how the SHA-256 must begin; empty takes any.

    Raises:
        DataError: if the file is missing, another than expected, or damaged.
    """
    if not place.exists():
        raise DataError(
            f"the weights of {what} are not at {place}; get them from {source}, and set 'weights' if they "
            "lie elsewhere"
        )
    with local_copy(place, expected) as path:
        found = sha256(path)
        if not found.startswith(expected):
            raise DataError(
                f"{place} is not {what}: its SHA-256 is {found}, which does not begin with {expected}; get "
                f"the right file from {source}, or set 'sha256' to take this one as it is"
            )
        return Weights(read_foreign(path), found)


@contextmanager
def local_copy(place: Location, expected: str = "") -> Iterator[Path]:
    """A file on this machine, for as long as the context lasts; one behind a URL is brought.

    Args:
        place: where it lies.
        expected: its SHA-256 where that is known, by which it is kept in the cache.

    Raises:
        DataError: it cannot be read.
    """
    if place.local is not None:
        yield place.local
    elif _WHOLE.fullmatch(expected):
        yield default_cache().fetch(place, sha256=expected, size=place.size())
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / place.name
            place.download(path)
            yield path
