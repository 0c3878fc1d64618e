"""What commands that train have in common: signals, who speaks for all processes, and how a run ends."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from thalweg.cli import console
from thalweg.errors import INTERRUPTED, PREEMPTED, DivergenceError, ThalwegError
from thalweg.training.launch.signals import StartUp, Stopped, exit_code

if TYPE_CHECKING:
    from thalweg.training.trainer import Trainer


def held(ctx: click.Context, task: Callable[[], None]) -> None:
    """Do the task; a signal before the run takes signals itself ends the command in one sentence."""

    def stopped(number: int) -> str:
        # A worker says nothing: whoever started it does.
        return "" if _follows() else f"{_how(number)} before training began; to resume: {_again(ctx)}"

    start_up = StartUp(stopped, last=_is_own_process(ctx))
    try:
        start_up.hold()
        # Read by torch when it is imported: processes that do not meet are reported in one sentence of ours.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
        task()
    except Stopped:
        sentence = stopped(start_up.number)
        if sentence:
            console.say(sentence)
        ctx.exit(exit_code(start_up.number))
    finally:
        start_up.release()


def trained(ctx: click.Context, made: Callable[[], "Trainer"], *, quiet: bool, **how: Any) -> "Trainer":
    """Train a run to its end, which is printed; the command ends here if the run does not reach it.

    Args:
        ctx: of the command.
        made: makes the run.
        quiet: no summary.
        how: as of :meth:`thalweg.Trainer.train`.
    """
    from thalweg.training.preflight import as_text, run_summary

    with told_by_the_first(ctx) as known:
        trainer = made()
        if trainer.leads and not quiet:
            console.say_lines(as_text(run_summary(trainer)))
        known.append(trainer.rank)
        result = trainer.train(**how)
    if result.interrupted:
        if result.leads:
            kind = "pre-empted" if result.preempted else "interrupted"
            console.say(f"{kind} and saved at step {result.step}; to resume: {_again(ctx)}")
        ctx.exit(PREEMPTED if result.preempted else INTERRUPTED)
    if result.leads:
        console.result(f"{trainer.run.where}/model")
    return trainer


@contextmanager
def told_by_the_first(ctx: click.Context) -> Iterator[list[int]]:
    """Inside, what all processes find the first one says for all; the others leave with its exit code.

    The list takes the number of this process, once it is known.
    """
    from thalweg.training.batches import UnreadableError
    from thalweg.training.launch.fabric import is_first_process
    from thalweg.training.launch.workers import RefusedError

    ranks: list[int] = []
    try:
        yield ranks
    except ThalwegError as error:
        if is_first_process():
            raise
        if ranks and not isinstance(error, DivergenceError | RefusedError | UnreadableError):
            console.fail(f"process {ranks[0]}: {error}")
        ctx.exit(error.exit_code)


def program_of(ctx: click.Context) -> list[str]:
    """The words before the command's name, as they were typed."""
    given = list(ctx.find_root().obj.arguments)
    return ["thalweg", *given[: given.index(str(ctx.info_name))]]


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
    """The command that resumes: the same one, without an option that refuses to."""
    given = shlex.join(ctx.find_root().obj.arguments)
    return "thalweg " + given.replace(" --resume never", "").replace(" --resume=never", "")
