"""``thalweg tune``: settings of sampling chosen for a network that is trained."""

import shlex
from pathlib import Path

import click

from thalweg.cli import console, options
from thalweg.cli.groups import Group
from thalweg.cli.local import LocalPath, Place
from thalweg.cli.progress import ProgressDisplay
from thalweg.visible import columns
from thalweg_eval.cli.evaluate import WORK
from thalweg_eval.cli.tune_sampler import command as sampler


@click.group("tune", cls=Group)
def command() -> None:
    """Choose how a trained network is sampled."""


command.add_command(sampler)


@command.command("guidance")
@click.argument("subject", type=Place())
@options.settings
@options.protocol
@options.out("results.json, report.html and a passport of each point", file=False, default=Path("tuning"))
@click.option(
    "--method",
    metavar="NAME|TABLE",
    default="internal",
    show_default=True,
    help="The guidance: internal, cfg, half, ladder, path_drop or another, or a table in TOML.",
)
@click.option("--scales", metavar="GRID", help="Of the guidance, such as 1,1.2,1.5 or 1:3:0.25.")
@click.option("--strengths", metavar="GRID", help="Of its calibrated form, such as 0,1,2,3,4; of a ladder's.")
@click.option("--intervals", metavar="LOW:HIGH,...", help="Of time, a curve for each, such as 0:1,0.3:1.")
@click.option(
    "--after",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="DEPTH",
    help="Number of blocks after which a head stands; may be repeated.",
)
@click.option(
    "--around",
    multiple=True,
    metavar="NAME[=SCALE]",
    help="Guidance around it, such as cfg=1.35 or cfg.interval=[0.0,0.7], the same for all points.",
)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Of the samples' noise.")
@click.option("--by", metavar="METRIC", help="What to choose by.  [default: what is fitted, or the first]")
@click.option(
    "--fit",
    metavar="METRIC",
    help="Fit a ladder's weights on samples, to frechet_distance or kid of the protocol.",
)
@click.option("--evaluations", default=60, show_default=True, help="Of the fit, at most.")
@click.option(
    "--write",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="A new TOML file for the protocol with the best guidance.",
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
def guidance(
    ctx: click.Context,
    subject: str,
    settings: tuple[str, ...],
    protocol: str | None,
    out: Path,
    method: str,
    scales: str | None,
    strengths: str | None,
    intervals: str | None,
    after: tuple[int, ...],
    around: tuple[str, ...],
    seeds: int,
    by: str | None,
    fit: str | None,
    evaluations: int,
    write: Path | None,
    reference: str | None,
    device: str,
    devices: str,
    batch_size: int,
    work: Path | None,
    as_json: bool,
) -> None:
    """Scan the scale of a guidance for SUBJECT, a run or a saved network, beside the unguided network.

    All points are evaluated under one protocol, quick unless stated, from the same noise and labels and
    against one reference; KEY=VALUE changes it. The best by the protocol's first number, or --by, is named,
    with a warning where it is at the edge of the scan, and --write writes the protocol with it.

    The same command resumes after an interruption, and one with more scales, intervals, heads or seeds
    computes only what is new.
    """
    from thalweg.storage import redacted
    from thalweg_eval.tuning.folder import REPORT
    from thalweg_eval.tuning.guidance import tune_guidance
    from thalweg_eval.tuning.page import reading, rows
    from thalweg_eval.tuning.points import around_of, method_of

    with ProgressDisplay() as progress:
        found = tune_guidance(
            subject,
            out=out,
            protocol="quick" if protocol is None else protocol,
            method=method_of(method),
            scales=scales,
            strengths=strengths,
            intervals=intervals,
            after=after,
            around=around_of(around),
            seeds=seeds,
            by=by,
            fit=fit,
            evaluations=evaluations,
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
