"""The same command twice at once, and commands that meet in one folder."""

import time
from functools import partial
from pathlib import Path

from torture import common
from torture.common import Ended, Finding, begin, copied, difference, draws, ended, shared_out
from torture.workshop import CASES, Case, whole

_TIMES = 120.0
ALIKE = {
    "train": 8,
    "train-often": 6,
    "sample-npz": 6,
    "sample-tar": 4,
    "sample-png": 4,
    "sample-tensors": 4,
    "evaluate": 8,
    "evaluate-npz": 4,
    "encode": 8,
    "ablate": 6,
    "import": 4,
    "report": 4,
}
"""How many times each command meets itself, of the usual count."""

_REPORT = Case("report of it", ("report", "out", "-o", "out.html"), ())
_LOAD = Case("sample of it", ("sample", "out", "drawn", "count=2", "sampler=euler", "sampler.steps=1"), ())
_OTHER = Case(
    "sample of another seed",
    (
        "sample",
        "run",
        "out.npz",
        "count=12",
        "seed=9",
        "batch_size=4",
        "sampler=euler",
        "sampler.steps=2",
        "--device",
        "cpu",
    ),
    ("out.npz",),
)
_PREP = Case("evaluate elsewhere", (*CASES["evaluate"].arguments[:-4], "--out", "q.json"), ("q.json",))
MEETING = [
    ("train-often", _REPORT, 8),
    ("train-often", _LOAD, 8),
    ("sample-npz", _OTHER, 4),
    ("evaluate", _PREP, 4),
]


def run(template: Path, scratch: Path, seed: int, count: int | None, workers: int) -> list[Finding]:
    """``count`` trials in all."""
    part = (count or 90) / (sum(ALIKE.values()) + sum(times for *_, times in MEETING))
    tasks = []
    for name, times in ALIKE.items():
        if common.only not in name:
            continue
        case = CASES[name]
        expected = whole(template, scratch, case, _TIMES)
        draw = draws(seed, "pairs", name)
        tasks += [
            # The first trials begin together, the others apart.
            partial(_alike, template, case, expected, 0.0 if number % 2 == 0 else draw.uniform(0.0, 1.5))
            for number in range(max(1, round(times * part)))
        ]
    for name, other, times in MEETING:
        if common.only not in name:
            continue
        case = CASES[name]
        expected = whole(template, scratch, case, _TIMES)
        draw = draws(seed, "meeting", name, other.name)
        tasks += [
            partial(_meeting, template, case, other, expected, draw.uniform(0.0, 1.5))
            for _ in range(max(1, round(times * part)))
        ]
    return shared_out(tasks, scratch, workers)


def _both(place: Path, one: Case, other: Case, apart: float) -> tuple[Ended, Ended]:
    begun = time.monotonic()
    first = begin(one.task, place, ".one")
    time.sleep(apart)
    second = begin(other.task, place, ".two")
    return ended(first, place, begun, _TIMES, ".one"), ended(second, place, begun, _TIMES, ".two")


def _alike(
    template: Path, case: Case, expected: dict[str, str], apart: float, scratch: Path
) -> list[Finding]:
    what = f"{case.name} twice, {apart:.2f} s apart"
    with copied(template, scratch, "scratch") as place:
        ends = _both(place, case, case, apart)
        for one in ends:
            if one.unexpected:
                return [Finding(what, one.unexpected, True, one.said)]
        codes = [one.code for one in ends]
        if 0 not in codes:
            return [Finding(what, "neither succeeds", True, " || ".join(one.said for one in ends))]
        refused = next((one for one in ends if one.code != 0), None)
        if refused is not None and "error:" not in refused.err:
            return [Finding(what, "refused without a reason", True, refused.said)]
        differing = difference(expected, case.result(place))
        if differing:
            return [Finding(what, "other result", True, f"{codes} {differing}")]
        return [Finding(what, "both succeed" if refused is None else "one succeeds, the other says why")]


def _meeting(
    template: Path, case: Case, other: Case, expected: dict[str, str], apart: float, scratch: Path
) -> list[Finding]:
    what = f"{case.name} and, {apart:.2f} s later, {other.name}"
    with copied(template, scratch, "scratch") as place:
        ends = _both(place, case, other, apart)
        for one in ends:
            if one.unexpected:
                return [Finding(what, one.unexpected, True, one.said)]
        if ends[0].code != 0 and not (other.outs and ends[1].code == 0):
            return [Finding(what, "ended by the other", True, ends[0].said)]
        if ends[1].code not in (0, 2, 4):
            return [Finding(what, "ended by the first", True, ends[1].said)]
        if ends[0].code == 0 and ends[1].code == 0 and set(case.outs) & set(other.outs):
            return [Finding(what, "both wrote the same file", True)]
        differing = difference(expected, case.result(place)) if ends[0].code == 0 else ""
        if differing:
            return [Finding(what, "other result", True, differing)]
        return [Finding(what, f"{ends[0].code} and {ends[1].code}")]
