"""``thalweg ablate``: train and judge a grid of compositions under several seeds."""

import shlex
from pathlib import Path
from typing import Any, Literal, cast

import click

from thalweg.cli import console
from thalweg.cli.local import LocalPath
from thalweg.visible import columns


@click.command("ablate")
@click.argument("recipe", type=LocalPath(instead="copy it to this machine first"))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--axis", "axes", multiple=True, metavar="KEY=A,B,...", help="What changes; several axes multiply."
)
@click.option("--seeds", type=click.IntRange(1), help="Runs of every cell.  [default: the file's, or 3]")
@click.option(
    "--equal",
    type=click.Choice(["steps", "compute"]),
    help="Train every cell for as many steps, or for as much computation, as the first one.",
)
@click.option("--protocol", help="Of the evaluation, a name or a TOML file.  [default: the file's, or quick]")
@click.option("--times", type=click.IntRange(1), help="How often in training a run is judged.")
@click.option("--out", type=LocalPath(), help="Folder of the ablation.  [default: ablations/NAME]")
@click.option("--dry-run", is_flag=True, help="Only show the cells and what each costs.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
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

    Every cell is trained under every seed and judged under one protocol; KEY=VALUE changes all cells.
    The same command goes on after an interruption. OUT gets results.json, table.md and report.html.
    """
    from thalweg.ablation.config import read_ablation

    ablation = read_ablation(
        recipe,
        axes=axes,
        overrides=overrides,
        seeds=seeds,
        equal=cast("Literal['steps', 'compute'] | None", equal),
        protocol=protocol,
        times=times,
    )
    folder = Path("ablations") / ablation.name if out is None else out
    if dry_run:
        _show(ablation, folder)
        return
    # torch comes in here, once the ablation is known to be valid.
    from thalweg.ablation.page import rows
    from thalweg.ablation.running import REPORT, run
    from thalweg.storage import redacted

    called = "thalweg " + shlex.join(map(redacted, ctx.find_root().obj.arguments))
    found = run(ablation, folder, console.say, called)
    if as_json:
        console.result_json(found)
        return
    header, *body = rows(found)
    console.result(columns(body, header))
    console.result(f"report: {folder / REPORT}")


def _show(ablation: Any, folder: Path) -> None:
    from thalweg.ablation.planning import plan
    from thalweg.storage import redacted

    runs = [run for run in plan(ablation, folder) if run.seed == 0]
    networks = sum(run.leads for run in runs)
    ways = any(run.settings for run in runs)
    header = ["cell", "steps", "parameters", "GFLOP", "objectives left out"]
    table = [
        [
            run.cell,
            f"{run.config.training.steps:,}",
            f"{run.parameters:,}",
            f"{run.gflop:.4g}",
            ", ".join(run.left_out),
        ]
        for run in runs
    ]
    if ways:
        header += ["trained as", "judged with"]
        for row, run in zip(table, runs, strict=True):
            row += [run.network, redacted(" ".join(run.settings) or "the protocol as it is")]
    console.result(columns(table, header))
    console.result(
        f"{len(runs)} cells, {ablation.seeds} seeds each, in {folder}: {networks * ablation.seeds} trainings "
        f"and {len(runs) * ablation.seeds * ablation.judge.times} evaluations"
    )
