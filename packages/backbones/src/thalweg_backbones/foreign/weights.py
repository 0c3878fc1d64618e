"""Published weights of a network, here or behind a URL: found, checked by their SHA-256, read without
executing anything."""

import attrs
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import sha256
from thalweg.storage import Location, local_copy
from thalweg_backbones.foreign.checkpoints import read_foreign


@attrs.frozen(eq=False)
class PublishedWeights:
    """Tensors of a file.

    Attributes:
        tensors: by their names in the file.
        sha256: of the file.
    """

    tensors: dict[str, Tensor]
    sha256: str


def read_weights(place: Location, what: str, source: str, expected: str = "") -> PublishedWeights:
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
            "are stored elsewhere"
        )
    with local_copy(place, expected) as path:
        found = sha256(path)
        if not found.startswith(expected):
            raise DataError(
                f"{place} is not {what}: its SHA-256 is {found}, which does not begin with {expected}; get "
                f"the right file from {source}, or set 'sha256' to take this one as it is"
            )
        return PublishedWeights(dict(read_foreign(path)), found)
