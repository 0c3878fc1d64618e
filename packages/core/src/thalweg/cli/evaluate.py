"""``thalweg evaluate``: numbers of a network's samples, or of images, with a passport."""

import sys
from pathlib import Path
from typing import Any

import click

from thalweg.cli import console
from thalweg.cli.local import LocalPath, Place
from thalweg.visible import columns


@click.command("evaluate")
@click.argument("subject", type=Place())
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--reference", type=Place(), help="What samples are compared with.  [default: what the protocol says]"
)
@click.option("--metrics", metavar="A,B,...", help="Which, such as fid,sfid,is or frechet_distance@lite0.")
@click.option("--extractor", metavar="NAME", help="Whose features metrics read.  [default: inception]")
@click.option("--protocol", metavar="NAME|FILE", help="Settings under a name, such as quick or adm-50k.")
@click.option(
    "--axis",
    "axes",
    multiple=True,
    metavar="KEY=A,B,...",
    help="A key of sampling whose values are judged side by side; several axes multiply.",
)
@click.option(
    "--out", type=LocalPath(), help="Where to write the passport, a JSON file; with --axis, a folder of them."
)
@click.option(
    "--save-reference",
    type=LocalPath(),
    help="Where to write the reference's statistics, a .safetensors file.",
)
@click.option("--devices", default=1, show_default=True, help="How many processes share the work.")
@click.option("--device", default="auto", show_default=True, help="Where networks run.")
@click.option("--batch-size", default=64, show_default=True, help="Images at a time.")
@click.option(
    "--work",
    type=LocalPath(instead="unfinished work stays here; name a folder"),
    help="Folder for unfinished work and reference statistics.  [default: in the cache]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the passport.")
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
    devices: int,
    device: str,
    batch_size: int,
    work: Path | None,
    as_json: bool,
) -> None:
    """Judge SUBJECT: a run or saved network, a folder or tar of images, or an .npz.

    The reference is images in any of these forms, a recipe or a run for its training data (RECIPE:validation
    for the others), statistics that --save-reference wrote, or an .npz with mu and sigma.

    KEY=VALUE changes settings: count=10000, sampling.sampler.steps=50, sampling.guidance=cfg, crop=256. A
    sampler, guidance or seed that neither these nor the protocol state are those of the run.

    --axis sampling.guidance.scale=1.0,1.5,2.0 judges a network once for each value, all from the same noise
    and labels and against one reference, and prints the numbers side by side, the best marked by *.

    Interrupted, the same command goes on.
    """
    from thalweg.ablation.grid import cells_of
    from thalweg.evaluation.passport import Passport
    from thalweg.evaluation.run import evaluate

    with Counter() as progress:
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
        (name, f"{number['value']:.6g}", str(number["features"])) for name, number in found.numbers.items()
    ]
    console.result(columns(rows, ("number", "value", "features")))


class Counter:
    """Says on stderr how far it is: on a terminal in one line, elsewhere at every tenth."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._open = False
        self._said: dict[str, int] = {}

    def __enter__(self) -> "Counter":
        return self

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take how far it is."""
        if self._terminal:
            click.echo(f"\r{what}: {done:,} of {total:,}", err=True, nl=done == total)
            self._open = done < total
        elif done * 10 // total > self._said.get(what, -1):
            self._said[what] = done * 10 // total
            console.say(f"{what}: {done:,} of {total:,}")

    def __exit__(self, *_: Any) -> None:
        if self._open:
            click.echo(err=True)
