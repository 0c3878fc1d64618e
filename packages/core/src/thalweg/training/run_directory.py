"""The folder of a run: claimed by one process at a time, bound to one configuration."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from thalweg import files
from thalweg.config import CONFIG, parse_recorded, recorded_text
from thalweg.documents import write_document
from thalweg.errors import ConfigError, DataError
from thalweg.files import PARTIAL, link_refused
from thalweg.folders import make_folders, remove_tree
from thalweg.regular import read_bytes
from thalweg.storage.holders import is_holder
from thalweg.storage.locks import cure, locked
from thalweg.storage.places import check_folder, is_url, plain_place
from thalweg.training import checkpoint
from thalweg.training.binding import compare, compare_files
from thalweg.training.claim import LOCK, Claim
from thalweg.training.data_record import DATA
from thalweg.training.metrics_reading import last_step
from thalweg.training.mirror import MARK, Mirror

Resume = Literal["auto", "never"]


class Accepts(NamedTuple):
    """What may have changed since the run began: its data, its plugin files."""

    data: bool
    files: bool


_PART = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(PARTIAL)}")
"""What a write that was killed leaves beside its place."""

_FOLDERS = ("checkpoints", "samples")
_FILES = (CONFIG, DATA, "metrics.jsonl", "metrics-kept.jsonl", MARK, f"checkpoints/{checkpoint.LATEST}")


class RunDirectory:
    """Where a run keeps its files.

    A link of a name that the run writes is replaced by what is written, and what it points to stays as it
    is. A link to the folder of samples or checkpoints is refused: what goes below would leave the run.

    Args:
        place: the folder, a path or a URL; it need not be there yet.

    Attributes:
        path: the folder on this machine; of a URL, its mirror here.
        mirror: keeps a URL and its mirror alike; None for a path.
        where: what the place is called in messages.
        warning: what had to be repaired as the configuration was read; empty if nothing.
    """

    def __init__(self, place: Path | str) -> None:
        named = plain_place(place)
        self.mirror: Mirror | None = None
        if not is_url(named):
            self.path, self.where = Path(named), named
            check_folder(self.path, "the run directory")
        else:
            self.mirror = Mirror(named)
            self.path, self.where = self.mirror.here, str(self.mirror.there)
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.metrics = self.path / "metrics.jsonl"
        self.model = self.path / "model"
        self.warning = ""
        self._claim: Claim | None = None

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
        kept = (
            checkpoint.kept_config(self.checkpoints)
            if self.mirror is None
            else checkpoint.kept_config_there(self.mirror.there / "checkpoints")
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
    def mirrored(self) -> Iterator[None]:
        """Bring this machine's mirror of a URL up to date and hold it; nothing for a path.

        Raises:
            ConfigError: if another process of this machine holds it, or the URL holds something else.
            ThalwegError: if the URL cannot be read, or the cache not be written.
        """
        if self.mirror is None:
            yield
            return
        place = self.path.with_name(f"{self.path.name}.lock")
        try:
            make_folders(self.path.parent)
            lock = locked(place, wait=False, create=True)
        except OSError as error:
            raise files.unwritable(self.path, error) from error
        if lock is None:
            raise ConfigError(
                f"another process of this machine is training in {self.where}; "
                f"wait for it or choose another --run-dir{cure(place)}"
            )
        try:
            self.mirror.pull()
            yield
        finally:
            lock.release()

    @contextmanager
    def claimed(
        self,
        config: Mapping[str, Any],
        resume: Resume,
        *,
        accept_changed_files: bool = False,
        trial: bool = False,
        fixed: Collection[str] = (),
    ) -> Iterator[None]:
        """Make the folder and hold its lock for as long as the context lasts.

        Args:
            config: the resolved configuration that the run goes on with.
            resume: ``auto`` goes on with a run that is there, ``never`` refuses to.
            accept_changed_files: go on though plugin files are not those that it was trained with so far.
            trial: leave everything as it was.
            fixed: keys that could change in another run, and not in this one.

        Raises:
            ConfigError: if the folder is foreign, belongs to another configuration, is in use, holds links
                that would be written through, or cannot be written to; nothing in it is touched then.
            PluginError: if plugin files are others than before.
            DataError: if its configuration is damaged, and no checkpoint has it.
        """
        try:
            self._refuse_what_stands_in_the_way()
            recorded = self.recorded()
            self._refuse_foreign(recorded)
        except OSError as error:
            raise self._unwritable(error) from error
        # A run that failed before its first line has left nothing that another configuration could spoil.
        if recorded is not None and self._has_begun():
            if resume == "never":
                raise ConfigError(
                    f"{self.where} holds a run already; choose another --run-dir, or go on with --resume auto"
                )
            compare(self.where, recorded, config, fixed)
            compare_files(self.where, recorded, config, accept=accept_changed_files)
        try:
            make_folders(self.path)
            self._claim = Claim(self.path, self.where, trial=trial)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            if not trial:
                self._clean()
            yield
        finally:
            self._claim.release()
            self._claim = None

    def record(self, data: Mapping[str, Any]) -> None:
        """Write the configuration, to which the folder is bound from now on.

        Raises:
            ThalwegError: if it cannot be written.
        """
        files.write_bytes(self.path / CONFIG, recorded_text(data).encode())

    def mark(self, step: int) -> None:
        """Note that there has been a checkpoint, so that the run never begins again in silence.

        Raises:
            ThalwegError: if that cannot be written.
        """
        if not _is_own(self.path / MARK):
            write_document(self.path / MARK, {"first checkpoint": step})

    def model_of(self, average: str) -> Path:
        """Where the network of an average beside the main one is written, whose own is ``model``."""
        return self.path / f"{self.model.name}-{average}"

    def check_model(self, others: Sequence[str] = ()) -> None:
        """Make sure that the model can be written in the end.

        Args:
            others: averages beside the main one.

        Raises:
            DataError: if its place is taken by something else.
        """
        for place in (self.model, *map(self.model_of, others)):
            there = os.path.lexists(place) and not place.is_symlink()
            if there and not (place / "model.json").is_file():
                raise DataError(
                    f"{place} is no saved network, or what is left of one, and the run would write its own "
                    f"there; remove it, and the same command goes on"
                )

    def refuse_to_begin_again(self, checkpoint_every: int) -> None:
        """Make sure that a run without checkpoints never had any.

        Args:
            checkpoint_every: steps between them; 0 for the last step only.

        Raises:
            DataError: if it did, saying how to go on.
        """
        trained = _is_own(self.path / MARK) or (self.model / "model.json").is_file()
        # A save ends before the next one begins, so numbers of later steps tell of one that was there.
        reached = last_step(self.metrics) if _is_own(self.metrics) else 0
        trained = trained or 0 < 2 * checkpoint_every < reached
        if trained or (self.mirror is not None and self.mirror.has_trained()):
            raise DataError(
                f"the run in {self.where} has trained, but its checkpoints are gone, so it cannot go on, and "
                f"beginning again would discard its numbers; put the checkpoints back, use its network in "
                f"{self.where}/model if it was complete, or begin again in another --run-dir"
            )

    def make_room_for_model(self, place: Path) -> None:
        """Remove links where a model is written that lead to no model, and what a killed write left.

        Raises:
            ThalwegError: if that is not possible.
        """
        try:
            for path in self.path.glob(f".{place.name}.partial*"):
                remove_tree(path)
            if place.is_symlink() and not (place / "model.json").is_file():
                files.disk.remove(place)
        except OSError as error:
            raise files.unwritable(place, error) from error

    def renew_claim(self) -> None:
        """Make sure that no other process has taken the folder.

        Raises:
            ThalwegError: if one has, or the lock cannot be written.
        """
        try:
            if self._claim is not None:
                self._claim.renew()
        except OSError as error:
            raise self._unwritable(error) from error

    def _content(self) -> bytes | None:
        """Of the recorded configuration; None if there is none."""
        if self.mirror is not None:
            return self.mirror.read(CONFIG)
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
        here = (self.checkpoints, self.model, self.path / MARK)
        return (
            written
            or any(os.path.lexists(path) for path in here)
            or (self.mirror is not None and self.mirror.has_trained())
        )

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"cannot write in the run directory {self.where} ({error.strerror or error}); "
            f"choose another --run-dir or change its permissions"
        )

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
        strangers = sorted(
            entry.name
            for entry in self.path.iterdir()
            if entry.name != LOCK and not _PART.fullmatch(entry.name) and not is_holder(entry, lock)
        )
        if strangers:
            raise ConfigError(
                f"{self.where} is not empty and holds no run (it has {strangers[0]!r}, but no "
                f"{CONFIG}); choose another --run-dir"
            )


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
