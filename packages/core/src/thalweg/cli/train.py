"""``thalweg train``: train what a recipe states."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any, Literal

import click

from thalweg.cli import console
from thalweg.cli.local import Place
from thalweg.errors import INTERRUPTED, PREEMPTED, ConfigError, DivergenceError, ThalwegError
from thalweg.plugins.recording import FILES_KEY
from thalweg.training.start_up import StartUp, Stopped, exit_code


@click.command("train")
@click.argument("recipe", type=Place())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
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
    help="Go on with the run in the folder, or refuse to.",
)
@click.option(
    "--accept-changed-data",
    is_flag=True,
    help="Go on though the data are not what the run was trained on so far.",
)
@click.option(
    "--accept-changed-files",
    is_flag=True,
    help="Go on though plugin files are not those that the run was trained with so far.",
)
@click.option("--accelerator", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
@click.option(
    "--devices", default="auto", show_default=True, help="How many processes train together on a machine."
)
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="How many machines.")
@click.option(
    "--strategy",
    default="auto",
    show_default=True,
    help="ddp: each process holds the network; fsdp: it is shared out over all; auto: ddp for several.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds after which a process gives the others up.",
)
@click.option("--dry-run", is_flag=True, help="Try everything but training, and leave nothing behind.")
@click.option("--quiet", is_flag=True, help="No progress, only warnings.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    recipe: str,
    overrides: tuple[str, ...],
    **options: Any,
) -> None:
    """Train what RECIPE states, keys changed by KEY=VALUE.

    The same command goes on with a run that was interrupted or pre-empted (exit codes 130 and 75).
    """

    def stopped(number: int) -> str:
        # A worker says nothing: whoever started it does.
        return "" if _follows() else f"{_how(number)} before training began; to go on: {_again(ctx)}"

    start_up = StartUp(stopped, last=_is_own_process(ctx))
    try:
        start_up.hold()
        _train(ctx, recipe, overrides, **options)
    except Stopped:
        sentence = stopped(start_up.number)
        if sentence:
            console.say(sentence)
        ctx.exit(exit_code(start_up.number))
    finally:
        start_up.release()


def _train(
    ctx: click.Context,
    recipe: str,
    overrides: tuple[str, ...],
    *,
    run_dir: str | None,
    resume: str,
    accept_changed_data: bool,
    accept_changed_files: bool,
    accelerator: str,
    devices: str,
    nodes: int,
    strategy: str,
    timeout: float,
    dry_run: bool,
    quiet: bool,
) -> None:
    from thalweg.config import load_config

    # Read by torch when it is imported: processes that do not meet are told of in one sentence of ours.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    try:
        config = load_config(recipe, overrides)
    except ConfigError:
        if not _knows_files(recipe, run_dir):
            raise
        config = load_config(recipe, overrides)  # which names the file that is missing
    # torch comes in here, once the recipe is known to be valid.
    from thalweg.training.dry_run import dry_run as tried
    from thalweg.training.fabric import is_first_process
    from thalweg.training.loop import Trainer
    from thalweg.training.outlook import outlook, shown
    from thalweg.training.reading import UnreadableError
    from thalweg.training.workers import RefusedError

    folder = Path("runs") / config.name if run_dir is None else run_dir
    going_on: Literal["auto", "never"] = "never" if resume == "never" else "auto"
    rank = None
    try:
        if dry_run:
            lines = tried(
                config,
                folder,
                resume=going_on,
                accept_changed_data=accept_changed_data,
                accept_changed_files=accept_changed_files,
                accelerator=accelerator,
                devices=devices,
                nodes=nodes,
                strategy=strategy,
            )
            if is_first_process():
                console.result(shown(lines))
            return
        trainer = Trainer(
            config,
            folder,
            accelerator=accelerator,
            devices=devices,
            nodes=nodes,
            strategy=strategy,
            timeout=timeout,
            quiet=quiet,
        )
        if trainer.leads and not quiet:
            console.say_lines(shown(outlook(trainer)))
        rank = trainer.rank
        result = trainer.train(
            going_on, accept_changed_data=accept_changed_data, accept_changed_files=accept_changed_files
        )
    except ThalwegError as error:
        if is_first_process():
            raise
        # What all processes find, the first one says for all.
        if rank is not None and not isinstance(error, DivergenceError | RefusedError | UnreadableError):
            console.fail(f"process {rank}: {error}")
        ctx.exit(error.exit_code)
    if result.interrupted:
        if result.leads:
            how = "pre-empted" if result.preempted else "interrupted"
            console.say(f"{how} and saved at step {result.step}; to go on: {_again(ctx)}")
        ctx.exit(PREEMPTED if result.preempted else INTERRUPTED)
    if result.leads:
        console.result(f"{trainer.run.where}/model")


def _knows_files(recipe: str, run_dir: str | None) -> bool:
    """Whether there is a run already, which says what plugin files it needs."""
    from thalweg.config import CONFIG, read_recorded
    from thalweg.config.files import read_recipe

    try:
        folder = Path("runs") / str(read_recipe(recipe)["name"]) if run_dir is None else Path(run_dir)
        return FILES_KEY in read_recorded(folder / CONFIG)
    except (OSError, ThalwegError):
        return False


def _is_own_process(ctx: click.Context) -> bool:
    """Whether the command is all that this process does, and not one call of a program's."""
    return list(getattr(ctx.find_root().obj, "arguments", ())) == sys.argv[1:]


def _how(number: int) -> str:
    return "interrupted" if exit_code(number) == INTERRUPTED else "pre-empted"


def _follows() -> bool:
    """Whether another process of this run speaks for all; known before torch is imported."""
    ranks = [os.environ[name] for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK") if name in os.environ]
    return bool(ranks) and ranks[0] != "0"


def _again(ctx: click.Context) -> str:
    """The command that goes on: the same one, without an option that refuses to."""
    given = shlex.join(ctx.find_root().obj.arguments)
    return "thalweg " + given.replace(" --resume never", "").replace(" --resume=never", "")
