"""``thalweg train``: train what a recipe states."""

import shlex
from pathlib import Path
from typing import Any, Literal, cast

import click

from thalweg.cli import console, options
from thalweg.cli.local import Place
from thalweg.cli.training_runs import held, program_of, told_by_the_first, trained
from thalweg.errors import ConfigError, ThalwegError
from thalweg.plugins.recording import FILES_KEY


@click.command("train")
@options.recipe
@options.overrides
@click.option(
    "--run-dir",
    type=Place(),
    help="Folder of the run, a path or a URL.  [default: runs/NAME of the recipe]",
)
@click.option(
    "--resume",
    type=click.Choice(["auto", "never"]),
    default="auto",
    show_default=True,
    help="Resume the run in the folder, or refuse to.",
)
@options.accept_changed_data
@options.accept_changed_files
@options.download
@options.device
@options.devices
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="How many machines.")
@click.option(
    "--strategy",
    default="auto",
    show_default=True,
    help="ddp: each process holds the network; fsdp: it is sharded over all; auto: ddp for several.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds until a collective operation of the processes times out.",
)
@options.dry_run
@click.option("--quiet", is_flag=True, help="No progress, only warnings.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    recipe: str,
    overrides: tuple[str, ...],
    **others: Any,
) -> None:
    """Train what RECIPE states, keys changed by KEY=VALUE.

    The same command resumes a run that was interrupted or pre-empted (exit codes 130 and 75).
    """
    held(ctx, lambda: _train(ctx, recipe, overrides, **others))


def _train(
    ctx: click.Context,
    recipe: str,
    overrides: tuple[str, ...],
    *,
    run_dir: str | None,
    resume: str,
    accept_changed_data: bool,
    accept_changed_files: bool,
    device: str,
    devices: str,
    nodes: int,
    strategy: str,
    timeout: float,
    dry_run: bool,
    quiet: bool,
) -> None:
    from thalweg.config import load_config

    try:
        config = load_config(recipe, overrides)
    except ConfigError:
        if not _knows_files(recipe, run_dir):
            raise
        config = load_config(recipe, overrides)  # which names the file that is missing
    # torch comes in here, once the recipe is known to be valid.
    from thalweg.training.launch.fabric import is_first_process
    from thalweg.training.preflight import as_text
    from thalweg.training.preflight import dry_run as tried
    from thalweg.training.trainer import Trainer

    folder = Path("runs") / config.name if run_dir is None else run_dir
    resuming: Literal["auto", "never"] = "never" if resume == "never" else "auto"
    if dry_run:
        with told_by_the_first(ctx):
            lines = tried(
                config,
                folder,
                resume=resuming,
                accept_changed_data=accept_changed_data,
                accept_changed_files=accept_changed_files,
                accelerator=device,
                devices=devices,
                nodes=nodes,
                strategy=strategy,
            )
            if is_first_process():
                console.result(as_text(lines))
        return
    trainer = trained(
        ctx,
        lambda: Trainer(
            config,
            folder,
            accelerator=device,
            devices=devices,
            nodes=nodes,
            strategy=strategy,
            timeout=timeout,
            quiet=quiet,
        ),
        quiet=quiet,
        resume=resuming,
        accept_changed_data=accept_changed_data,
        accept_changed_files=accept_changed_files,
    )
    if trainer.leads and not quiet:
        console.say(f"next: {_next(ctx, trainer.run.where, config)}")


def _next(ctx: click.Context, run: str, config: Any) -> str:
    """What is usually done with a trained network, as it is typed."""
    program = program_of(ctx)
    name = run.partition("?")[0].rstrip("/").rpartition("/")[2]
    commands = [[*program, "sample", run, f"samples/{name}"]]
    facts = config.data.facts
    # The protocol looks at images and their classes.
    pictures = len(facts.shape) == 3 and facts.shape[0] in (1, 3) and facts.classes is not None
    root = ctx.find_root()
    if pictures and "evaluate" in cast(click.Group, root.command).list_commands(root):
        commands.append([*program, "evaluate", run, "--protocol", "quick"])
    return ", or ".join(map(shlex.join, commands))


def _knows_files(recipe: str, run_dir: str | None) -> bool:
    """Whether there is a run already, which says what plugin files it needs."""
    from thalweg.config import CONFIG, read_recorded
    from thalweg.config.recipes import read_recipe

    try:
        folder = Path("runs") / str(read_recipe(recipe).data["name"]) if run_dir is None else Path(run_dir)
        return FILES_KEY in read_recorded(folder / CONFIG)
    except (OSError, ThalwegError):
        return False
