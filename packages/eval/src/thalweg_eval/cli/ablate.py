"""``thalweg ablate``: train and evaluate a grid of compositions under several seeds."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from thalweg.cli import console, options
from thalweg.cli.local import LocalPath
from thalweg.errors import ThalwegError
from thalweg.visible import columns

if TYPE_CHECKING:
    from thalweg_eval.ablation.config import Ablation, Equal

EQUAL = click.option(
    "--equal",
    type=click.Choice(["steps", "compute", "seconds"]),
    help="Train every cell for as many steps, as much computation, or as many seconds as the first one.",
)


@click.command("ablate")
@click.argument("recipe", type=LocalPath(instead="copy it to this machine first"))
@options.overrides
@options.axis
@click.option("--seeds", type=click.IntRange(1), help="Runs of every cell.  [default: the file's, or 3]")
@EQUAL
@options.protocol
@click.option("--times", type=click.IntRange(1), help="How often in training a run is evaluated.")
@options.out("the folder of the ablation; ablations/NAME unless stated")
@options.download
@options.dry_run
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    recipe: Path,
    overrides: tuple[str, ...],
    axes: tuple[str, ...],
    seeds: int | None,
    equal: str | None,
    protocol: str | None,
    times: int | None,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compare compositions: RECIPE is an ablation's file, or a run's recipe with --axis.

    Every cell is trained under every seed and evaluated under one protocol, the file's or quick; KEY=VALUE
    changes all cells. The same command resumes after an interruption. OUT gets results.json, table.md and
    report.html. If a control fails, all is written, and the exit code is 1.
    """
    from thalweg_eval.ablation.config import read_ablation

    ablation = read_ablation(
        recipe,
        axes=axes,
        overrides=overrides,
        seeds=seeds,
        equal=cast("Equal | None", equal),
        protocol=protocol,
        times=times,
    )
    folder = Path("ablations") / ablation.name if out is None else out
    if dry_run:
        show_plan(ablation, folder)
        return
    # torch comes in here, once the ablation is known to be valid.
    from thalweg.storage import redacted
    from thalweg_eval.ablation.controls import failed_controls
    from thalweg_eval.ablation.running import REPORT, run

    called = "thalweg " + shlex.join(map(redacted, ctx.find_root().obj.arguments))
    found = run(ablation, folder, console.say, called)
    if as_json:
        console.result_json(found)
    else:
        show_tables(found)
        console.result(f"report: {folder / REPORT}")
    # An exit code rather than a warning: whatever goes on from here, a script that cites the table or a bench
    # that adds it up, must not take it for a result, and a warning is lost among the lines of hours.
    if failed_controls(found):
        raise ThalwegError(failed_sentence(found, folder / REPORT))


def show_tables(found: Mapping[str, Any]) -> None:
    """Print scores and differences."""
    from thalweg_eval.ablation.controls import controls_in_words
    from thalweg_eval.ablation.tables import difference_caption, difference_rows, rows

    header, *body = rows(found)
    console.result(columns(body, header))
    differences = difference_rows(found)
    if differences:
        console.result(f"\n{columns(differences[1:], differences[0])}\n{difference_caption(found)}")
    for text in controls_in_words(found):
        console.result(text)


def failed_sentence(found: Mapping[str, Any], report: Path) -> str:
    """The error where controls failed."""
    from thalweg_eval.ablation.controls import failed_controls

    return (
        f"the control {' and '.join(failed_controls(found))} did not come last in {found['name']}, so "
        f"the table cannot tell its cells apart; train longer, evaluate more samples or run more seeds, and "
        f"see {report}"
    )


def show_plan(ablation: "Ablation", folder: Path) -> None:
    """Print what would be trained and evaluated."""
    from thalweg.storage import redacted
    from thalweg_eval.ablation.planning import plan

    runs = [run for run in plan(ablation, folder) if run.seed == 0]
    networks = sum(run.leads for run in runs)
    ways = any(run.settings for run in runs)
    header = ["cell", "steps", "parameters", "GFLOP", "objectives left out"]
    paced = "as fit in its seconds" if ablation.equal == "seconds" else None
    table = [
        [
            run.cell,
            f"{run.config.training.steps:,}" if paced is None or run is runs[0] else paced,
            f"{run.parameters:,}",
            f"{run.gflop:.4g}",
            ", ".join(run.left_out),
        ]
        for run in runs
    ]
    if ways:
        header += ["trained as", "scored with"]
        for row, run in zip(table, runs, strict=True):
            row += [run.network, redacted(" ".join(run.settings) or "the protocol as it is")]
    console.result(columns(table, header))
    console.result(
        f"{len(runs)} cells, {ablation.seeds} seeds each, in {folder}: {networks * ablation.seeds} trainings "
        f"and {len(runs) * ablation.seeds * ablation.evaluation.times} evaluations"
    )
