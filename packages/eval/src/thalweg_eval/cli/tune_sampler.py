"""``thalweg tune sampler``: samplers at several costs side by side."""

import shlex
from pathlib import Path

import click

from thalweg.cli import console, options
from thalweg.cli.local import LocalPath, Place
from thalweg.cli.progress import ProgressDisplay
from thalweg.visible import columns
from thalweg_eval.cli.evaluate import WORK


@click.command("sampler")
@click.argument("subject", type=Place())
@options.settings
@options.protocol
@options.out("results.json, report.html and a passport of each point", file=False, default=Path("samplers"))
@click.option(
    "--sampler",
    "samplers",
    multiple=True,
    metavar="NAME|TABLE",
    help="A sampler, or a table in TOML; may be repeated.  [default: all that are registered]",
)
@click.option("--steps", metavar="GRID", help="Of samplers that take some.  [default: 4,8,16,32,64]")
@click.option("--tolerances", metavar="GRID", help="Of adaptive samplers.  [default: 0.1,0.01,0.001]")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Of the samples' noise.")
@click.option("--by", metavar="METRIC", help="What to choose by.  [default: the first]")
@click.option(
    "--write",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="A new TOML file for the protocol with the chosen sampler.",
)
@click.option(
    "--reference", type=Place(), help="What samples are compared with.  [default: what the protocol says]"
)
@options.download
@options.device
@options.devices
@options.batch_size(64)
@WORK
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    subject: str,
    settings: tuple[str, ...],
    protocol: str | None,
    out: Path,
    samplers: tuple[str, ...],
    steps: str | None,
    tolerances: str | None,
    seeds: int,
    by: str | None,
    write: Path | None,
    reference: str | None,
    device: str,
    devices: str,
    batch_size: int,
    work: Path | None,
    as_json: bool,
) -> None:
    """Compare samplers of SUBJECT, a run or a saved network, at several numbers of evaluations (NFE).

    All points are evaluated under one protocol, quick unless stated, with its guidance, from the same noise
    and labels and against one reference; KEY=VALUE changes it. Chosen by the protocol's first number, or
    --by, is the least NFE of all points that are not known to be worse than the best; --write writes the
    protocol with it.

    The same command resumes after an interruption, and one with more samplers, steps, tolerances or seeds
    computes only what is new.
    """
    from thalweg.storage import redacted
    from thalweg_eval.tuning.folder import REPORT
    from thalweg_eval.tuning.points import method_of
    from thalweg_eval.tuning.sampler_page import reading, rows
    from thalweg_eval.tuning.samplers import tune_sampler

    with ProgressDisplay() as progress:
        found = tune_sampler(
            subject,
            out=out,
            protocol="quick" if protocol is None else protocol,
            samplers=[method_of(one) for one in samplers],
            steps=steps,
            tolerances=tolerances,
            seeds=seeds,
            by=by,
            write=write,
            settings=settings,
            reference=reference,
            devices=devices,
            device=device,
            batch_size=batch_size,
            work=work,
            progress=progress,
            say=console.say,
            command="thalweg " + shlex.join(map(redacted, ctx.find_root().obj.arguments)),
        )
    if as_json:
        console.result_json(found)
        return
    header, *body = rows(found)
    console.result(columns(body, header))
    for sentence in reading(found):
        console.result(sentence)
    console.result(f"report: {out / REPORT}")
