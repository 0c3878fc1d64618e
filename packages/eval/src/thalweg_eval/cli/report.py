"""``thalweg report``: any runs, side by side, as one HTML file."""

from pathlib import Path

import click

from thalweg.cli import console, options
from thalweg.cli.local import LocalPath
from thalweg.visible import visible_line


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=LocalPath(instead="copy it to this machine first"))
@options.out("an HTML file; one that is there is replaced", folder=False, default=Path("report.html"))
@options.passports
def command(runs: tuple[Path, ...], out: Path, passports: tuple[Path, ...]) -> None:
    """Show the training runs in the folders RUNS: curves, samples, scores, and the time to reach them.

    Evaluations are found in a run's folder, wherever 'thalweg evaluate --out' wrote them there. What is
    damaged is named and left out; nothing outside the folders is shown, links in them are not followed.
    """
    from thalweg_eval.report import write
    from thalweg_eval.report.run_page import damages, run_page
    from thalweg_eval.report.runs import read_runs
    from thalweg_eval.report.scores import read_scores

    found = read_runs(runs)
    page = run_page(found, read_scores(found, passports))
    for damage in damages(found):
        console.warn(damage)
    console.result(visible_line(str(write(page, out))))
