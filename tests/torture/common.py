"""Commands in children of their own that cost no import, folders compared, findings gathered."""

import contextlib
import ctypes
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

HANG = 20.0
"""Seconds after which a command that takes a moment counts as hanging; double that with two at once."""

only = ""
"""Commands, kinds of file and trials whose name holds this are tried."""

_CLOCK = {
    "seconds",
    "sampling_seconds",
    "images_per_second",
    "made",
    "machine",
    "digest",
    "platform",
    "pid",
    "bytes",
    "metrics",
}
_TITLE = re.compile(rb"<(?:h\d|th|title)[^>]*>[^<]*<")
_NUMBER = re.compile(rb"\d[\d,.]*(e-?\d+)?")


@attrs.frozen
class Ended:
    """How a command ended.

    Attributes:
        code: exit code, minus the signal that ended it, or None if it hung and was killed.
        out: stdout.
        err: stderr.
        seconds: how long it took.
        mib: the most memory that it held, beyond what it was born with.
    """

    code: int | None
    out: str
    err: str
    seconds: float
    mib: float

    @property
    def unexpected(self) -> str:
        """What it should not have said or done; empty if nothing."""
        if self.code is None:
            return "hang"
        for word in (
            "Traceback (most recent",
            "error: unexpected ",
            "Error in sys.excepthook",
            "Segmentation fault",
        ):
            if word in self.err or word in self.out:
                return word.strip()
        return "" if self.code in (0, 1, 2, 3, 4, 75, 130) else f"exit code {self.code}"

    @property
    def said(self) -> str:
        """The end of stderr in one line."""
        return " | ".join(self.err.strip().splitlines()[-3:])[-600:]


@attrs.frozen
class Finding:
    """One thing that was tried.

    Attributes:
        case: what it was.
        verdict: one word or two.
        bad: whether that must not be.
        note: what it takes to understand it.
    """

    case: str
    verdict: str
    bad: bool = False
    note: str = ""


def forked(task: Callable[[], int | None], folder: Path, timeout: float = HANG) -> Ended:
    """Do something in a forked child, from within a folder, and wait for it.

    Args:
        task: returns the exit code.
        folder: becomes the working folder; its ``.said`` gets what is printed.
        timeout: seconds until it is killed.
    """
    begun = time.monotonic()
    child = begin(task, folder)
    return ended(child, folder, begun, timeout)


