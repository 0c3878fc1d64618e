"""Power cuts: the image of a mounted disk is copied in the middle of a command; on each copy it resumes."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

from torture import common, devices
from torture.common import Finding, contents, difference, draws, forked, shared_out
from torture.watch import Watch
from torture.workshop import CASES, Case, whole

NAMES = (
    "train",
    "sample-npz",
    "sample-tar",
    "sample-png",
    "sample-tensors",
    "evaluate",
    "encode",
    "import",
    "report",
)
_TIMES = 120.0


def run(template: Path, scratch: Path, seed: int, count: int | None, workers: int) -> list[Finding]:
    """``count`` copies of each command's disk, on each file system."""
    found: list[Finding] = []
    tasks = []
    for system in devices.MAKERS:
        why = devices.possible(system)
        if why:
            found.append(Finding(f"{system}: not tried, {why}; see tests/core/test_power_cuts.py", "skipped"))
            continue
        for name in NAMES:
            if common.only not in name:
                continue
            case = CASES[name]
            expected = whole(template, scratch, case, _TIMES)
            tasks.append(partial(_cut, system, template, case, expected, seed, count or 14))
    return found + shared_out(tasks, scratch, workers)


def _cut(
    system: str, template: Path, case: Case, expected: dict[str, str], seed: int, count: int, scratch: Path
) -> list[Finding]:
    image, at = scratch / "disk.img", scratch / "mnt"
    copies = scratch / "copies"
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir()
    draw = draws(seed, "cuts", system, case.name)
    # First without copies, to know how many moments there are.
    moments = _recorded(system, template, case, image, at, copies, {}, scratch)
    important = [
        number for number, kind in moments if kind in ("renamed", "exchanged", "remove", "synced", "rename")
    ]
    chosen = set(draw.sample(important, min(len(important), count * 3 // 4)))
    rest = [number for number, _ in moments if number not in chosen]
    chosen |= set(draw.sample(rest, min(len(rest), count - len(chosen))))
    # The last removals and renames are where outputs are called done.
    chosen |= set(important[-2:])
    wanted = {number: draw.random() < 0.5 for number in chosen}
    _recorded(system, template, case, image, at, copies, wanted, scratch)
    image.unlink()
    found = []
    for path in sorted(copies.glob("*.img")):
        about = json.loads(path.with_suffix(".json").read_text())
        what = f"{system}, {case.name}: {about['words']}"
        try:
            found.append(_looked(path, scratch / "cut", case, expected, about["done"], what))
        finally:
            path.unlink()
    return found


def _recorded(
    system: str,
    template: Path,
    case: Case,
    image: Path,
    at: Path,
    copies: Path,
    wanted: dict[int, bool],
    scratch: Path,
) -> list[tuple[int, str]]:
    """Run the command on a disk of its own and copy that at some moments; all moments that there were.

    Args:
        wanted: numbers of moments; True: another file is synced first, which carries all names that have
            changed to the disk, but no contents.
    """
    devices.make(system, image)
    with devices.mounted(image, at) as top:
        folder = top / "f"
        shutil.copytree(template, folder, symlinks=True)
        (top / "poke").write_bytes(b"0")
        os.sync()
        told = scratch / "moments.json"

        def task() -> int:
            moments: list[tuple[int, str]] = []
            seen: set[str] = set()

            def moment(_: int, name: str, path: str) -> None:
                moments.append((len(moments), name))
                number = len(moments) - 1
                if number in wanted:
                    carried = ", names carried to the disk" if wanted[number] else ""
                    words = f"{name} {Path(path).name} ({number}{carried})"
                    _snapshot(image, top, copies / f"{number:05d}.img", wanted[number], words, False, seen)

            Watch(folder, moment, moment)
            code = case.task()
            if wanted and code == 0:
                for number, poked in ((99_998, False), (99_999, True)):
                    words = f"done{', names carried to the disk' if poked else ''}"
                    _snapshot(image, top, copies / f"{number}.img", poked, words, True, seen)
            told.write_text(json.dumps(moments))
            return code

        ended = forked(task, folder, _TIMES * 2)
        if ended.code != 0:
            raise RuntimeError(f"{case.name} on {system}: {ended.code} {ended.err}")
    return [(number, name) for number, name in json.loads(told.read_text())]


def _snapshot(
    image: Path, top: Path, target: Path, poked: bool, words: str, done: bool, seen: set[str]
) -> None:
    if poked:
        descriptor = os.open(top / "poke", os.O_WRONLY)
        os.pwrite(descriptor, os.urandom(8), 0)
        os.fsync(descriptor)
        os.close(descriptor)
    digest = devices.copy(image, target)
    if digest in seen and not done:
        target.unlink()
        return
    seen.add(digest)
    target.with_suffix(".json").write_text(json.dumps({"words": words, "done": done}))


def _looked(image: Path, at: Path, case: Case, expected: dict[str, str], done: bool, what: str) -> Finding:
    with devices.mounted(image, at) as top:
        folder = top / "f"
        if done:
            differing = difference(expected, contents(folder, *case.outs))
            if differing:
                return Finding(what, "done, and not whole", True, differing)
        again = forked(case.task, folder, _TIMES)
        exists = case.name.startswith("sample") and again.code == 2 and " exists" in again.err
        if again.unexpected or (again.code != 0 and not exists):
            return Finding(what, again.unexpected or "does not resume", True, f"{again.code} {again.said}")
        differing = difference(expected, contents(folder, *case.outs))
        if differing:
            return Finding(what, "other result", True, differing)
        return Finding(what, "whole" if done or exists else "same result")
