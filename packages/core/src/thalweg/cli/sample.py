"""``thalweg sample``: draw samples of a saved network."""

from pathlib import Path
from typing import Any

import click

from thalweg.cli import console
from thalweg.cli.local import LocalPath, Place
from thalweg.errors import ConfigError


@click.command("sample")
@click.argument("model", type=Place())
@click.argument("out", type=LocalPath())
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--labels", metavar="A,B,...", help="Classes to draw.  [default: all]")
@click.option(
    "--prompt",
    "prompts",
    metavar="TEXT",
    multiple=True,
    help="A caption to draw for, of networks that read captions; several are drawn in turn.  [default: those "
    "of the run's held-out data]",
)
@click.option(
    "--prompt-file",
    metavar="PATH",
    type=Place(),
    help="More of them: a text of one a line, or .json as MS-COCO has captions, the first of each image.",
)
@click.option("--start", default=0, show_default=True, help="Index of the first sample of the seed.")
@click.option("--png", "pngs", is_flag=True, help="OUT gets a PNG for each sample.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "32-true", "bf16-mixed"]),
    default="auto",
    show_default=True,
    help="Of the network's evaluations.",
)
@click.option("--devices", default=1, show_default=True, help="How many processes share the work.")
@click.option("--device", default="auto", show_default=True, help="Where the network runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str,
    out: Path,
    settings: tuple[str, ...],
    labels: str | None,
    prompts: tuple[str, ...],
    prompt_file: str | None,
    start: int,
    pngs: bool,
    precision: str,
    devices: int,
    device: str,
    as_json: bool,
) -> None:
    """Draw samples of MODEL, a saved network or a run that holds one, into OUT, which nothing else may be.

    Sampler, guidance, seed, count and batch_size are those of the run, or of the saved network; KEY=VALUE
    changes them: count=64, batch_size=64, seed=0, labels=random, sampler=euler_maruyama, sampler.steps=250,
    guidance=cfg, guidance.scale=1.8, 'guidance=["internal", "cfg"]', guidance=none, autoencoder=sd-vae. With
    prompts, count is their number by default. The run says which encoder reads them; for one trained on
    captions that were encoded before, text=clip text.weights=PATH does.

    OUT.npz gets images as the ADM evaluator takes them, OUT.tar and a folder with --png one PNG each; any
    other OUT is a folder of samples.safetensors (x in float32, labels, indices), samples.json (how they were
    drawn) and, where x has one or three channels, samples.png. Beside images, OUT.json says how; their
    captions are there, and in a .txt beside each PNG.

    Interrupted, the same command goes on; once all is drawn, it says so and does nothing.
    """
    from thalweg.evaluation.sample_settings import check_sample_settings

    stated: dict[str, Any] = {"precision": precision}
    if prompts:
        stated["prompts"] = [*prompts]
    check_sample_settings(stated, settings)
    classes = _numbers(labels)
    # torch comes in here, once the command is known to be valid.
    from thalweg.evaluation.captions import read_captions
    from thalweg.evaluation.drawn import draw

    if prompt_file is not None:
        stated["prompts"] = [*prompts, *read_captions(prompt_file)]
    drawn = draw(
        model,
        out,
        stated,
        settings=settings,
        classes=classes,
        first=start,
        pngs=pngs,
        devices=devices,
        device=device,
        progress=lambda done, total: console.say(f"{done} of {total} samples"),
        say=console.say,
    )
    if as_json:
        console.result_json({"out": str(out), **drawn})
        return
    cost = f"{drawn['evaluations']:.4g} evaluations each, {drawn['seconds']:.1f} s"
    console.result(f"{out}: {drawn['sampling']['count']} samples, {cost}")


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"--labels {text!r} is no list of integers such as 0,3,7") from None
