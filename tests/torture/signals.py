"""Signals at any moment of a command's life, from the interpreter's start on; the same command resumes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil

from thalweg.cli.starting import RESUMABLE
from torture import common
from torture.common import Finding, begin, copied, difference, draws, forked, shared_out
from torture.workshop import CASES, QUICKSTART, TWO, Case, whole

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
SHARES = {
    "train": 24,
    "train-two": 20,
    "sample-npz": 12,
    "sample-tensors": 8,
    "sample-png": 4,
    "evaluate": 15,
    "encode": 15,
    "ablate": 15,
    "quickstart": 9,
    "import": 3,
    "report": 3,
}
"""How many signals of a hundred each gets."""

_TIMES = 120.0
_INTERPRETER = 0.15
"""Seconds in which Python itself starts."""

_CASES = {**CASES, "train-two": TWO, "quickstart": QUICKSTART}


def run(template: Path, scratch: Path, seed: int, count: int | None, workers: int) -> list[Finding]:
    """``count`` signals in all."""
    part = (count or 128) / sum(SHARES.values())
    tasks = []
    quick = CASES["report"]
    start = _span(template, scratch, quick, True) - _span(template, scratch, quick, False)
    for name, share in SHARES.items():
        if common.only not in name:
            continue
        case, draw = _CASES[name], draws(seed, "signals", name)
        begun = time.monotonic()
        expected = whole(template, scratch, case, _TIMES)
        span = time.monotonic() - begun
        # Until everything is imported it takes as long for every command.
        spans = (span, span if case.fresh else span + start)
        for number in range(max(1, round(share * part))):
            # Every third in an interpreter of its own, from its start on.
            fresh = case.fresh or number % 3 == 0
            kind = SIGNALS[number // 3 % 3 if fresh else number % 3]
            at, twice = draw.uniform(0.0, spans[fresh]), number % 5 == 4
            tasks.append(partial(_signalled, template, case, expected, kind, at, twice, fresh))
    return shared_out(tasks, scratch, workers)


def started(case: Case, place: Path, fresh: bool) -> "subprocess.Popen[bytes] | Forked":
    """The command, in an interpreter of its own or in a child that has imported everything."""
    if not fresh:
        return Forked(begin(case.task, place, ""))
    environment = {**os.environ, "XDG_CACHE_HOME": str(place / "cache")}
    out, err = (open(f"{place}{name}", "wb") for name in ("-out", "-err"))  # noqa: SIM115
    with out, err:
        return subprocess.Popen(
            [sys.executable, "-m", "thalweg", *case.arguments],
            cwd=place,
            env=environment,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


class Forked:
    """A forked child, as subprocess has them."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def send_signal(self, kind: int) -> None:
        """A signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, kind)

    def wait(self, timeout: float = 60.0) -> int:
        """Exit code."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        raise subprocess.TimeoutExpired("a fork", timeout)


def waited(
    process: "subprocess.Popen[bytes] | Forked", place: Path, timeout: float = 60.0
) -> tuple[int | None, str, list[str]]:
    """Exit code (None: it hung), stderr, and what processes it has left."""
    try:
        code: int | None = process.wait(timeout)
    except subprocess.TimeoutExpired:
        code = None
    orphans = []
    deadline = time.monotonic() + 2.0  # a child may still be on its way out
    while time.monotonic() < deadline:
        orphans = _in_session(process.pid)
        if not orphans:
            break
        time.sleep(0.1)
    said = " ".join(" ".join(one.cmdline())[:120] for one in orphans if one.is_running())
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if code is None:
        process.wait()
    return code, Path(f"{place}-err").read_bytes().decode(errors="replace"), [said] if orphans else []


def _in_session(leader: int) -> list[psutil.Process]:
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if one.pid != leader and os.getsid(one.pid) == leader and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


def _span(template: Path, scratch: Path, case: Case, fresh: bool) -> float:
    with copied(template, scratch, "span") as place:
        begun = time.monotonic()
        waited(started(case, place, fresh), place, _TIMES)
        return time.monotonic() - begun


def _signalled(
    template: Path,
    case: Case,
    expected: dict[str, str],
    kind: signal.Signals,
    at: float,
    twice: bool,
    fresh: bool,
    scratch: Path,
) -> list[Finding]:
    where = " of a new interpreter" if fresh else ""
    what = f"{case.name}: {kind.name}{' twice' if twice else ''} after {at:.2f} s{where}"
    with copied(template, scratch, "scratch") as place:
        process = started(case, place, fresh)
        time.sleep(at)
        for _ in range(1 + twice):
            process.send_signal(kind)
            time.sleep(0.05)
        code, said, orphans = waited(process, place)
        bad = _wrong(case, kind, code, said, orphans, twice)
        if bad and not (fresh and _before_main(code, kind, at, said)):
            return [
                Finding(what, bad[0], True, f"{bad[1]}; {' | '.join(said.strip().splitlines()[-2:])[-400:]}")
            ]
        again = forked(case.task, place, _TIMES)
        done = code == 0 or " exists" in again.err
        if again.unexpected or (again.code != 0 and not done):
            return [
                Finding(
                    what,
                    again.unexpected or "does not resume",
                    True,
                    f"{code} then {again.code} {again.said}",
                )
            ]
        # A run that was stopped has saved at another step, so other checkpoints are kept beside the newest.
        kept = {name: one for name, one in case.result(place).items() if not _is_between(name, expected)}
        wanted = {name: one for name, one in expected.items() if not _is_between(name, expected)}
        differing = "" if case is TWO else difference(wanted, kept)
        if differing:
            return [Finding(what, "other result", True, f"{code}; {differing}")]
        early = "before the interpreter was up, " if bad else ""
        return [Finding(what, f"{early}{'ended by the signal' if code and code < 0 else code}, same result")]


def _is_between(name: str, expected: dict[str, str]) -> bool:
    steps = [part for one in expected for part in one.split("/") if part.startswith("step-")]
    return any(part.startswith("step-") and part != max(steps) for part in name.split("/")) and bool(steps)


def _before_main(code: int | None, kind: signal.Signals, at: float, said: str) -> bool:
    """None of our code has begun: the interpreter is still looking for it."""
    return at < _INTERPRETER and code in (-kind, 1, 130) and "/thalweg/" not in said


def _wrong(
    case: Case, kind: signal.Signals, code: int | None, said: str, orphans: list[str], twice: bool
) -> tuple[str, str] | None:
    """What must not be, in two words and in detail."""
    if code is None:
        return "hang", ""
    if "Traceback" in said or "unexpected " in said or "Exception ignored" in said:
        return "traceback", str(code)
    if orphans:
        return "process left", orphans[0]
    fits = {0, 130} if kind == signal.SIGINT else {0, 75}
    if twice or case.name.partition("-")[0] not in RESUMABLE:
        # A second one ends what saves after the first; what cannot be resumed is ended by the first.
        fits |= {-kind}
    return None if code in fits else ("exit code", str(code))
