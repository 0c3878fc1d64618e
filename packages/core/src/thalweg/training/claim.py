"""A run's folder, held by one process of one machine at a time."""

import errno
import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from thalweg import files
from thalweg.errors import ConfigError
from thalweg.files import open_own

LOCK = "run.lock"
_LONGEST_OWNER = 20


class Claim:
    """The lock of a run's folder, held until released; it ends with its process, however that ends.

    Args:
        folder: of the run, which is there.
        where: what it is called in messages.
        trial: leave the file as it was, or none where there was none.

    Raises:
        ConfigError: if another process holds it, or it is a link or no regular file.
        OSError: if it cannot be written.
    """

    def __init__(self, folder: Path, where: str, *, trial: bool = False) -> None:
        self._path, self._where, self._trial = folder / LOCK, where, trial
        self._made = not os.path.lexists(self._path)
        self._file = self._locked()
        if not trial:
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n".encode())
            self._file.flush()

    def release(self) -> None:
        """Let others have the folder."""
        if self._trial and self._made and self._bears_its_name(self._file):
            files.disk.remove(self._path)
        self._file.close()

    def renew(self) -> None:
        """Make sure that it is still held, and take it again if somebody has removed the file.

        Raises:
            ConfigError: if another process has taken the folder meanwhile.
            OSError: if it cannot be written.
        """
        if not self._bears_its_name(self._file):
            fresh = Claim(self._path.parent, self._where)
            self._file.close()
            self._file = fresh._file

    def _locked(self) -> BinaryIO:
        while True:
            file = open_own(self._path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise self._refused(file, error) from error
            if self._bears_its_name(file):
                if os.fstat(file.fileno()).st_nlink == 1:
                    return file
                # Its other names may be anywhere, such as in a copy of the run that is made of hard links.
                files.disk.remove(self._path)
            file.close()  # Somebody took it away meanwhile, or it was just done.

    def _bears_its_name(self, file: BinaryIO) -> bool:
        try:
            there = self._path.lstat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(file.fileno()))

    def _refused(self, file: BinaryIO, error: OSError) -> ConfigError:
        with file:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                return ConfigError(
                    f"{self._where} lies on a file system without locks ({error.strerror}); "
                    f"choose another --run-dir"
                )
            owner = file.read(_LONGEST_OWNER).decode(errors="replace").strip()
        return ConfigError(
            f"another process ({owner if owner.isdecimal() else 'unknown'}) is training in {self._where}; "
            f"wait for it or choose another --run-dir"
        )
