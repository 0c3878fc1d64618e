"""``thalweg train``: train what a recipe states."""

import math
import shlex
from pathlib import Path
from typing import Any

import click

from thalweg.cli import console
from thalweg.errors import ThalwegError

_INTERRUPTED = 130


@click.command("train")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    help="Folder of the run.  [default: runs/NAME of the recipe]",
)
@click.option(
    "--resume",
    type=click.Choice(["auto", "never"]),
    default="auto",
    show_default=True,
    help="Go on with the run in the folder, or refuse to.",
)
@click.option("--accelerator", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--devices", default="auto", show_default=True, help="How many processes train together.")
@click.option("--strategy", default="auto", show_default=True, help="How they do, such as ddp.")
@click.option("--quiet", is_flag=True, help="No progress, only warnings.")
@click.pass_context
def command(
    ctx: click.Context,
    recipe: Path,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    resume: str,
    accelerator: str,
    devices: str,
    strategy: str,
    quiet: bool,
) -> None:
    """Train what RECIPE states, keys changed by KEY=VALUE.

    The same command goes on with a run that was interrupted.
    """
    from thalweg.config import load_config
    from thalweg.training.loop import Trainer

    config = load_config(recipe, overrides)
    folder = Path("runs") / config.name if run_dir is None else run_dir
    trainer = Trainer(
        config, folder, accelerator=accelerator, devices=devices, strategy=strategy, quiet=quiet
    )
    if trainer.leads and not quiet:
        console.say(_summary(trainer, folder))
    try:
        result = trainer.train("never" if resume == "never" else "auto")
    except ThalwegError:
        if not trainer.leads:  # the first process says it for all
            ctx.exit(1)
        raise
    if not result.leads:
        return
    if result.interrupted:
        console.say(f"interrupted and saved at step {result.step}; to go on: {_again(ctx)}")
        ctx.exit(_INTERRUPTED)
    console.result(str(result.model))


def _again(ctx: click.Context) -> str:
    """The command that goes on: the same one, without an option that refuses to."""
    given = shlex.join(ctx.find_root().obj.arguments)
    return "thalweg " + given.replace(" --resume never", "").replace(" --resume=never", "")


def _summary(trainer: Any, folder: Path) -> str:
    """What is about to be trained, of a :class:`thalweg.training.loop.Trainer` (which imports torch)."""
    config, network = trainer.config, trainer.parts.network
    training, samples = config.training, len(trainer.parts.dataset.train)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    epochs = training.steps * training.batch_size / samples
    length = f"{training.steps:,} steps of {training.batch_size} samples"
    lines = {
        "run": f"{config.name} in {folder}",
        "network": f"{parameters:,} parameters, {network.branches} "
        + ("branch" if network.branches == 1 else "branches"),
        "data": f"{samples:,} samples of shape {'x'.join(map(str, network.facts.shape))}",
        "length": f"{length}, {epochs:.{_digits(epochs)}f} epochs",
        "devices": f"{trainer.devices}, precision {training.precision}, "
        + ("compiled" if trainer.compiled else "not compiled"),
    }
    return "\n".join(f"{name + ':':<9}{text}" for name, text in lines.items())


def _digits(number: float) -> int:
    return max(0, 1 - math.floor(math.log10(number))) if number < 10 else 0
