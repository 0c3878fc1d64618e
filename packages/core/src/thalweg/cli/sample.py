"""``thalweg sample``: samples of a saved network."""

from pathlib import Path
from typing import Any

import click

from thalweg.cli import console, options
from thalweg.cli.local import LocalPath, Place
from thalweg.cli.progress import ProgressDisplay
from thalweg.errors import ConfigError


@click.command("sample")
@click.argument("model", type=Place())
@click.argument("out", type=LocalPath())
@options.settings
@click.option("--labels", metavar="A,B,...", help="Classes to generate.  [default: all]")
@click.option(
    "--prompt",
    "prompts",
    metavar="TEXT",
    multiple=True,
    help="A caption, for networks that read captions; several are taken in turn.  [default: those of the "
    "run's held-out data]",
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
@options.download
@options.device
@options.devices
@options.as_json
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
    device: str,
    devices: str,
    as_json: bool,
) -> None:
    """Generate samples of MODEL, a saved network or a run that holds one, in OUT, which nothing else may be.

    Sampler, guidance, seed, count and batch_size are taken from the run's [sampling], or from what was saved
    with the network; its data set says which autoencoder and which encoder of captions are used. KEY=VALUE
    replaces them: count=64, batch_size=64, seed=0, labels=random, sampler=euler_maruyama, sampler.steps=250,
    guidance=cfg, guidance.scale=1.8, 'guidance=["internal", "cfg"]', guidance=none, autoencoder=sd-vae, or
    text=clip text.weights=PATH where captions were encoded before. With prompts, count is their number. The
    first line of progress says what is used, and where it is from.

    OUT.npz gets images as the ADM evaluator takes them, OUT.tar and a folder with --png one PNG each; any
    other OUT is a folder of samples.safetensors (x in float32, labels, indices), samples.json (how they were
    generated) and, where x has one or three channels, samples.png. Beside images, OUT.json says how; their
    captions are there, and in a .txt beside each PNG.

    Interrupted or killed, the same command resumes; once all samples are there, it says so and does nothing.
    """
    from thalweg.generation.settings import check_sample_settings

    stated: dict[str, Any] = {"precision": precision}
    if prompts:
        stated["prompts"] = [*prompts]
    check_sample_settings(stated, settings)
    classes = _numbers(labels)
    # torch comes in here, once the command is known to be valid.
    from thalweg.generation.captions import read_captions
    from thalweg.generation.generate import generate

    if prompt_file is not None:
        stated["prompts"] = [*prompts, *read_captions(prompt_file)]
    with ProgressDisplay() as progress:
        found = generate(
            model,
            out,
            stated,
            settings=settings,
            classes=classes,
            first=start,
            pngs=pngs,
            devices=devices,
            device=device,
            progress=progress,
            say=console.say,
        )
    if as_json:
        console.result_json({"out": str(out), **found})
        return
    cost = f"{found['nfe']:.4g} NFE each, {found['seconds']:.1f} s"
    console.result(f"{out}: {found['sampling']['count']} samples, {cost}")


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"--labels {text!r} is no list of integers such as 0,3,7") from None
