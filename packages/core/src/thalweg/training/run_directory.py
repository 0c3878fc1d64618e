"""The folder of a run: claimed by one process at a time, bound to one configuration."""

import fcntl
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from thalweg.config import flat
from thalweg.errors import ConfigError
from thalweg.storage import Location
from thalweg.storage.locks import locked
from thalweg.training.mirror import Mirror

Resume = Literal["auto", "never"]

CONFIG, LOCK = "config.toml", "run.lock"
_PARTIAL = f".{CONFIG}.partial"

_FREE = (
    "name",
    "training.steps",
    "training.log_every",
    "training.validate_every",
    "training.validation_batches",
    "training.sample_every",
    "training.checkpoint_every",
    "training.keep",
    "training.keep_every",
    "training.async_checkpoints",
    # Processes may change with it; a checkpoint says how many shards they must make up together.
    "training.accumulate",
    "training.nonfinite",
    "training.max_skips",
    "training.prefetch",
    "training.workers",
    "sampling",
    "loggers",
)
"""Keys that may change when a run goes on: none of them touches what a step computes."""

_DIFFERENCES_SHOWN = 3


class RunDirectory:
    """Where a run keeps its files.

    Args:
        place: the folder, a path or a URL; it need not be there yet.

    Attributes:
        path: the folder on this machine; of a URL, its mirror here.
        mirror: keeps a URL and its mirror alike; None for a path.
        where: what the place is called in messages.
    """

    def __init__(self, place: Path | str) -> None:
        local = Location(place).local if "://" in str(place) else Path(place)
        self.mirror: Mirror | None = None
        if local is not None:
            self.path, self.where = local, str(local)
        else:
            self.mirror = Mirror(str(place))
            self.path, self.where = self.mirror.here, str(self.mirror.there)
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.metrics = self.path / "metrics.jsonl"
        self.model = self.path / "model"

    def recorded(self) -> dict[str, Any] | None:
        """The configuration of the run that lives here; None if there is none.

        Raises:
            ConfigError: if it cannot be read.
        """
        path = self.path / CONFIG
        try:
            text = path.read_text() if self.mirror is None else self.mirror.read(CONFIG)
            return None if text is None else tomllib.loads(text)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{CONFIG} in {self.where} cannot be read: {error}; choose another run directory"
            ) from error

    @contextmanager
    def mirrored(self) -> Iterator[None]:
        """Bring this machine's mirror of a URL up to date and hold it; nothing for a path.

        Raises:
            ConfigError: if another process of this machine holds it, or the URL holds something else.
            ThalwegError: if the URL cannot be read.
        """
        if self.mirror is None:
            yield
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = locked(self.path.with_name(f"{self.path.name}.lock"), wait=False, create=True)
        if lock is None:
            raise ConfigError(
                f"another process of this machine is training in {self.where}; "
                f"wait for it or choose another --run-dir"
            )
        try:
            self.mirror.pull()
            yield
        finally:
            lock.release()

    @contextmanager
    def claimed(self, config: Mapping[str, Any], resume: Resume) -> Iterator[None]:
        """Make the folder and hold its lock for as long as the context lasts.

        Args:
            config: the resolved configuration that the run goes on with.
            resume: ``auto`` goes on with a run that is there, ``never`` refuses to.

        Raises:
            ConfigError: if the folder is foreign, belongs to another configuration, is in use, or cannot
                be written to; nothing in it is touched then.
        """
        self._refuse_foreign()
        recorded = self.recorded()
        # A run that failed before its first line has left nothing that another configuration could spoil.
        if recorded is not None and self._has_begun():
            if resume == "never":
                raise ConfigError(
                    f"{self.where} holds a run already; choose another --run-dir, or go on with --resume auto"
                )
            self._compare(recorded, config)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / LOCK).open("a+")
        except OSError as error:
            raise self._unwritable(error) from error
        with lock:
            self._lock(lock)
            yield

    def record(self, text: str) -> None:
        """Write the configuration, to which the folder is bound from now on.

        Raises:
            ConfigError: if it cannot be written.
        """
        try:
            partial = self.path / _PARTIAL
            partial.write_text(text)
            partial.replace(self.path / CONFIG)
        except OSError as error:
            raise self._unwritable(error) from error

    def _has_begun(self) -> bool:
        written = self.metrics.exists() and self.metrics.stat().st_size > 0
        return written or self.checkpoints.exists()

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"cannot write in the run directory {self.where} ({error.strerror or error}); "
            f"choose another --run-dir or change its permissions"
        )

    def _refuse_foreign(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.where} is a file; choose another --run-dir")
        if not self.path.is_dir() or (self.path / CONFIG).exists():
            return
        try:
            strangers = {entry.name for entry in self.path.iterdir()} - {LOCK, _PARTIAL}
        except OSError as error:
            raise ConfigError(
                f"cannot read the run directory {self.where} ({error.strerror or error}); "
                f"choose another --run-dir or change its permissions"
            ) from error
        if strangers:
            raise ConfigError(
                f"{self.where} is not empty and holds no run (it has {sorted(strangers)[0]!r}, but no "
                f"{CONFIG}); choose another --run-dir"
            )

    def _compare(self, recorded: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        old, new = flat(recorded), flat(config)
        differing = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        bound = [key for key in differing if not _is_free(key)]
        if bound:
            shown = ", ".join(
                f"{key} is {_shown(new, key)} and was {_shown(old, key)}"
                for key in bound[:_DIFFERENCES_SHOWN]
            )
            more = f" and {len(bound) - _DIFFERENCES_SHOWN} more" if len(bound) > _DIFFERENCES_SHOWN else ""
            raise ConfigError(
                f"{self.where} belongs to a run with another configuration: {shown}{more}; "
                f"choose another --run-dir or the values that it had"
            )

    def _lock(self, lock: Any) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise ConfigError(
                f"another process ({owner}) is training in {self.where}; "
                f"wait for it or choose another --run-dir"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return repr(leaves[key]) if key in leaves else "absent"
