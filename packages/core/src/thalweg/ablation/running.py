"""An ablation from beginning to end, going on cell by cell where it was interrupted."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thalweg.ablation.claiming import alone, claim
from thalweg.ablation.config import Ablation
from thalweg.ablation.page import markdown, page
from thalweg.ablation.planning import Planned, plan
from thalweg.ablation.results import Judged, Outcome, results
from thalweg.ablation.timing import keep_times, times, times_path
from thalweg.documents import write_document, write_text
from thalweg.errors import DataError
from thalweg.evaluation.passport import Passport, read_passport
from thalweg.evaluation.run import evaluate
from thalweg.evaluation.surroundings import software
from thalweg.folders import clear_leftovers, refuse_links, remove_tree
from thalweg.regular import read_bytes
from thalweg.report import render
from thalweg.report.facts import machine
from thalweg.report.pictures import LARGEST, check_picture
from thalweg.storage.places import check_folder, local_path
from thalweg.storage.redaction import redacted_plain
from thalweg.training.ending import interruption
from thalweg.training.loop import Trainer

RESULTS, MARKDOWN, REPORT = "results.json", "table.md", "report.html"


def run(ablation: Ablation, out: Path | str, say: Callable[[str], None], command: str = "") -> dict[str, Any]:
    """Train and judge every cell under every seed; called again, it goes on where it was.

    Args:
        ablation: what is compared.
        out: the folder: ``results.json``, ``table.md`` and ``report.html``, written anew after every run,
            and below ``cells`` a run directory each.
        say: shows one line of progress.
        command: how it was called, for the report.

    Returns:
        What ``results.json`` holds, without credentials.

    Raises:
        InterruptionError: Ctrl-C during training.
        PreemptionError: SIGTERM or SIGUSR1 during training.
        ConfigError: the folder holds another ablation, or a cell does not resolve.
        DataError: data are missing or damaged.
    """
    out = local_path(out, "out")
    check_folder(out, "out")
    runs = plan(ablation, out)
    refuse_links(out, ".lock", *{str(planned.folder.relative_to(out)) for planned in runs})
    with alone(out):
        claim(ablation, out, runs)
        clear_leftovers(*(out / name for name in (RESULTS, MARKDOWN, REPORT)))
        return _run_all(ablation, runs, out, say, command)


def _run_all(
    ablation: Ablation, runs: Sequence[Planned], out: Path, say: Callable[[str], None], command: str
) -> dict[str, Any]:
    outcomes: list[Outcome] = []
    judged: list[Passport] = []
    better: dict[str, str | None] = {}
    for number, planned in enumerate(runs, start=1):
        passports = _kept(planned, say)
        if any(passport is None for passport in passports.values()):
            say(f"[{number}/{len(runs)}] {planned.name}")
            passports = _run(planned, ablation, passports)
        # The averaged weights are what was judged; checkpoints are the bulk of what a run leaves.
        awaited = any(other.folder == planned.folder for other in runs[number:])
        if not awaited and (planned.folder / "checkpoints").is_dir():
            remove_tree(planned.folder / "checkpoints")
        outcomes.append(_outcome(planned, passports, out, say))
        judged += [passport for passport in passports.values() if passport is not None]
        better |= _directions(passports[planned.judged[-1]])
        made = {"command": command, "software": software(), **_surroundings(judged)}
        found = redacted_plain(results(ablation, runs, outcomes, better=better, **made))
        _write(found, out, outcomes, say)
    return dict(found)


Passports = dict[int, Passport | None]
"""By step; None for those that are still to come."""


def _passport(planned: Planned, step: int) -> Path:
    return planned.base.with_name(f"{planned.base.name}-step-{step:08d}.json")


def _kept(planned: Planned, say: Callable[[str], None]) -> Passports:
    """What an earlier sitting found; what is damaged is judged again where the network is still there.

    Raises:
        DataError: if it is damaged and the network is not there any more.
    """
    kept: Passports = {}
    for step in planned.judged:
        path = _passport(planned, step)
        kept[step] = None
        if path.is_file():
            try:
                kept[step] = read_passport(path)
            except DataError as fault:
                say(f"warning: {fault}; it is made anew")
        if kept[step] is None and _is_thinned(planned) and step != planned.judged[-1]:
            raise DataError(
                f"{path} is missing or damaged, and the checkpoint that it was made of is gone; remove "
                f"{planned.folder} and what begins like it, and the same command trains that run anew"
            )
    return kept


def _is_thinned(planned: Planned) -> bool:
    """Whether a run was trained and judged, so that its model is left without checkpoints."""
    return (planned.folder / "model").is_dir() and not (planned.folder / "checkpoints").is_dir()


def _is_trained(planned: Planned) -> bool:
    return (planned.folder / "model").is_dir() and times_path(planned).is_file()


def _run(planned: Planned, ablation: Ablation, passports: Passports) -> Passports:
    if not _is_thinned(planned) and not _is_trained(planned):
        trainer = Trainer(planned.config, planned.folder, devices=1, quiet=True)
        trained = trainer.train()
        if trained.interrupted:
            raise interruption(trained, planned.config.name)
        keep_times(planned, trained.seconds, trained.beside)
    for step in planned.judged:
        if passports[step] is None:
            last = step == planned.judged[-1]
            subject = planned.folder if last else planned.folder / "checkpoints" / f"step-{step:08d}"
            passports[step] = evaluate(
                subject,
                protocol=ablation.judge.protocol,
                settings=(*ablation.judge.settings, *planned.settings),
                out=_passport(planned, step),
                # The run's own config.toml was written down without credentials.
                data=planned.config.data,
            )
    return passports


def _outcome(planned: Planned, passports: Passports, out: Path, say: Callable[[str], None]) -> Outcome:
    spent = times(planned, say)
    return Outcome(
        planned,
        spent.beside,
        [
            Judged(step, spent.seconds[step], passport.values, str(_passport(planned, step).relative_to(out)))
            for step, passport in passports.items()
            if passport is not None
        ],
    )


def _surroundings(passports: Sequence[Passport]) -> dict[str, Any]:
    """When and on what machines passports were made."""
    machines = {machine(passport.machine) for passport in passports}
    made = sorted(passport.made for passport in passports)
    return {"made": [made[0], made[-1]], "machines": sorted(machines)}


def _directions(passport: Passport | None) -> dict[str, str | None]:
    """Which way each number is better."""
    numbers = {} if passport is None else passport.numbers
    return {name: number.get("better") for name, number in numbers.items()}


def _write(found: dict[str, Any], out: Path, outcomes: Sequence[Outcome], say: Callable[[str], None]) -> None:
    write_document(out / RESULTS, found, sealed=True)
    write_text(out / MARKDOWN, markdown(found))
    pictures = []
    for outcome in outcomes:
        planned = outcome.planned
        newest = sorted((planned.folder / "samples").glob("*.png"))
        if planned.seed == 0 and planned.leads and newest:
            png = _picture(newest[-1], say)
            if png is not None:
                pictures.append((redacted_plain(planned.network), png))
    write_text(out / REPORT, render(page(found, pictures)))


def _picture(path: Path, say: Callable[[str], None]) -> bytes | None:
    """A whole PNG; None where it is damaged, which is said."""
    try:
        png = read_bytes(path, LARGEST)
        check_picture(png)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        say(f"warning: {path} is damaged ({reason}); the report does without it")
        return None
    return png
