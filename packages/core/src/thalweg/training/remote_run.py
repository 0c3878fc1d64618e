"""A run directory on an object store, synchronised with a folder on this machine.

Files are written and read here; the store is what counts. Whatever is resumed comes from there, and a
checkpoint is saved when its manifest is there.
"""

import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from thalweg import files
from thalweg.checkpoint import LATEST, kept_config, remote, step_of
from thalweg.errors import ConfigError, ThalwegError
from thalweg.folders import make_folders, remove_tree
from thalweg.regular import parse_json
from thalweg.storage import Location, MissingError, folder_for
from thalweg.storage.locks import cure, holding, locked
from thalweg.storage.places import check_target

OWNER = "claim.json"
TRAINED = "saved.json"
"""Says that a run has had a checkpoint, so that one that has lost them all does not begin again."""

_CONFIG, _CHECKPOINTS, _MODEL = "config.toml", "checkpoints", "model"
_LEFT_THERE = (_CHECKPOINTS, _MODEL, "samples")
"""Folders that a run is resumed without; of all else it reads or extends what an earlier session wrote."""

LOCK = "run.lock"
_NEVER = (LOCK, OWNER)


class RemoteRunDirectory:
    """A run directory on a store, and the folder here that it is synchronised with.

    Raises:
        ConfigError: for the web, where nothing can be written.

    Attributes:
        there: the folder on the store.
        here: the folder on this machine, in the user's cache.
    """

    def __init__(self, url: str) -> None:
        self.there = Location(url)
        check_target(url, "the run directory")
        self.here = folder_for(self.there, "runs")
        self._sent: dict[str, tuple[int, int]] = {}
        self._token = ""

    def read(self, name: str) -> bytes | None:
        """A small file of the store; None if it is not there."""
        try:
            return (self.there / name).read()
        except MissingError:
            return None

    def has_trained(self) -> bool:
        """Whether the run on the store has had a checkpoint, or a model."""
        return (self.there / TRAINED).exists() or (self.there / _MODEL / "model.json").exists()

    def step(self) -> int:
        """The step that the newest checkpoint's name states; 0 if there is none."""
        names = remote.remote_checkpoints(self.there / _CHECKPOINTS)
        return step_of(Path(names[-1])) if names else 0

    @contextmanager
    def downloaded(self) -> Iterator[None]:
        """Hold this machine's folder, which is then as on the store but for checkpoints.

        Raises:
            ConfigError: if another process holds it, or the store's folder is not empty and holds no run.
        """
        place = self.here.with_name(f"{self.here.name}.lock")
        try:
            make_folders(self.here.parent)
            lock = locked(place, wait=False, create=True)
        except OSError as error:
            raise files.unwritable(self.here, error) from error
        if lock is None:
            raise ConfigError(
                f"another process of this machine is training in {self.there}; "
                f"wait for it or choose another --run-dir{cure(place)}"
            )
        try:
            self._download()
            yield
        finally:
            lock.release()

    def _download(self) -> None:
        """Make this machine's folder what the store says, but for pictures and the model, which it is
        resumed without, and checkpoints; those that it has stay."""
        if self.read(_CONFIG) is None:
            foreign = self._foreign_files()
            if foreign and kept_config(self.there / _CHECKPOINTS) is None:
                raise ConfigError(
                    f"{self.there} is not empty and holds no run (it has {foreign[0]!r}, but no "
                    f"{_CONFIG}); choose another --run-dir"
                )
            if not foreign and os.path.lexists(self.here):
                remove_tree(self.here)  # of a run that was removed from the store
        try:
            make_folders(self.here)
            for path in list(self._own(links=True)):
                files.disk.remove(path)
        except OSError as error:
            raise files.unwritable(self.here, error) from error
        for name in self._taken_along():
            (self.there / name).download(self.here / name)

    def download_checkpoint(self, warn: Callable[[str], None]) -> None:
        """Bring the latest complete checkpoint here, and remove here what the store does not have."""
        folder = self.here / _CHECKPOINTS
        newest = remote.fetch_latest_complete(self.there / _CHECKPOINTS, folder, warn)
        if folder.is_dir():
            for stale in [path for path in folder.iterdir() if path.is_dir() and path != newest]:
                remove_tree(stale)

    def fetched(self, name: str) -> Path:
        """A checkpoint on this machine, fetched by one of its processes if it is not here yet."""
        folder = self.here / _CHECKPOINTS
        make_folders(folder)
        with holding(folder / ".fetch.lock"):
            return remote.fetch(self.there / _CHECKPOINTS / name, folder)

    def take_over(self) -> None:
        """Become the one process that writes; one that did before stops at its next save.

        An object store has no locks that end with their holder, so the last one to take over counts.
        """
        self._token = secrets.token_hex(16)
        # What a killed upload left would be taken for one of those to keep.
        remote.clear_unfinished(self.there / _CHECKPOINTS)
        owner = {"token": self._token, "host": socket.gethostname(), "process": os.getpid()}
        (self.there / OWNER).write(json.dumps(owner).encode())

    def upload(self, checkpoint: Path, keep: int, keep_every: int) -> None:
        """Upload a checkpoint that is durable here, after all that belongs to it; remove outdated ones."""
        self._send_files()
        folder = self.there / _CHECKPOINTS
        remote.send(checkpoint, folder)
        (folder / LATEST).write(f"{checkpoint.name}\n".encode())
        remote.prune(folder, step_of(checkpoint), keep, keep_every)

    def finish(self) -> None:
        """Upload what came since the last checkpoint, and the models of all EMA weights if there are some."""
        self._send_files()
        # The main one last, which says that the run is complete.
        for folder in [*sorted(self.here.glob(f"{_MODEL}-*")), self.here / _MODEL]:
            # The description names the tensors' SHA-256, so it goes last, and that of a former model first.
            files = sorted(folder.glob("*"), key=lambda path: path.suffix == ".json")
            if files:
                (self.there / folder.name / files[-1].name).remove()
            for path in files:
                self._send(path)

    def try_writing(self) -> None:
        """Write a small file and remove it."""
        probe = self.there / f"probe-{secrets.token_hex(4)}"
        probe.write(b"thalweg")
        probe.remove()

    def _send_files(self) -> None:
        self._check_owner()
        for path in sorted(self._own()):
            self._send(path)

    def _own(self, *, links: bool = False) -> Iterator[Path]:
        """Files of the run that are neither of a checkpoint nor of the model; or with the links among them,
        those to folders too."""
        for folder, folders, names in os.walk(self.here):
            if Path(folder) == self.here:
                folders[:] = [name for name in folders if name != _CHECKPOINTS and not _is_model(name)]
            for path in (Path(folder, name) for name in [*names, *folders]):
                if path.is_symlink():
                    if links:
                        yield path
                elif path.is_file() and not path.name.startswith(".") and path.name not in _NEVER:
                    yield path

    def _send(self, path: Path) -> None:
        status = path.stat()
        name, state = str(path.relative_to(self.here)), (status.st_mtime_ns, status.st_size)
        if self._sent.get(name) != state:
            (self.there / name).upload(path)
            self._sent[name] = state

    def _check_owner(self) -> None:
        try:
            found = parse_json(self.read(OWNER) or b"{}")
        except ValueError:
            found = {}
        owner = found if isinstance(found, dict) else {}
        if owner.get("token") != self._token:
            raise ThalwegError(
                f"another process ({owner.get('process', 'unknown')} on {owner.get('host', 'unknown')}) has "
                f"taken over the run in {self.there}; this one saves nothing any more"
            )

    def _taken_along(self) -> list[str]:
        try:
            names = [file.relative(self.there) for file in self.there.find()]
        except MissingError:
            return []
        top = {name: name.split("/")[0] for name in names}
        return [
            name for name in names if not _is_model(top[name]) and top[name] not in (*_LEFT_THERE, *_NEVER)
        ]

    def _foreign_files(self) -> list[str]:
        try:
            return sorted(set(self.there.children()) - {OWNER})
        except MissingError:
            return []


def _is_model(name: str) -> bool:
    """Whether a folder holds a network of EMA weights, the main ones or others."""
    return name == _MODEL or name.startswith(f"{_MODEL}-")
