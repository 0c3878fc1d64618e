"""Files: written so that a path holds all of the new one or what was there before; and their checksums."""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from thalweg.errors import ThalwegError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place, make sure that it is on disk, then move it there.

    Raises:
        ThalwegError: if it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ThalwegError(f"{path} cannot be written ({reason}); choose another place") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
