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
        path: the folder; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.metrics = path / "metrics.jsonl"
        self.model = path / "model"

    def recorded(self) -> dict[str, Any] | None:
        """The configuration of the run that lives here; None if there is none.

        Raises:
            ConfigError: if it cannot be read.
        """
        path = self.path / CONFIG
        try:
            return tomllib.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}; choose another run directory") from error

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
                    f"{self.path} holds a run already; choose another --run-dir, or go on with --resume auto"
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
            f"cannot write in the run directory {self.path} ({error.strerror or error}); "
            f"choose another --run-dir or change its permissions"
        )

    def _refuse_foreign(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file; choose another --run-dir")
        if not self.path.is_dir() or (self.path / CONFIG).exists():
            return
        try:
            strangers = {entry.name for entry in self.path.iterdir()} - {LOCK, _PARTIAL}
        except OSError as error:
            raise ConfigError(
                f"cannot read the run directory {self.path} ({error.strerror or error}); "
                f"choose another --run-dir or change its permissions"
            ) from error
        if strangers:
            raise ConfigError(
                f"{self.path} is not empty and holds no run (it has {sorted(strangers)[0]!r}, but no "
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
                f"{self.path} belongs to a run with another configuration: {shown}{more}; "
                f"choose another --run-dir or the values that it had"
            )

    def _lock(self, lock: Any) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise ConfigError(
                f"another process ({owner}) is training in {self.path}; "
                f"wait for it or choose another --run-dir"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return repr(leaves[key]) if key in leaves else "absent"
