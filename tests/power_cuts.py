"""Power cuts, replayed: what a disk may hold after each prefix of a recorded series of operations.

A file's content is on the disk once the file was synced, a name once its folder was. Whatever was not may be
there or not: names one by one, contents as of the last sync. A journal keeps its order on the file systems of
today, but nothing promises it, so orders that need the promise fail here.
"""

import functools
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import attrs

from thalweg import files
from thalweg.files import Disk

_MOST_OPEN = 4
"""So many names that may or may not be there are tried in all combinations; of more, one at a time."""


@attrs.define(eq=False)
class Node:
    """A file: what was written, and what of it is on the disk."""

    content: bytearray
    safe: bytes = b""


@attrs.frozen(eq=False)
class NameChange:
    """A change of names in folders.

    Attributes:
        kind: ``link``, ``folder``, ``remove``, ``move`` or ``exchange``.
        path: relative to the place that is watched; of a move its target.
        source: where a moved thing comes from.
        node: a new file's.
    """

    kind: str
    path: Path
    source: Path | None = None
    node: Node | None = None

    @property
    def folder(self) -> Path:
        """Whose sync puts it on the disk; of a move it is where the new name is."""
        return self.path.parent


@attrs.frozen
class Cut:
    """A moment at which the power may go: all that is known of the disk then.

    Attributes:
        after: the last operation, in words.
        names: changes so far in their order, and whether each is on the disk; if not, it may be.
        safe: content of each file on the disk, and as it was written.
    """

    after: str
    names: tuple[tuple[NameChange, bool], ...]
    safe: dict[int, tuple[bytes, bytes]]


_Given = ParamSpec("_Given")
_Back = TypeVar("_Back")


def _alone(
    operation: "Callable[Concatenate[RecordingDisk, _Given], _Back]",
) -> "Callable[Concatenate[RecordingDisk, _Given], _Back]":
    """Threads write at once; what is done and what is noted of it must not come apart."""

    @functools.wraps(operation)
    def held(disk: "RecordingDisk", /, *given: _Given.args, **named: _Given.kwargs) -> _Back:
        with disk.lock:
            return operation(disk, *given, **named)

    return held


