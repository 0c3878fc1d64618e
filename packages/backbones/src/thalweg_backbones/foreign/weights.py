"""Published weights of a network, here or behind a URL: found, checked by their SHA-256, read without
executing anything."""

from pathlib import Path

import attrs
import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import sha256
from thalweg.storage import Location, local_copy
from thalweg.weights.here import cure, downloaded, here
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


def read_weights(
    place: Location, what: str, source: str, expected: str = "", name: str = ""
) -> PublishedWeights:
    """Read a ``.pth``, ``.pt`` or ``.safetensors`` file.

    One behind a URL is kept in the cache if its whole SHA-256 is known beforehand.

    Args:
        place: where it should be.
        what: what the weights are, for messages.
        source: where they are published.
        expected: how the SHA-256 must begin; empty takes any.
        name: under which they can be fetched; empty for none.

    Raises:
        DataError: if the file is missing, another than expected, or damaged.
    """
    if not place.exists():
        how = cure(name, source) if name else f"get them from {source}"
        raise DataError(
            f"the weights of {what} are not at {place}; {how}; or set 'weights' to where they are stored"
        )
    with local_copy(place, expected) as path:
        found = sha256(path)
        if not found.startswith(expected):
            raise DataError(
                f"{place} is not {what}: its SHA-256 is {found}, which does not begin with {expected}; get "
                f"the right file from {source}, or set 'sha256' to take this one as it is"
            )
        return PublishedWeights(dict(read_foreign(path)), found)


def fetched_or_hub(name: str, file: str) -> Location:
    """Where published weights are by default.

    Args:
        name: under which they can be fetched.
        file: what torch.hub calls the file.

    Returns:
        Where they were fetched to; where torch.hub puts the file, if it is there or nothing may be
        downloaded; else where they are downloaded to.

    Raises:
        DataError: what was fetched is damaged, or cannot be downloaded.
    """
    of_hub = Path(torch.hub.get_dir()) / "checkpoints" / file
    found = here(name)
    if found is None and not of_hub.is_file():
        found = downloaded(name)
    return Location(found or of_hub)
