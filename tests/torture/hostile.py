"""Runs, models, files and documents that somebody made to do harm: refused in one sentence, or harmless."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import attrs

from torture import common, workshop
from torture.common import HANG, Finding, bounded, forked, remove, shared_out, thalweg
from torture.workshop import DRAW

MOST_MIB = 2000
"""Memory that no small file may take."""

_MOST_GIB = 5.0
"""Beyond this there is no memory at all, so that nobody else's is eaten."""

_servers: list[ThreadingHTTPServer] = []

CANARY = "canary-was-here"


@attrs.frozen
class Trial:
    """One trap, and who steps into it.

    Attributes:
        name: for the table.
        prepare: puts it into a copy of the template, given its folder and the victim beside it; a command
            that would be executed makes the file ``CANARY`` in the victim's folder.
        commands: which must do no harm.
        refused: whether they must all be refused.
        environment: of the commands.
        afterwards: looks at the folder; words if something is wrong.
        seconds: after which a command hangs.
        absent: what none may print.
    """

    name: str
    prepare: Callable[[Path, Path], object]
    commands: Sequence[Sequence[str]]
    refused: bool = False
    environment: Mapping[str, str] = {}
    afterwards: Callable[[Path], str] = lambda _: ""
    seconds: float = HANG
    absent: frozenset[bytes] = frozenset()


SAMPLE = ("sample", "run", "out.npz", *DRAW)
SHOW = ("report", "run", "-o", "out.html")
EVALUATE = (
    "evaluate",
    "run",
    "--protocol",
    "quick",
    "count=20",
    "sampling.sampler=euler",
    "sampling.sampler.steps=1",
    "features.small_classifier.extractor.steps=2",
    "--device",
    "cpu",
    "--work",
    "work",
    "--out",
    "p.json",
)
TRAIN = (*workshop.TRAIN, "--run-dir", "run", "training.steps=8")


def run(template: Path, scratch: Path, seed: int, count: int | None, workers: int) -> list[Finding]:
    """All of them, or the first ``count``."""
    from torture import hostile_documents, hostile_files, hostile_links, hostile_runs, hostile_secrets

    trials: list[Trial] = []
    for module in (hostile_runs, hostile_documents, hostile_files, hostile_links, hostile_secrets):
        trials += module.trials(seed)
    trials = [one for one in trials if common.only in one.name]
    tasks = [partial(_tried, template, trial) for trial in trials[: count or len(trials)]]
    return shared_out(tasks, scratch, workers)


def quiet_port() -> int:
    """The port of a server on this machine that has nothing, and says so at once."""

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    if not _servers:
        _servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Nothing))
        threading.Thread(target=_servers[0].serve_forever, daemon=True).start()
    return _servers[0].server_port


def victim_state(victim: Path) -> dict[str, object]:
    """Everything of a tree that may not change."""
    found: dict[str, object] = {}
    for path in sorted([victim, *victim.rglob("*")]):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        # Reading a file or folder may change its times of access alone.
        found[str(path)] = (status.st_mode, status.st_size if content else 0, status.st_mtime_ns, content)
    return found


def _tried(template: Path, trial: Trial, scratch: Path) -> list[Finding]:
    folder, victim = scratch / "scratch", scratch / "victim"
    for path in (folder, victim):
        remove(path)
    shutil.copytree(template, folder, symlinks=True)
    (victim / "deep").mkdir(parents=True)
    for name in ("file", "deep/one.png", "deep/two"):
        (victim / name).write_text(f"precious {name}\n")
    try:
        trial.prepare(folder, victim)
        before = victim_state(victim)
        found = []
        for command in trial.commands:
            finding = _stepped(trial, folder, victim, command)
            after = victim_state(victim)
            if after != before:
                changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
                what = "executed" if any(CANARY in name for name in changed) else "victim changed"
                finding = attrs.evolve(finding, verdict=what, bad=True, note=f"{changed[:4]} {finding.note}")
            found.append(finding)
            before = after
        wrong = trial.afterwards(folder)
        if wrong:
            found.append(Finding(trial.name, "left behind", True, wrong))
        return found
    finally:
        for path in (folder, victim):
            remove(path)


def _stepped(trial: Trial, folder: Path, victim: Path, command: Sequence[str]) -> Finding:
    words = [word.replace("VICTIM", str(victim)) for word in command]
    short = " ".join(word if len(word) < 60 else f"{word[:57]}..." for word in command[:3])
    what = f"{trial.name}: thalweg {short}"

    def task() -> int:
        os.environ.update(trial.environment)
        bounded(_MOST_GIB)
        return thalweg(*words)()

    ended = forked(task, folder, trial.seconds)
    if any(form in text.encode() for form in trial.absent for text in (ended.out, ended.err)):
        return Finding(what, "secret printed", True, ended.said)
    if ended.unexpected:
        return Finding(what, ended.unexpected, True, ended.said)
    if ended.seconds > trial.seconds / 2:
        return Finding(what, "slow", True, f"{ended.seconds:.0f} s {ended.said}")
    if ended.mib > MOST_MIB:
        return Finding(what, "memory", True, f"{ended.mib:.0f} MiB; {ended.said}")
    if "\x1b" in ended.err or "\x1b" in ended.out:
        return Finding(what, "escape printed", True, repr(ended.said))
    if ended.code == 0:
        note = ended.said if trial.refused else ""
        return Finding(what, "accepted" if trial.refused else "harmless", trial.refused, note)
    listed = words[:2] == ["data", "verify"] and ended.code == 4 and ended.out
    if ended.err.count("error:") != 1 and not listed:
        return Finding(what, "not one sentence", True, f"{ended.code} {ended.said}")
    return Finding(what, "refused", False, ended.said)
