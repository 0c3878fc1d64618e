"""``thalweg analyse``: what a trained network is like inside, on held-out data."""

from pathlib import Path

import click

from thalweg.cli import console, options
from thalweg.cli.local import Place
from thalweg.cli.progress import ProgressDisplay
from thalweg.visible import visible_line


@click.command("analyse")
@click.argument("subject", type=Place(), metavar="RUN|MODEL")
@options.out("a folder, which gets results.json and report.html", file=False, default=Path("analysis"))
@options.data_of
@click.option(
    "--samples",
    default=512,
    show_default=True,
    help="Held-out samples, and as many training samples to fit linear maps on.",
)
@options.seed
@options.download
@options.device
@options.batch_size(32)
@options.as_json
def command(
    subject: str,
    out: Path,
    data: str | None,
    samples: int,
    seed: int,
    device: str,
    batch_size: int,
    as_json: bool,
) -> None:
    """Measure a trained network, RUN or MODEL, with its EMA weights, on held-out data.

    The velocity's error after each depth, similarity and distance of hidden states, how heads' gradients
    agree, whether classes can be read from tokens, and what guidance by intermediate heads does: all on the
    same samples, times and noise, over time. OUT gets results.json and report.html; those of an earlier
    analysis are replaced.
    """
    from thalweg_eval.analysis.analyse import REPORT, analyse

    with ProgressDisplay() as progress:
        found = analyse(
            subject,
            out,
            data=data,
            samples=samples,
            seed=seed,
            batch_size=batch_size,
            device=device,
            progress=progress,
        )
    if as_json:
        console.result_json(found)
        return
    console.result(visible_line(f"report: {out / REPORT}"))
