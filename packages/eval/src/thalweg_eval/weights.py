"""Weights that lie on this machine: found, checked by their SHA-256, read without executing anything."""

from pathlib import Path

import attrs
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import sha256
from thalweg.foreign import read_foreign


@attrs.frozen(eq=False)
class Weights:
    """Tensors of a file.

    Attributes:
        tensors: by their names in the file.
        sha256: of the file.
    """

    tensors: dict[str, Tensor]
    sha256: str


def read_weights(path: Path, what: str, source: str, expected: str) -> Weights:
    """Read a ``.pth``, ``.pt`` or ``.safetensors`` file.

    Args:
        path: where it should be.
        what: what the weights are, for messages.
        source: where to get them.
        expected: how the SHA-256 must begin; empty takes any.

    Raises:
        DataError: if the file is missing, another than expected, or damaged.
    """
    if not path.is_file():
        raise DataError(
            f"the weights of {what} are not at {path}; get them from {source}, and set the extractor's "
            "'weights' if they lie elsewhere"
        )
    found = sha256(path)
    if not found.startswith(expected):
        raise DataError(
            f"{path} is not {what}: its SHA-256 is {found}, which does not begin with {expected}; get the "
            f"right file from {source}, or set the extractor's 'sha256' to take this one as it is"
        )
    return Weights(read_foreign(path), found)
