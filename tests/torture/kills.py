"""kill -9 at every change of the disk and at random moments; then the same command to its end."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from torture import common
from torture.common import Finding, begin, contents, copied, difference, draws, ended, forked, shared_out
from torture.watch import Watch
from torture.workshop import CASES, QUICKSTART, Case, whole

EVERY = ("sample-npz", "sample-tar", "sample-tensors", "encode", "import", "report")
"""Small enough to be killed at every operation that changes the disk, up to a number."""

RANDOM = ("train", "train-often", "sample-png", "evaluate", "evaluate-npz", "ablate")
_TIMES = 120.0


def run(template: Path, scratch: Path, seed: int, count: int | None, workers: int) -> list[Finding]:
    """``count`` is how many kills a command gets at most; half at moments, half at operations."""
    most = count or 24
    tasks = []
    for name in (*EVERY, *RANDOM):
        if common.only not in name:
            continue
        case = CASES[name]
        expected = whole(template, scratch, case, _TIMES)
        left = _left(template, scratch, case)
        operations, span = _counted(template, scratch, case)
        draw = draws(seed, "kills", name)
        numbers = range(1, operations + 1)
        chosen = sorted(draw.sample(numbers, min(most * 2 // 3, operations)))
        tasks += [partial(_killed, template, case, expected, left, at) for at in chosen]
        tasks += [
            partial(_killed, template, case, expected, left, draw.uniform(0.0, span))
            for _ in range(most // 3)
        ]
    if common.only not in QUICKSTART.name:
        return shared_out(tasks, scratch, workers)
    expected = whole(template, scratch, QUICKSTART, _TIMES)
    draw = draws(seed, "kills", "quickstart")
    tasks += [
        partial(_killed, template, QUICKSTART, expected, None, draw.uniform(0.1, 4.0))
        for _ in range(most // 4)
    ]
    return shared_out(tasks, scratch, workers)


def _counted(template: Path, scratch: Path, case: Case) -> tuple[int, float]:
    """How many operations change the disk, and how long the command takes."""
    with copied(template, scratch, "count") as place:

        def task() -> int:
            watch = Watch(place, lambda *_: None)
            code = case.task()
            (scratch / "counted").write_text(str(watch.count))
            return code

        found = forked(task, place, _TIMES)
    return int((scratch / "counted").read_text()), found.seconds


def _left(template: Path, scratch: Path, case: Case) -> set[str]:
    """Every file and folder that an undisturbed command leaves, whether asked for or not."""
    with copied(template, scratch, "left") as place:
        forked(case.task, place, _TIMES)
        return _names(place)


def _names(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")} | set(contents(place, "."))


def _killed(
    template: Path, case: Case, expected: dict[str, str], left: set[str] | None, at: float, scratch: Path
) -> list[Finding]:
    """Kill at an operation (int) or a moment (float), then the same command until it is done."""
    what = f"{case.name} at operation {at}" if isinstance(at, int) else f"{case.name} after {at:.2f} s"
    with copied(template, scratch, "scratch") as place:

        def task() -> int:
            def before(number: int, *_: str) -> None:
                if number == at:
                    os.kill(os.getpid(), signal.SIGKILL)

            if isinstance(at, int):
                Watch(place, before)
            return case.task()

        begun = time.monotonic()
        child = begin(task, place)
        if isinstance(at, int):
            first = ended(child, place, begun, _TIMES)
        else:
            time.sleep(at)
            os.kill(child, signal.SIGKILL)
            first = ended(child, place, begun, _TIMES)
        again = forked(case.task, place, _TIMES)
        if first.code not in (0, -signal.SIGKILL):
            return [Finding(what, "harness", True, f"{first.code} {first.said}")]
        done = first.code == 0
        if not done and case.name.startswith("sample") and again.code == 2 and " exists" in again.err:
            # All of it was there when it was killed, and saying so is right if it is whole.
            done = True
        if again.unexpected or (again.code != 0 and not done):
            return [Finding(what, again.unexpected or "does not resume", True, f"{again.code} {again.said}")]
        differing = difference(expected, case.result(place))
        if differing:
            return [Finding(what, "other result", True, differing)]
        more = sorted(_names(place) - left) if left is not None and not done else []
        more = [name for name in more if not _is_cache(name)]
        if more:
            return [Finding(what, "same result, something left over", True, ", ".join(more[:4]))]
        return [Finding(what, "was done" if done else "same result")]


def _is_cache(name: str) -> bool:
    """Statistics and locks that are kept on purpose, under names that depend on nothing but the work."""
    return name.startswith(("cache", "work"))