class RecordingDisk(Disk):
    """Notes every operation below a place. What came there by another way was never synced.

    Args:
        place: a folder; what is in it now is on the disk.
    """

    def __init__(self, place: Path) -> None:
        self.lock = threading.RLock()
        self._place = Path(os.path.realpath(place))
        self._before = {path: path.read_bytes() for path in self._all() if path.is_file()}
        self._folders = [path for path in self._all() if path.is_dir()]
        self._nodes: dict[Path, Node] = {
            path: Node(bytearray(data), data) for path, data in self._before.items()
        }
        self._known = {*self._nodes, *self._folders}
        self._every: list[Node] = list(self._nodes.values())
        self._open_files: dict[int, Path] = {}
        self._changes: list[NameChange] = []
        self._settled: set[NameChange] = set()
        self.cuts: list[Cut] = []

    def _all(self) -> list[Path]:
        return sorted(self._place.rglob("*"))

    def _cut(self, words: str) -> None:
        safe = {id(node): (node.safe, bytes(node.content)) for node in self._every}
        names = tuple((one, one in self._settled) for one in self._changes)
        self.cuts.append(Cut(words, names, safe))

    @_alone
    def done(self) -> None:
        """The call has come back: what it has promised must be there from now on."""
        self._stray()
        self._cut("done")

    def _relative(self, path: Path) -> Path | None:
        whole = Path(os.path.realpath(path.parent)) / path.name
        return whole.relative_to(self._place) if whole.is_relative_to(self._place) else None

    def _add(self, kind: str, path: Path, node: Node | None = None) -> None:
        if node is not None:
            self._nodes[path] = node
            self._every.append(node)
        self._known.add(path)
        self._changes.append(NameChange(kind, path.relative_to(self._place), None, node))

    def _stray(self) -> None:
        """Take in what was made or changed without the disk's knowledge."""
        for path in self._all():
            if path not in self._known and path.is_dir():
                self._add("folder", path)
            elif path not in self._known and path.is_file():
                self._add("link", path, Node(bytearray(path.read_bytes())))
            elif path in self._nodes and path not in self._open_files.values():
                node = self._nodes[path]
                if path.stat().st_size != len(node.content):
                    node.content[:] = path.read_bytes()
        for path in [one for one in self._known if not os.path.lexists(one)]:
            self._forget("remove", path)

    def _forget(self, kind: str, path: Path) -> None:
        self._known.discard(path)
        self._nodes.pop(path, None)
        self._changes.append(NameChange(kind, path.relative_to(self._place)))

    @_alone
    def create(self, path: Path) -> int:
        self._stray()
        descriptor = super().create(path)
        if self._relative(path) is not None:
            self._add("link", self._place / self._relative(path), Node(bytearray()))  # type: ignore[operator]
            self._open_files[descriptor] = self._place / self._relative(path)  # type: ignore[operator]
            self._cut(f"create {path.name}")
        return descriptor

    @_alone
    def write(self, descriptor: int, content: memoryview) -> int:
        at = os.lseek(descriptor, 0, os.SEEK_CUR)
        wrote = super().write(descriptor, content)
        node = self._of(descriptor)
        if node is not None:
            if os.get_blocking(descriptor) and os.lseek(descriptor, 0, os.SEEK_CUR) != at + wrote:
                at = len(node.content)
            node.content[len(node.content) :] = bytes(max(0, at - len(node.content)))
            node.content[at : at + wrote] = content[:wrote]
            self._cut("write")
        return wrote

    @_alone
    def resize(self, descriptor: int, size: int) -> None:
        super().resize(descriptor, size)
        node = self._of(descriptor)
        if node is not None:
            node.content[:] = node.content[:size].ljust(size, b"\0")
            self._cut("resize")

    def _of(self, descriptor: int) -> Node | None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return self._nodes.get(path)

    @_alone
    def sync(self, descriptor: int) -> None:
        self._stray()
        super().sync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path in self._nodes:
            self._nodes[path].safe = bytes(self._nodes[path].content)
        elif path.is_relative_to(self._place):
            folder = path.relative_to(self._place)
            self._settled |= {one for one in self._changes if one.folder == folder}
        self._cut(f"sync {path.name}")

    @_alone
    def move(self, source: Path, target: Path) -> None:
        self._stray()
        super().move(source, target)
        one, other = self._relative(source), self._relative(target)
        if one is None or other is None:
            return
        self._changes.append(NameChange("move", other, one))
        self._known.discard(self._place / other)
        self._nodes.pop(self._place / other, None)
        self._rename(self._place / one, self._place / other)
        self._cut(f"move to {target.name}")

    def _rename(self, source: Path, target: Path) -> None:
        for path in [one for one in self._known if one == source or one.is_relative_to(source)]:
            there = target / path.relative_to(source)
            self._known.discard(path)
            self._known.add(there)
            if path in self._nodes:
                self._nodes[there] = self._nodes.pop(path)

    @_alone
    def exchange(self, one: Path, other: Path) -> None:
        self._stray()
        super().exchange(one, other)
        first, second = self._relative(one), self._relative(other)
        assert first is not None
        assert second is not None
        aside = self._place / ".aside"
        self._rename(self._place / first, aside)
        self._rename(self._place / second, self._place / first)
        self._rename(aside, self._place / second)
        self._changes.append(NameChange("exchange", second, first))
        self._cut(f"exchange {other.name}")

    @_alone
    def make_folder(self, path: Path) -> None:
        self._stray()
        super().make_folder(path)
        if self._relative(path) is not None:
            self._add("folder", self._place / self._relative(path))  # type: ignore[operator]
            self._cut(f"make {path.name}")

    @_alone
    def remove(self, path: Path) -> None:
        self._stray()
        super().remove(path)
        self._gone(path)

    @_alone
    def remove_folder(self, path: Path) -> None:
        self._stray()
        super().remove_folder(path)
        self._gone(path)

    def _gone(self, path: Path) -> None:
        relative = self._relative(path)
        if relative is not None:
            self._forget("remove", self._place / relative)
            self._cut(f"remove {path.name}")

    def states(self, scratch: Path) -> Iterator[tuple[str, bool, Path]]:
        """Every disk that a power cut may leave: after what, whether the call had come back, and where.

        Args:
            scratch: a folder for them; each is removed when the next is made.
        """
        seen: set[tuple[tuple[str, bytes], ...]] = set()
        for cut in self.cuts:
            open_names = [one for one, settled in cut.names if not settled]
            for kept in _choices(len(open_names)):
                happened = {one for one, there in zip(open_names, kept, strict=True) if there}
                for lost in (True, False):
                    tree = self._tree(happened, cut, lost=lost)
                    key = (*sorted((str(path), data or b"") for path, data in tree.items()),)
                    known = (*key, ("done", b"1" if cut.after == "done" else b"0"))
                    if known in seen:
                        continue
                    seen.add(known)
                    place = scratch / "disk"
                    shutil.rmtree(place, ignore_errors=True)
                    _build(place, tree)
                    words = f"{cut.after}; contents {'as synced' if lost else 'as written'}; names {kept}"
                    yield words, cut.after == "done", place

    def _tree(self, happened: set[NameChange], cut: Cut, *, lost: bool) -> dict[Path, bytes | None]:
        tree: dict[Path, bytes | Node | None] = {
            path.relative_to(self._place): None for path in self._folders
        }
        tree.update({path.relative_to(self._place): data for path, data in self._before.items()})
        first = {path.relative_to(self._place): node for path, node in self._first.items()}
        tree.update(first)
        undone: list[tuple[Path, Path]] = []
        for change, settled in cut.names:
            # What was done below a new name was done below the old one, if the move has not happened.
            meant = attrs.evolve(
                change,
                path=_elsewhere(change.path, undone),
                source=None if change.source is None else _elsewhere(change.source, undone),
            )
            if settled or change in happened:
                _apply(tree, meant)
            elif meant.kind == "move" and meant.source is not None:
                undone.append((meant.path, meant.source))
        return {
            path: (cut.safe[id(one)][not lost] if isinstance(one, Node) else one)
            for path, one in tree.items()
            if all(parent in tree or parent == Path() for parent in path.parents)
        }

    @property
    def _first(self) -> dict[Path, Node]:
        """Nodes of the files that were there from the beginning."""
        return dict(zip(self._before, self._every, strict=False))


