"""``thalweg sample``: draw samples of a saved network."""

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from thalweg.cli import console
from thalweg.config import SamplingConfig, apply_override, dump, structure
from thalweg.errors import ConfigError, ThalwegError

if TYPE_CHECKING:
    from thalweg.sampling import Samples, SamplingPrecision

TENSORS, SETTINGS, PICTURE = "samples.safetensors", "samples.json", "samples.png"
_MOST_SHOWN = 100


@click.command("sample")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--labels", metavar="A,B,...", help="Classes to draw in turn.  [default: all]")
@click.option("--start", default=0, show_default=True, help="Index of the first sample of the seed.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "32-true", "bf16-mixed"]),
    default="auto",
    show_default=True,
    help="Of the network's evaluations.",
)
@click.option("--device", default="cpu", show_default=True, help="Where the network runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: Path,
    out: Path,
    overrides: tuple[str, ...],
    labels: str | None,
    start: int,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Draw samples of MODEL, a saved network or a run that holds one, into the new folder OUT.

    KEY=VALUE changes how: count=64, batch_size=64, seed=0, sampler=euler_maruyama,
    sampler.steps=250, guidance=cfg, guidance.scale=1.8, 'guidance.interval=[0.0, 0.7]'.

    OUT gets samples.safetensors (x in float32, labels, indices), samples.json (how they were drawn) and,
    where x has one or three channels, samples.png.
    """
    config = _config(overrides)
    if out.exists():
        raise ConfigError(f"{out} exists; choose a folder that does not")
    _check_writable(out)
    classes = _numbers(labels)
    # torch comes in here, once the command is known to be valid.
    from thalweg.importing import load
    from thalweg.sampling import sample

    network = load(model)
    if classes is None and network.facts.classes is not None:
        classes = list(range(network.facts.classes))
    chosen = None if classes is None else [classes[row % len(classes)] for row in range(config.count)]
    drawn = sample(
        network,
        labels=chosen,
        indices=range(start, start + config.count),
        sampler=config.sampler,
        guidance=config.guidance,
        seed=config.seed,
        batch_size=config.batch_size,
        device=_device(device),
        precision=cast("SamplingPrecision", precision),
        progress=lambda done, total: console.say(f"{done} of {total} samples"),
    )
    facts = {
        "model": str(model),
        "sampling": dump(config),
        "start": start,
        "precision": drawn.precision,
        "evaluations": drawn.evaluations,
        "seconds": round(drawn.seconds, 3),
    }
    _write(out, drawn, chosen, start, facts)
    if as_json:
        console.result_json({"out": str(out), **facts})
        return
    console.result(
        f"{out}: {config.count} samples, {drawn.evaluations:.4g} evaluations each, {drawn.seconds:.1f} s"
    )


def _check_writable(out: Path) -> None:
    """Found out before hours of drawing, not after them."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise ThalwegError(
            f"cannot write {out}: {error.strerror or error}; choose a place open to writing"
        ) from error


def _config(overrides: tuple[str, ...]) -> SamplingConfig:
    data: dict[str, Any] = {}
    for item in overrides:
        apply_override(data, item)
    return structure(SamplingConfig, data)


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"--labels {text!r} is no list of integers such as 0,3,7") from None


def _device(name: str) -> str:
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"--device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return name


def _write(out: Path, drawn: "Samples", labels: list[int] | None, start: int, facts: dict[str, Any]) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {"x": drawn.x, "indices": torch.arange(start, start + len(drawn.x))}
    if labels is not None:
        tensors["labels"] = torch.tensor(labels)
    try:
        # Nothing half written is ever visible: the folder takes its name when it is complete.
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            folder = Path(scratch) / out.name
            folder.mkdir()
            save_file(tensors, folder / TENSORS)
            (folder / SETTINGS).write_text(json.dumps(facts, indent=2) + "\n")
            if drawn.x.shape[1] in (1, 3):
                _draw(drawn, labels, folder / PICTURE)
            folder.rename(out)
    except OSError as error:
        raise ThalwegError(
            f"cannot write {out}: {error.strerror or error}; choose a place open to writing"
        ) from error


def _draw(drawn: "Samples", labels: list[int] | None, path: Path) -> None:
    from thalweg.data.grid import enlargement, grid, save_png
    from thalweg.data.pixels import to_images

    images = to_images(drawn.x[:_MOST_SHOWN])
    kinds = len(set(labels)) if labels is not None else 0
    columns = kinds if 1 < kinds <= 16 else math.ceil(math.sqrt(len(images)))
    save_png(grid(images, columns, enlargement(images)), path)
