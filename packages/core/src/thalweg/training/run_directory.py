"""The folder of a run: locked by one process of one machine at a time, bound to one configuration."""

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from thalweg import checkpoint, files
from thalweg.config import CONFIG, parse_recorded, recorded_text
from thalweg.documents import write_document
from thalweg.errors import ConfigError, DataError
from thalweg.files import PARTIAL, link_refused
from thalweg.folders import make_folders, remove_tree
from thalweg.regular import read_bytes
from thalweg.storage.holders import holders, is_holder
from thalweg.storage.locks import Lock, cure, locked
from thalweg.storage.places import check_folder, is_url, plain_place
from thalweg.training.compatibility import DATA, check_config, check_plugin_files
from thalweg.training.metrics_file import last_step
from thalweg.training.remote_run import LOCK, TRAINED, RemoteRunDirectory

Resume = Literal["auto", "never"]

_PART = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(PARTIAL)}")
"""What a write that was killed leaves beside its place."""

_LONGEST_OWNER = 20  # bytes
_FOLDERS = ("checkpoints", "samples")
_FILES = (CONFIG, DATA, "metrics.jsonl", "metrics-kept.jsonl", TRAINED, f"checkpoints/{checkpoint.LATEST}")


class RunDirectory:
    """Where a run keeps its files.

    A link of a name that the run writes is replaced by what is written, and what it points to stays as it
    is. A link to the folder of samples or checkpoints is refused: what goes below would leave the run.

    Args:
        place: the folder, a path or a URL; it need not be there yet.

    Attributes:
        path: the folder on this machine; of a URL, its copy here.
        remote: synchronises a URL with its copy here; None for a path.
        where: what the place is called in messages.
        warning: what had to be repaired as the configuration was read; empty if nothing.
    """

    def __init__(self, place: Path | str) -> None:
        named = plain_place(place)
        self.remote: RemoteRunDirectory | None = None
        if not is_url(named):
            self.path, self.where = Path(named), named
            check_folder(self.path, "the run directory")
        else:
            self.remote = RemoteRunDirectory(named)
            self.path, self.where = self.remote.here, str(self.remote.there)
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.metrics = self.path / "metrics.jsonl"
        self.model = self.path / "model"
        self.warning = ""
        self._lock: RunLock | None = None

    def recorded(self) -> dict[str, Any] | None:
        """The configuration of the run that lives here; None if there is none.

        One that is damaged or gone is taken from the newest checkpoint, which :attr:`warning` then says.

        Raises:
            ConfigError: if it cannot be read.
            DataError: if it is damaged, and no checkpoint has it.
        """
        self.warning = ""
        try:
            content = self._content()
            if content is not None:
                return parse_recorded(content)
            fault = "is gone"
        except OSError as error:
            raise ConfigError(
                f"{CONFIG} in {self.where} cannot be read: {error.strerror or error}; "
                f"choose another run directory"
            ) from error
        except ValueError as error:
            fault = f"is damaged ({error})"
        kept = checkpoint.kept_config(
            self.checkpoints if self.remote is None else self.remote.there / "checkpoints"
        )
        if kept is not None:
            self.warning = f"{CONFIG} in {self.where} {fault}, and is restored from the checkpoint {kept[0]}"
            return kept[1]
        # A folder in which nothing was trained has no configuration that could be lost.
        if content is not None and self._has_begun():
            raise DataError(
                f"{CONFIG} in {self.where} {fault}, and no checkpoint there has the configuration; "
                f"put a copy in its place, or choose another --run-dir"
            )
        return None

    @contextmanager
    def locked(
        self,
        config: Mapping[str, Any],
        resume: Resume,
        *,
        accept_changed_files: bool = False,
        trial: bool = False,
        fixed: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> Iterator[None]:
        """Make the folder, with what a URL holds of it, and hold its lock for as long as the context lasts.

        Args:
            config: the resolved configuration that is trained.
            resume: as :meth:`thalweg.Trainer.train`, as ``accept_changed_files``.
            trial: leave everything as it was.
            fixed: keys that could change in another run and not in this one, and what depends on them.

        Raises:
            ConfigError: if the folder is foreign, belongs to another configuration, is in use, holds links
                that would be written through, or cannot be written to; nothing in it is touched then.
            ThalwegError: as :meth:`thalweg.Trainer.train`, or if a URL cannot be read.
        """
        with nullcontext() if self.remote is None else self.remote.downloaded():
            with self._writing():
                self._refuse_what_stands_in_the_way()
                recorded = self.recorded()
                self._refuse_foreign(recorded)
            # A run that failed before its first line has left nothing that another configuration could spoil.
            if recorded is not None and self._has_begun():
                if resume == "never":
                    raise ConfigError(
                        f"{self.where} holds a run already; choose another --run-dir, or resume with "
                        f"--resume auto"
                    )
                check_config(self.where, recorded, config, fixed)
                check_plugin_files(self.where, recorded, config, accept=accept_changed_files)
            with self._writing():
                make_folders(self.path)
                self._lock = RunLock(self.path, self.where, trial=trial)
            try:
                if not trial:
                    self._clean()
                yield
            finally:
                self._lock.release()
                self._lock = None

    def try_writing(self) -> None:
        """Write a small file and remove it; on a store too, if the folder is there."""
        probe = self.path / f".probe.{secrets.token_hex(4)}{PARTIAL}"
        with self._writing():
            files.write_new(probe, [b"thalweg"])
            files.disk.remove(probe)
        if self.remote is not None:
            self.remote.try_writing()

    def record(self, data: Mapping[str, Any]) -> None:
        """Write the configuration, to which the folder is bound from now on."""
        files.write_bytes(self.path / CONFIG, recorded_text(data).encode())

    def mark(self, step: int) -> None:
        """Note that there has been a checkpoint, so that the run never begins again in silence."""
        if not _is_own(self.path / TRAINED):
            write_document(self.path / TRAINED, {"first checkpoint": step})

    def models(self, names: Sequence[str]) -> dict[str, Path]:
        """Where the networks of EMA weights of these names are written in the end: the main ones first."""
        return {names[0]: self.model, **{name: self.path / f"model-{name}" for name in names[1:]}}

    def check_models(self, names: Sequence[str]) -> None:
        """Make sure that they can be written."""
        for place in self.models(names).values():
            there = os.path.lexists(place) and not place.is_symlink()
            if there and not (place / "model.json").is_file():
                raise DataError(
                    f"{place} is no saved network, or what is left of one, and the run would write its own "
                    f"there; remove it, and the same command resumes"
                )

    def refuse_to_begin_again(self, checkpoint_every: int) -> None:
        """Make sure that a run without checkpoints never had any."""
        trained = _is_own(self.path / TRAINED) or (self.model / "model.json").is_file()
        # A save ends before the next one begins, so numbers of later steps show that one was there.
        reached = last_step(self.metrics) if _is_own(self.metrics) else 0
        trained = trained or 0 < 2 * checkpoint_every < reached
        if trained or (self.remote is not None and self.remote.has_trained()):
            raise DataError(
                f"the run in {self.where} has trained, but its checkpoints are gone: it cannot resume, and "
                f"beginning again would discard its numbers; put the checkpoints back, use its network in "
                f"{self.where}/model if it was complete, or begin again in another --run-dir"
            )

    def make_room_for_model(self, place: Path) -> None:
        """Remove links where a model is written that lead to no model, and what a killed write left."""
        try:
            for path in self.path.glob(f".{place.name}.partial*"):
                remove_tree(path)
            if place.is_symlink() and not (place / "model.json").is_file():
                files.disk.remove(place)
        except OSError as error:
            raise files.unwritable(place, error) from error

    def renew_lock(self) -> None:
        """Make sure that no other process has taken the folder."""
        with self._writing():
            if self._lock is not None:
                self._lock.renew()

    def _content(self) -> bytes | None:
        """Of the recorded configuration; None if there is none."""
        if self.remote is not None:
            return self.remote.read(CONFIG)
        try:
            return read_bytes(self.path / CONFIG)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            if (self.path / CONFIG).is_symlink():
                return None  # it leads to nothing that could be read
            raise

    def _has_begun(self) -> bool:
        written = self.metrics.is_file() and self.metrics.stat().st_size > 0
        here = any(os.path.lexists(one) for one in (self.checkpoints, self.model, self.path / TRAINED))
        return written or here or (self.remote is not None and self.remote.has_trained())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"cannot write in the run directory {self.where} ({error.strerror or error}); "
                f"choose another --run-dir or change its permissions"
            ) from error

    def _clean(self) -> None:
        """Remove what writes left that were killed; of links, the links alone."""
        for folder in (self.path, self.samples):
            if folder.is_dir():
                for path in [one for one in folder.iterdir() if _PART.fullmatch(one.name)]:
                    remove_tree(path)

    def _refuse_what_stands_in_the_way(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.where} is a file; choose another --run-dir")
        for name in (*_FOLDERS, *_FILES, "model", LOCK):
            path = self.path / name
            if path.is_symlink():
                if name in (*_FOLDERS, LOCK):
                    raise link_refused(path)
            elif path.exists() and path.is_dir() != (name in (*_FOLDERS, "model")):
                raise ConfigError(
                    f"{path} is {'a' if path.is_dir() else 'no'} folder, so no run can be kept here; "
                    f"move it away or choose another --run-dir"
                )
            elif path.exists() and not path.is_dir() and not path.is_file():
                raise ConfigError(f"{path} is no regular file; move it away or choose another --run-dir")

    def _refuse_foreign(self, recorded: Mapping[str, Any] | None) -> None:
        if recorded is not None or not self.path.is_dir() or os.path.lexists(self.path / CONFIG):
            return
        lock = self.path / LOCK
        foreign = sorted(
            entry.name
            for entry in self.path.iterdir()
            if entry.name != LOCK and not _PART.fullmatch(entry.name) and not is_holder(entry, lock)
        )
        if foreign:
            raise ConfigError(
                f"{self.where} is not empty and holds no run (it has {foreign[0]!r}, but no "
                f"{CONFIG}); choose another --run-dir"
            )


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


class RunLock:
    """Held until released; it ends with its process, however that ends.

    Args:
        folder: of the run, which is there, and called ``where`` in messages.
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
        """Make sure that it is still held, and take it again if somebody has removed the file."""
        if not self._lock.bears_its_name():
            self._lock.release()
            self._lock = RunLock(self._path.parent, self._where)._lock

    def _locked(self) -> Lock:
        while True:
            lock = locked(self._path, wait=False, create=True)
            if lock is None:
                raise ConfigError(
                    f"another process ({self._owner()}) is training in {self._where}; "
                    f"wait for it or choose another --run-dir{cure(self._path)}"
                )
            if os.fstat(lock.descriptor).st_nlink <= 1:
                return lock
            # Its other names may be anywhere, such as in a copy of the run that is made of hard links.
            files.disk.remove(self._path)
            lock.release()

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