def _elsewhere(path: Path, undone: list[tuple[Path, Path]]) -> Path:
    for target, source in reversed(undone):
        if target in path.parents:
            path = source / path.relative_to(target)
    return path


def _choices(count: int) -> Iterator[tuple[bool, ...]]:
    if count <= _MOST_OPEN:
        yield from itertools.product((False, True), repeat=count)
        return
    yield (False,) * count
    yield (True,) * count
    for one in range(count):
        yield tuple(place == one for place in range(count))
        yield tuple(place != one for place in range(count))
        yield tuple(place <= one for place in range(count))


def _apply(tree: dict[Path, "bytes | Node | None"], change: NameChange) -> None:
    """One change, if what it needs is there."""
    if change.kind == "link":
        tree[change.path] = change.node or b""
    elif change.kind == "folder":
        tree.setdefault(change.path, None)
    elif change.kind == "remove":
        if not any(change.path in path.parents for path in tree):
            tree.pop(change.path, None)
    elif change.source in tree and change.kind == "move":
        for path in [one for one in tree if one == change.path or change.path in one.parents]:
            del tree[path]
        _carry(tree, change.source, change.path)
    elif change.source in tree and change.path in tree:
        aside = Path(".aside")
        _carry(tree, change.source, aside)
        _carry(tree, change.path, change.source)
        _carry(tree, aside, change.path)


def _carry(tree: dict[Path, "bytes | Node | None"], source: Path, target: Path) -> None:
    for path in [one for one in tree if one == source or source in one.parents]:
        tree[target / path.relative_to(source)] = tree.pop(path)


def _build(place: Path, tree: dict[Path, bytes | None]) -> None:
    place.mkdir(parents=True)
    for path, data in sorted(tree.items()):
        if data is None:
            (place / path).mkdir(parents=True, exist_ok=True)
        else:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)


def recorded(place: Path, act: Callable[[], object]) -> RecordingDisk:
    """Do something while every operation below a place is noted."""
    disk, real = RecordingDisk(place), files.disk
    files.disk = disk
    try:
        act()
    finally:
        files.disk = real
    disk.done()
    return disk
