"""``thalweg``: its commands, its options, and how errors become exit codes.

0 fine, 1 failed, 2 usage or configuration, 3 plugin, 4 data or checkpoint, 75 pre-empted and resumable,
130 Ctrl-C. A command ends with another code than 0 by raising, or by
``ctx.exit(code)``.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext

import attrs
import click

from thalweg.cli import console, starting, streams
from thalweg.cli.groups import LazyGroup
from thalweg.errors import INTERRUPTED, PREEMPTED, ThalwegError
from thalweg.plugins import block, registry, use_file
from thalweg.plugins.process import for_one_command
from thalweg.storage.registration import register_secrets
from thalweg.suggestions import one_line

COMMANDS = {
    "data": (
        "thalweg.cli.data:command",
        "Look into images or shards, check them, or measure their channels.",
    ),
    "train": ("thalweg.cli.train:command", "Train the network of a recipe, or resume its training."),
    "fit-head": (
        "thalweg.cli.fit_head:command",
        "Fit intermediate heads of a trained network, which stays as it is.",
    ),
    "sample": ("thalweg.cli.sample:command", "Draw samples from a trained network."),
    "summary": ("thalweg.cli.summary:command", "Parameters, computation and memory of a recipe's network."),
    "push": ("thalweg.cli.push:command", "Push a saved network, with its card, to the Hugging Face Hub."),
    "weights": ("thalweg.cli.weights:command", "List, fetch or find published weights."),
    "config": ("thalweg.cli.config:command", "Show or validate a recipe."),
    "plugins": ("thalweg.cli.plugins:command", "List components, who brought them and what they take."),
    "completion": ("thalweg.cli.completion:command", "Print the script that lets a shell complete commands."),
}


@attrs.define
class _Invocation:
    arguments: Sequence[str] = ()
    alone: bool = False
    debug: bool = False


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.ensure_object(_Invocation).debug = value


def _plugins(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> None:
    blocked = [value.removeprefix("no:") for value in values if value.startswith("no:")]
    named = [value for value in values if not value.startswith("no:")]
    for value in values:
        if value == "no:" or (value in named and not value.endswith(".py")):
            raise click.BadParameter(f"'{value}' is neither FILE.py nor no:NAME")
    block(*blocked)
    # A shell that completes a line runs nothing of it.
    if not ctx.resilient_parsing:
        for value in named:
            use_file(value)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from thalweg import __version__

        console.result(f"thalweg {__version__}")
        ctx.exit()


@click.group(
    "thalweg", cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--debug", is_flag=True, is_eager=True, expose_value=False, callback=_debug, help="Show tracebacks."
)
@click.option(
    "-p",
    metavar="FILE.py|no:NAME",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_plugins,
    help="Load a file as a plugin, or leave out the plugin NAME; may be repeated.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Compose, train, sample and report flow-based generative models."""
    asks_for_help = {"-h", "--help"} & set(ctx.ensure_object(_Invocation).arguments)
    # The command `plugins` prints the faults itself.
    if not asks_for_help and ctx.invoked_subcommand != "plugins":
        for fault in registry().faults:
            if not fault.deliberate:
                console.warn(str(fault))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        the exit code.
    """
    alone = arguments is None
    leaving = alone and starting.is_program()
    if leaving:
        streams.speak_utf_8()
    if alone:
        streams.prepare()
    # Read by torch when it is imported: large tensors in huge pages, a tenth faster on Linux processors.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    state = _Invocation(sys.argv[1:] if arguments is None else list(arguments), alone)
    register_secrets(state.arguments, os.environ)
    mine = starting.hold(state.arguments, alone=alone)
    if leaving:
        starting.heed_lost()
    try:
        with console.logged(), nullcontext() if alone else for_one_command():
            try:
                starting.caught()
                code = _ended(state)
                if leaving:  # within, so that a signal until then is caught
                    starting.leave(code)
            except KeyboardInterrupt as stop:
                code = _stopped(stop, state)
                if leaving:
                    starting.leave(code)
    finally:
        if mine and not leaving:
            starting.release()
    return code


def _ended(state: _Invocation) -> int:
    try:
        return _run(state)
    except Exception as error:
        return _failed(error, state)


def _run(state: _Invocation) -> int:
    try:
        if state.alone:
            streams.check()
        outcome = cli.main(list(state.arguments), "thalweg", standalone_mode=False, obj=state)
        # What cannot be written shows here and not while the interpreter ends.
        console.flush()
    except click.Abort as stop:
        # What click makes of Ctrl-C, and of a signal that is handled like it.
        return _stopped(stop.__cause__ or stop, state)
    except SystemExit as end:
        # What click makes of a broken pipe, and what a command may do itself.
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    # click hands back the code of ctx.exit, or whatever the command returned.
    return outcome if type(outcome) is int else 0


def _stopped(stop: BaseException, state: _Invocation) -> int:
    if isinstance(stop, starting.PreemptedError):
        console.say(str(stop))
        return PREEMPTED
    if starting.resumes(state.arguments):
        console.say("interrupted; the same command resumes")
    return INTERRUPTED


def _failed(error: Exception, state: _Invocation) -> int:
    if state.debug:
        console.say_lines("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, click.ClickException):
        return _usage(error)
    unread = isinstance(error, streams.OutputLostError) and error.reader_gone
    if unread and not starting.resumes(state.arguments):
        return 1  # of a list that goes to `head`, nothing is missed
    if isinstance(error, ThalwegError):
        console.fail(str(error))
        return error.exit_code
    hint = "" if state.debug else "; 'thalweg --debug ...' shows the traceback"
    console.fail(f"unexpected {one_line(error)}{hint}")
    return 1


def _usage(error: click.ClickException) -> int:
    before = isinstance(error, click.NoSuchOption) and error.option_name == "-p"
    cure = "; plugins are named before the command, as in 'thalweg -p FILE.py train'" if before else ""
    console.fail(f"{error.format_message().removesuffix('.')}{cure}" if before else error.format_message())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        console.say(f"'{error.ctx.command_path} --help' shows what it takes")
    return 2
