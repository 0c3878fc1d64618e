"""Locks by files, for file systems that know no others.

Whoever wants a lock makes a file of its own beside it, whose name says who it is, and only then looks for
those of others: of two that begin at once, at least one sees the other and steps back. Each name is made
once and never again, so what a dead process has left can be removed by anybody at any time.

A process is known to be dead on its own machine alone: by its number, and by when it and the machine were
started. Of another machine it can only be stated which file to remove once it has ended.
"""

import functools
import hashlib
import os
import re
import secrets
import socket
import uuid
from pathlib import Path

import attrs

_NAME = re.compile(
    r"\.(?P<lock>.+)\.held-(?P<how>alone|shared)\.(?P<host>[A-Za-z0-9-]+)\.(?P<process>\d+)\.(?P<start>\d+)"
    r"\.(?P<place>[0-9a-f]{8})\.[0-9a-f]{8}"
)
_LONGEST_HOST = 60
_UNKNOWN, _ENDED = 0, -1


@attrs.frozen
class Holder:
    """A process that has a lock, or is about to.

    Attributes:
        path: its file.
        shared: whether it lets others share.
        host: its machine.
        process: its number there.
        start: when it was started, in ticks since the machine was; 0 where that is not known.
        place: of its machine since its last start, and its namespace of processes.
    """

    path: Path
    shared: bool
    host: str
    process: int
    start: int
    place: str

    @property
    def is_here(self) -> bool:
        """Whether this machine can determine if it is alive."""
        return (self.host, self.place) == (_host(), _place())

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended."""
        if not self.is_here:
            return False
        started = _started(self.process)
        another = bool(self.start) and started not in (self.start, _UNKNOWN)
        return started == _ENDED or another

    def __str__(self) -> str:
        return f"{self.process} on {self.host}"


def announced(lock: Path, *, shared: bool) -> Path:
    """A new file that says of this process that it has a lock, or is about to.

    Raises:
        OSError: if it cannot be made.
    """
    path = _path_of(lock, shared=shared)
    path.touch(exist_ok=False)
    return path


def passed_on(former: Path, lock: Path) -> Path:
    """Such a file, renamed at once to stand for another lock or for a share of the same."""
    return former.rename(_path_of(lock, shared=True))


def is_holder(path: Path, lock: Path) -> bool:
    """Whether a file beside a lock says who holds it."""
    return path.parent == lock.parent and _named(path.name, lock) is not None


def holders(lock: Path) -> list[Holder]:
    """Who holds a lock by a file beside it; files of processes that are dead are removed."""
    found = []
    for name in os.listdir(lock.parent):  # noqa: PTH208 - one call, whatever its age
        match = _named(name, lock)
        if match is None:
            continue
        how, host, process, start, place = match.groups()[1:]
        holder = Holder(lock.with_name(name), how == "shared", host, int(process), int(start), place)
        if holder.is_dead:
            holder.path.unlink(missing_ok=True)
        else:
            found.append(holder)
    return found


def _named(name: str, lock: Path) -> "re.Match[str] | None":
    match = _NAME.fullmatch(name)
    return match if match is not None and match["lock"] == lock.name else None


def cure(lock: Path) -> str:
    """What to do about a holder of another machine that has ended; empty if there is none."""
    try:
        strange = [one for one in holders(lock) if not one.is_here]
    except OSError:
        return ""
    return "".join(f"; if process {one} has ended, remove {one.path}" for one in strange[:1])


def _path_of(lock: Path, *, shared: bool) -> Path:
    how, process = "shared" if shared else "alone", os.getpid()
    me = f"{_host()}.{process}.{_started(process)}.{_place()}"
    return lock.with_name(f".{lock.name}.held-{how}.{me}.{secrets.token_hex(4)}")


@functools.cache
def _host() -> str:
    return re.sub("[^A-Za-z0-9-]", "-", socket.gethostname())[:_LONGEST_HOST] or "-"


@functools.cache
def _place() -> str:
    """What is another one after the machine was started anew, and in another container of it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        place = f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - it is no path
    except OSError:
        place = str(uuid.getnode())
    return hashlib.sha256(place.encode()).hexdigest()[:8]


def _started(process: int) -> int:
    """When a process of this machine was started, in ticks; or that it has ended, or is not known."""
    try:
        # The second field is a name in parentheses, and may have blanks.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except OSError:
        return _UNKNOWN if _is_there(process) else _ENDED
    return _ENDED if fields[0] in ("Z", "X") else int(fields[19])


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
