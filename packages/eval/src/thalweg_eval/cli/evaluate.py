"""``thalweg evaluate``: numbers of a network's samples, or of images, with a passport."""

from pathlib import Path

import click

from thalweg.cli import console, options
from thalweg.cli.local import LocalPath, Place
from thalweg.cli.progress import ProgressDisplay
from thalweg.visible import columns

WORK = click.option(
    "--work",
    type=LocalPath(instead="unfinished work stays here; name a folder"),
    help="Folder for unfinished work and reference statistics.  [default: in the cache]",
)


@click.command("evaluate")
@click.argument("subject", type=Place())
@options.settings
@click.option(
    "--reference", type=Place(), help="What samples are compared with.  [default: what the protocol says]"
)
@click.option("--metrics", metavar="A,B,...", help="Which, such as fid,sfid,is or frechet_distance@lite0.")
@click.option("--extractor", metavar="NAME", help="Whose features metrics take.  [default: inception]")
@options.protocol
@options.axis
@options.out("a passport in JSON, or with --axis a folder of them")
@click.option(
    "--save-reference",
    type=LocalPath(),
    help="Where to write the reference's statistics, a .safetensors file.",
)
@options.download
@options.device
@options.devices
@options.batch_size(64)
@WORK
@options.as_json
def command(
    subject: str,
    settings: tuple[str, ...],
    reference: str | None,
    metrics: str | None,
    extractor: str | None,
    protocol: str | None,
    axes: tuple[str, ...],
    out: Path | None,
    save_reference: Path | None,
    device: str,
    devices: str,
    batch_size: int,
    work: Path | None,
    as_json: bool,
) -> None:
    """Compute metrics of SUBJECT: a run or saved network, a folder or tar of images, or an .npz.

    The reference is images in any of these forms, a recipe or a run for its training data (RECIPE:validation
    for the others), statistics that --save-reference wrote, or an .npz with mu and sigma.

    KEY=VALUE changes settings: count=10000, sampling.sampler.steps=50, sampling.guidance=cfg, crop=256. What
    they do not state is the protocol's. A sampler, guidance or seed that neither states is taken from the
    run's [sampling], or from what was saved with the network, and the data set from the run; count never is.
    The first line of progress says what is used, and where it is from.

    --axis sampling.guidance.scale=1.0,1.5,2.0 evaluates a network once for each value, all from the same
    noise and labels and against one reference, and prints the numbers side by side, the best marked by *.

    Interrupted or killed, the same command resumes.
    """
    from thalweg.passport import Passport
    from thalweg_eval.ablation.axes import cells_of
    from thalweg_eval.evaluation.evaluate import evaluate

    with ProgressDisplay() as progress:
        found = evaluate(
            subject,
            compare={cell.name: cell.overrides for cell in cells_of(axes)} if axes else None,
            reference=reference,
            metrics=[] if metrics is None else [name.strip() for name in metrics.split(",")],
            extractor=extractor,
            protocol=protocol,
            settings=settings,
            out=out,
            save_reference=save_reference,
            devices=devices,
            device=device,
            batch_size=batch_size,
            work=work,
            progress=progress,
            say=console.say,
        )
    if not isinstance(found, Passport):
        plain = {name: passport.plain() for name, passport in found.items()}
        console.result_json(plain) if as_json else console.result(found.table)
        return
    if as_json:
        console.result_json(found.plain())
        return
    rows = [
        (name, f"{number['value']:.6g}", str(number["extractor"])) for name, number in found.numbers.items()
    ]
    console.result(columns(rows, ("number", "value", "extractor")))
