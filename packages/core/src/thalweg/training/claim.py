"""A run's folder, held by one process of one machine at a time."""

import os
from pathlib import Path

from thalweg import files
from thalweg.errors import ConfigError
from thalweg.storage.holders import holders
from thalweg.storage.locks import Lock, cure, locked

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
        self._lock = self._locked()
        if not trial:
            files.disk.resize(self._lock.descriptor, 0)
            files.disk.write(self._lock.descriptor, memoryview(f"{os.getpid()}\n".encode()))

    def release(self) -> None:
        """Let others have the folder."""
        if self._trial and self._made and self._lock.bears_its_name():
            files.disk.remove(self._path)
        self._lock.release()

    def renew(self) -> None:
        """Make sure that it is still held, and take it again if somebody has removed the file.

        Raises:
            ConfigError: if another process has taken the folder meanwhile.
            OSError: if it cannot be written.
        """
        if not self._lock.bears_its_name():
            self._lock.release()
            self._lock = Claim(self._path.parent, self._where)._lock

    def _locked(self) -> Lock:
        while True:
            lock = locked(self._path, wait=False, create=True)
            if lock is None:
                raise self._refused()
            if os.fstat(lock.descriptor).st_nlink <= 1:
                return lock
            # Its other names may be anywhere, such as in a copy of the run that is made of hard links.
            files.disk.remove(self._path)
            lock.release()

    def _refused(self) -> ConfigError:
        return ConfigError(
            f"another process ({self._owner()}) is training in {self._where}; "
            f"wait for it or choose another --run-dir{cure(self._path)}"
        )

    def _owner(self) -> str:
        announced = holders(self._path)
        if announced:
            return str(announced[0])
        try:
            with self._path.open("rb") as file:
                owner = file.read(_LONGEST_OWNER).decode(errors="replace").strip()
        except OSError:
            owner = ""
        return owner if owner.isdecimal() else "unknown"