def begin(task: Callable[[], int | None], folder: Path, said: str = ".said") -> int:
    """Fork; the process that does the task."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Until the child has its own handlers, a signal to it waits.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return child
    code = 99
    try:
        _dies_with_its_parent()
        os.setsid()
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        for number, name in ((1, "out"), (2, "err")):
            descriptor = os.open(f"{folder}{said}-{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(descriptor, number)
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        code = task() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _dies_with_its_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def ended(
    child: int, folder: Path, begun: float, timeout: float = HANG, said: str = ".said", *, keep: bool = False
) -> Ended:
    """Wait for a child that :func:`begin` made; whatever it has started goes with it."""
    status: int | None = None
    usage = None
    while status is None and time.monotonic() - begun < timeout:
        pid, got, usage = os.wait4(child, os.WNOHANG)
        if pid:
            status = got
        else:
            time.sleep(0.01)
    seconds = time.monotonic() - begun
    if not keep or status is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    if status is None:
        _, _, usage = os.wait4(child, 0)
    texts = []
    for name in ("out", "err"):
        path = Path(f"{folder}{said}-{name}")
        texts.append(path.read_bytes().decode(errors="replace") if path.exists() else "")
        path.unlink(missing_ok=True)
    code = None if status is None else os.waitstatus_to_exitcode(status)
    born = (
        int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize() / 2**20
    )
    mib = max(0.0, (usage.ru_maxrss if usage else 0) / 1024 - born)
    return Ended(code, texts[0], texts[1], seconds, mib)


def thalweg(*arguments: str) -> Callable[[], int]:
    """A command line, to be run in a child."""

    def task() -> int:
        from thalweg.cli.main import main

        sys.argv = ["thalweg", *arguments]
        return main(list(arguments))

    return task


def bounded(gib: float) -> None:
    """In a child: no more address space than this beyond what is held."""
    held = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    limit = held + int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def contents(folder: Path, *names: str) -> dict[str, str]:
    """Digest of each file below some paths of a folder; what depends on the clock is left out of it."""
    found: dict[str, str] = {}
    for name in names or (".",):
        top = folder / name
        places = (
            [top] if top.is_file() or top.is_symlink() else sorted(top.rglob("*")) if top.is_dir() else []
        )
        for path in places:
            if path.is_dir() and not path.is_symlink():
                continue
            key = str(path.relative_to(folder))
            found[key] = _digest(path)
    return found


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if not path.is_file():
        return "no file"
    content = path.read_bytes()
    if path.suffix in (".json", ".jsonl"):
        with contextlib.suppress(ValueError, RecursionError):
            lines = content.splitlines() if path.suffix == ".jsonl" else [content]
            plain = [_timeless(json.loads(line)) for line in lines]
            content = json.dumps(plain, sort_keys=True).encode()
    if path.name == "r.safetensors":
        # What was seen in another order is the same but for rounding.
        with contextlib.suppress(Exception):
            return _rounded(path)
    if path.name == "manifest.json":
        return "digests of documents with clocks"
    if path.suffix == ".html":
        # Charts and rows follow the clock: titles must be the same, and the end must be there.
        content = b"\n".join(sorted(_TITLE.findall(content))) + content.rstrip()[-7:]
    if path.suffix == ".md":
        # Seconds are in there, and rows sorted by them; words must be the same.
        content = b"\n".join(sorted(_NUMBER.sub(b"0", content).splitlines()))
    return hashlib.sha256(content).hexdigest()


def _rounded(path: Path) -> str:
    from safetensors.numpy import load_file

    told = {name: [f"{one:.6g}" for one in array.ravel()] for name, array in load_file(path).items()}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if key not in _CLOCK}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def difference(expected: dict[str, str], found: dict[str, str]) -> str:
    """What differs between two results of :func:`contents`, in words; empty if nothing."""
    missing = [name for name in expected if name not in found]
    more = [name for name in found if name not in expected]
    other = [name for name in expected if name in found and expected[name] != found[name]]
    parts = [("missing", missing), ("more", more), ("other", other)]
    return "; ".join(f"{word}: {', '.join(names[:4])}" for word, names in parts if names)


@contextlib.contextmanager
def copied(template: Path, scratch: Path, name: str) -> Iterator[Path]:
    """A copy of a folder, removed afterwards; always at a path of the same length."""
    place = scratch / name
    remove(place)
    shutil.copytree(template, place, symlinks=True)
    try:
        yield place
    finally:
        remove(place)


def remove(path: Path) -> None:
    """A whole tree, whatever is in it."""
    if path.is_symlink() or (os.path.lexists(path) and not path.is_dir()):
        path.unlink()
    elif path.is_dir():
        for at, _, _ in os.walk(path):
            os.chmod(at, 0o700)
        shutil.rmtree(path)


def shared_out(
    tasks: Sequence[Callable[[Path], list[Finding]]], scratch: Path, workers: int = 2
) -> list[Finding]:
    """Do tasks in forked workers, each in a scratch folder of its own; the findings in order.

    Worker n does the tasks n, n + workers, ... A task that raises is a finding itself.
    """
    children = []
    for worker in range(workers):
        place = scratch / f"w{worker}"
        place.mkdir(parents=True, exist_ok=True)
        told = scratch / f"w{worker}.json"
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _dies_with_its_parent()
            try:
                made = {}
                for number in range(worker, len(tasks), workers):
                    begun = time.monotonic()
                    try:
                        made[number] = [attrs.asdict(one) for one in tasks[number](place)]
                    except Exception:
                        words = traceback.format_exc()[-1500:]
                        made[number] = [attrs.asdict(Finding(f"task {number}", "harness", True, words))]
                    with (scratch / f"w{worker}.log").open("a") as log:
                        log.write(f"{time.monotonic() - begun:.1f} s {json.dumps(made[number])}\n")
                told.write_text(json.dumps(made))
            finally:
                os._exit(0)
        children.append((child, told))
    gathered: dict[int, list[Finding]] = {}
    for child, told in children:
        try:
            os.waitpid(child, 0)
        except BaseException:
            for other, _ in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(other, signal.SIGKILL)
            raise
        for number, found in json.loads(told.read_text()).items():
            gathered[int(number)] = [Finding(**one) for one in found]
        told.unlink()
    return [one for number in sorted(gathered) for one in gathered[number]]


def draws(seed: int, *about: object) -> random.Random:
    """Random numbers for one thing, the same whatever else is drawn."""
    return random.Random(f"{seed}/{'/'.join(map(str, about))}")
