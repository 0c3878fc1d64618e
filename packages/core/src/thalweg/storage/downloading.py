"""From bytes that arrive to a file that is whole and verified."""

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from thalweg.errors import DataError, ThalwegError


def filled(
    file: BinaryIO,
    deliver: Callable[[Callable[[bytes], object]], None],
    name: str,
    *,
    sha256: str | None,
    size: int | None,
) -> None:
    """Write what is delivered into a file, and verify it on the way.

    Args:
        file: open for writing.
        deliver: hands all bytes in order to what it is given.
        name: of where they come from, for messages.
        sha256: what it must be, in hexadecimal, if known.
        size: bytes that there must be, if known.

    Raises:
        DataError: it is not what it must be, or what ``deliver`` raises.
        ThalwegError: the file cannot be written.
    """
    digest = hashlib.sha256()
    written = 0

    def sink(piece: bytes) -> None:
        nonlocal written
        try:
            file.write(piece)
        except OSError as error:
            raise ThalwegError(f"{file.name} cannot be written ({error.strerror or error})") from error
        written += len(piece)
        if sha256 is not None:
            digest.update(piece)

    deliver(sink)
    if size is not None and written != size:
        raise DataError(f"{name} has {written:,} bytes where {size:,} are expected")
    if sha256 is not None and digest.hexdigest() != sha256.lower():
        raise DataError(
            f"{name} is damaged or another file: its SHA-256 is {digest.hexdigest()}, not {sha256.lower()}"
        )
