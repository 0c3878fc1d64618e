"""An ablation from beginning to end; called again, it resumes at the cell where it was interrupted."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.documents import read_document, write_document, write_text
from thalweg.errors import DataError, DivergenceError
from thalweg.folders import clear_leftovers, refuse_links, remove_tree
from thalweg.passport import Passport, read_passport
from thalweg.storage.places import check_folder, local_path
from thalweg.storage.redaction import redacted, redacted_plain
from thalweg.training.trainer import Trainer
from thalweg_eval.ablation.config import Ablation
from thalweg_eval.ablation.folder import alone, claim, keep_paced
from thalweg_eval.ablation.measuring import pace_cells
from thalweg_eval.ablation.pace import PacedCell
from thalweg_eval.ablation.page import markdown, page
from thalweg_eval.ablation.planning import Planned, plan
from thalweg_eval.ablation.results import RunOutcome, StepScore, results
from thalweg_eval.ablation.timing import keep_times, times, times_path
from thalweg_eval.evaluation.evaluate import evaluate
from thalweg_eval.evaluation.provenance import software
from thalweg_eval.report import render
from thalweg_eval.report.run_files import read_picture, reason_of
from thalweg_eval.report.sections import machine_in_words

RESULTS, MARKDOWN, REPORT = "results.json", "table.md", "report.html"


def run(ablation: Ablation, out: Path | str, say: Callable[[str], None], command: str = "") -> dict[str, Any]:
    """Train and score every cell under every seed; called again, it resumes where it was.

    A run that diverges ends by itself: its cell has no mean then, and the others go on.

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
        paced = claim(ablation, out, runs)
        clear_leftovers(*(out / name for name in (RESULTS, MARKDOWN, REPORT)))
        if ablation.equal == "seconds":
            paced = pace_cells([run for run in runs if run.seed == 0], paced, say)
            keep_paced(out, paced)
            runs = plan(ablation, out, [one.steps for one in paced])
        return _run_all(ablation, runs, paced, out, say, command)


def _run_all(
    ablation: Ablation,
    runs: Sequence[Planned],
    paced: Sequence[PacedCell],
    out: Path,
    say: Callable[[str], None],
    command: str,
) -> dict[str, Any]:
    outcomes: list[RunOutcome] = []
    done: list[Passport] = []
    better: dict[str, str | None] = {}
    for number, planned in enumerate(runs, start=1):
        passports: Passports = {}
        diverged = _diverged(planned)
        if not diverged:
            passports = _kept(planned, say)
            if any(passport is None for passport in passports.values()):
                say(f"[{number}/{len(runs)}] {planned.name}")
                try:
                    passports = _run(planned, ablation, passports)
                except DivergenceError as fault:
                    diverged, passports = redacted(str(fault)), {}
                    say(f"warning: {diverged}")
                    write_document(_divergence(planned), {_SAID: diverged}, sealed=True)
        # The EMA weights are what was scored; checkpoints are the bulk of what a run leaves.
        awaited = any(other.folder == planned.folder for other in runs[number:])
        if not awaited and (planned.folder / "checkpoints").is_dir():
            remove_tree(planned.folder / "checkpoints")
        if diverged:
            outcomes.append(RunOutcome(planned, {}, (), diverged))
        else:
            outcomes.append(_outcome(planned, passports, out, say))
        done += [passport for passport in passports.values() if passport is not None]
        if done:
            better |= {name: number.get("better") for name, number in done[-1].numbers.items()}
        made = sorted(passport.made for passport in done)
        more = {
            "command": command,
            "software": software(),
            "made": [made[0], made[-1]] if made else [],
            "machines": sorted({machine_in_words(passport.machine) for passport in done}),
        }
        found = redacted_plain(results(ablation, runs, outcomes, paced, better=better, **more))
        _write(found, out, outcomes, say)
    return dict(found)


Passports = dict[int, Passport | None]
"""By step; None for those that are still to come."""


_SAID = "said"


