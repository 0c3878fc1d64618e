"""Disks without room, and disks that cannot be written: one sentence, nothing half written, resumed."""

import errno
import os
import resource
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torture import common, devices
from torture.common import Ended, Finding, copied, difference, draws, forked, shared_out
from torture.watch import Watch
from torture.workshop import CASES, Case, whole

NAMES = (
    "train-often",
    "sample-npz",
    "sample-tar",
    "sample-png",
    "sample-tensors",
    "evaluate",
    "encode",
    "ablate",
    "import",
    "report",
)
ROOM = (0, 4096, 20_000, 100_000, 400_000)
_WHOLE = ("sample", "evaluate", "import", "report")
"""Commands whose output is there whole or not at all."""

_TIMES = 120.0
_MIB = 24


def run(template: Path, scratch: Path, seed: int, count: int | None, workers: int) -> list[Finding]:
    """``count`` operations of each command at which there is no room, or that fail."""
    tasks = []
    for name in NAMES:
        if common.only not in name:
            continue
        case, draw = CASES[name], draws(seed, "full", name)
        expected = whole(template, scratch, case, _TIMES)
        operations = _operations(template, scratch, case)
        if os.geteuid() == 0:
            tasks += [partial(_filled, template, case, expected, leave) for leave in ROOM]
            tasks.append(partial(_read_only, template, case, expected))
        for fault in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            times = max(1, (count or 12) // 3)
            for at in sorted(draw.sample(range(1, operations + 1), min(times, operations))):
                tasks.append(partial(_failing, template, case, expected, fault, at))
        tasks.append(partial(_limited, template, case, expected, draw.choice([0, 1000, 30_000])))
    return shared_out(tasks, scratch, workers)


def _operations(template: Path, scratch: Path, case: Case) -> int:
    with copied(template, scratch, "count") as place:
        told = scratch / "counted"

        def task() -> int:
            watch = Watch(place, lambda *_: None)
            code = case.task()
            told.write_text(str(watch.count))
            return code

        forked(task, place, _TIMES)
    return int(told.read_text())


def _filled(template: Path, case: Case, expected: dict[str, str], leave: int, scratch: Path) -> list[Finding]:
    what = f"{case.name} with {leave:,} bytes of room"
    with devices.memory(scratch / "mnt", _MIB) as top:
        folder = top / "f"
        shutil.copytree(template, folder, symlinks=True)
        filler = devices.fill(top, leave)
        # What is said goes to another disk, as to a terminal.
        first = _said_elsewhere(case.task, folder, scratch)
        return [_checked(what, case, folder, expected, first, filler.unlink)]


def _said_elsewhere(task: Callable[[], int], folder: Path, scratch: Path) -> Ended:
    beside = scratch / "beside"
    beside.mkdir(exist_ok=True)

    def there() -> int:
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        return task()

    return forked(there, beside, _TIMES)


def _read_only(template: Path, case: Case, expected: dict[str, str], scratch: Path) -> list[Finding]:
    what = f"{case.name} on a read-only disk"
    with devices.memory(scratch / "mnt", _MIB) as top:
        folder = top / "f"
        shutil.copytree(template, folder, symlinks=True)
        devices.run("mount", "-o", "remount,ro", top)
        first = _said_elsewhere(case.task, folder, scratch)
        return [
            _checked(
                what, case, folder, expected, first, lambda: devices.run("mount", "-o", "remount,rw", top)
            )
        ]


def _failing(
    template: Path, case: Case, expected: dict[str, str], fault: int, at: int, scratch: Path
) -> list[Finding]:
    """From the operation on there is no room; a broken one is broken alone."""
    what = f"{case.name}: {errno.errorcode[fault]} at operation {at}"
    with copied(template, scratch, "scratch") as folder:

        def task() -> int:
            def before(number: int, name: str, _: str) -> None:
                begun = number == at if fault == errno.EIO else number >= at
                if begun and name in ("open", "write", "mkdir", "sync"):
                    raise OSError(fault, os.strerror(fault))

            Watch(folder, before)
            return case.task()

        return [_checked(what, case, folder, expected, forked(task, folder, _TIMES), lambda: None)]


def _limited(template: Path, case: Case, expected: dict[str, str], most: int, scratch: Path) -> list[Finding]:
    what = f"{case.name}: no file beyond {most:,} bytes"
    with copied(template, scratch, "scratch") as folder:

        def task() -> int:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(most, 600), max(most, 600)))
            return case.task()

        return [_checked(what, case, folder, expected, forked(task, folder, _TIMES), lambda: None)]


def _checked(
    what: str, case: Case, folder: Path, expected: dict[str, str], first: Ended, cure: Callable[[], object]
) -> Finding:
    if first.unexpected:
        return Finding(what, first.unexpected, True, first.said)
    if first.code != 0 and (first.code not in (1, 2, 4) or first.err.count("error:") != 1):
        return Finding(what, "not one sentence", True, f"{first.code} {first.said}")
    there = case.result(folder)
    if first.code == 0:
        differing = difference(expected, there)
        if differing:
            return Finding(what, "said done, and is not", True, differing)
    elif case.name.startswith(_WHOLE):
        half = [name for name, digest in there.items() if expected.get(name) != digest]
        if half:
            return Finding(what, "half written", True, ", ".join(half[:4]))
    cure()
    again = forked(case.task, folder, _TIMES)
    exists = first.code == 0 and " exists" in again.err
    if again.unexpected or (again.code != 0 and not exists):
        return Finding(
            what, again.unexpected or "does not resume", True, f"{first.said} THEN {again.code} {again.said}"
        )
    differing = difference(expected, case.result(folder))
    if differing:
        return Finding(what, "other result", True, f"{first.said} {differing}")
    return Finding(what, "was done" if first.code == 0 else "one sentence, resumes")