def _divergence(planned: Planned) -> Path:
    """The file that says that a run diverged, so that it is not trained to the same end again."""
    return planned.folder.with_name(f"{planned.folder.name}-diverged.json")


def _diverged(planned: Planned) -> str:
    """What was said when the run diverged; empty if it did not."""
    advice = f"remove it and {planned.folder}, and the same command trains that run anew"
    try:
        return str(read_document(_divergence(planned), "what an ablation writes", advice, sealed=True)[_SAID])
    except FileNotFoundError:
        return ""


def _passport(planned: Planned, step: int) -> Path:
    return planned.base.with_name(f"{planned.base.name}-step-{step:08d}.json")


def _kept(planned: Planned, say: Callable[[str], None]) -> Passports:
    """What an earlier session found; what is damaged is scored again where the network is still there.

    Raises:
        DataError: if it is damaged and the network is not there any more.
    """
    kept: Passports = {}
    for step in planned.scored:
        path = _passport(planned, step)
        kept[step] = None
        if path.is_file():
            try:
                kept[step] = read_passport(path)
            except DataError as fault:
                say(f"warning: {fault}; it is made anew")
        if kept[step] is None and _is_thinned(planned) and step != planned.scored[-1]:
            raise DataError(
                f"{path} is missing or damaged, and the checkpoint that it was made of is gone; remove "
                f"{planned.folder} and what begins like it, and the same command trains that run anew"
            )
    return kept


def _is_thinned(planned: Planned) -> bool:
    """Whether a run was trained and scored, so that its model is left without checkpoints."""
    return (planned.folder / "model").is_dir() and not (planned.folder / "checkpoints").is_dir()


def _run(planned: Planned, ablation: Ablation, passports: Passports) -> Passports:
    is_trained = (planned.folder / "model").is_dir() and times_path(planned).is_file()
    if not is_trained and not _is_thinned(planned):
        trainer = Trainer(planned.config, planned.folder, devices=1, quiet=True)
        trained = trainer.train()
        if trained.interrupted:
            raise trained.interruption(planned.config.name)
        keep_times(planned, trained.seconds, trained.beside)
    for step in planned.scored:
        if passports[step] is None:
            last = step == planned.scored[-1]
            subject = planned.folder if last else planned.folder / "checkpoints" / f"step-{step:08d}"
            passports[step] = evaluate(
                subject,
                protocol=ablation.evaluation.protocol,
                settings=(*ablation.evaluation.settings, *planned.settings),
                out=_passport(planned, step),
                # The run's own config.toml was written down without credentials.
                data=planned.config.data,
            )
    return passports


def _outcome(planned: Planned, passports: Passports, out: Path, say: Callable[[str], None]) -> RunOutcome:
    spent = times(planned, say)
    scores = [
        StepScore(
            step,
            spent.seconds[step],
            passport.values,
            str(_passport(planned, step).relative_to(out)),
            passport.subject.get("nfe"),
            _noise(passport),
        )
        for step, passport in passports.items()
        if passport is not None
    ]
    return RunOutcome(planned, spent.beside, scores)


def _noise(passport: Passport) -> int | None:
    sampling = passport.conditions.get("sampling")
    return sampling.get("seed") if isinstance(sampling, Mapping) else None


def _write(
    found: dict[str, Any], out: Path, outcomes: Sequence[RunOutcome], say: Callable[[str], None]
) -> None:
    write_document(out / RESULTS, found, sealed=True)
    write_text(out / MARKDOWN, markdown(found))
    pictures = []
    for outcome in outcomes:
        planned = outcome.planned
        newest = sorted((planned.folder / "samples").glob("*.png"))
        if planned.seed == 0 and planned.leads and newest:
            try:
                pictures.append((redacted_plain(planned.network), read_picture(out, newest[-1])))
            except (OSError, ValueError) as error:
                say(f"warning: {newest[-1]} is damaged ({reason_of(error)}); the report does without it")
    write_text(out / REPORT, render(page(found, pictures)))
