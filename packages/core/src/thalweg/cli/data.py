"""``thalweg data``: what lies at a path or URL, and whether it is whole."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from thalweg.cli import console
from thalweg.cli.encode import storage_options
from thalweg.cli.groups import Group
from thalweg.cli.local import Place
from thalweg.visible import visible_line

_DAMAGED = 4
_SHOWN = 20  # of a list; --json has all
_SECONDS = 5.0  # between two lines of progress

F = TypeVar("F", bound=Callable[..., Any])


@click.group("data", cls=Group)
def command() -> None:
    """Look into images or shards at a path or URL, or check every byte of them."""


def _options(function: F) -> F:
    """What both commands take."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--storage-option",
            "storage",
            metavar="KEY=VALUE",
            multiple=True,
            help="An option of the storage.",
        ),
        click.argument("url", type=Place()),
    ):
        function = decorate(function)
    return function


@command.command("inspect")
@_options
def inspect(url: str, storage: tuple[str, ...], as_json: bool) -> None:
    """Show which shards or images lie at URL.

    Of shards the index is read, of images the listing and the first of them.
    """
    from thalweg.data.inspection import inspect as look
    from thalweg.data.words import UNCONDITIONAL

    found = look(url, storage_options(storage))
    if as_json:
        console.result_json(found)
        return
    # That there are no labels is worth a line; whatever else there is not, is not.
    told = {**found, "classes": UNCONDITIONAL if found["classes"] is None else found["classes"]}
    rows = [
        (name.replace("_", " "), _words(value)) for name, value in told.items() if value not in (None, "")
    ]
    width = max(len(name) for name, _ in rows)
    for name, words in rows:
        console.result(visible_line(f"{name.ljust(width)}  {words}"))


@command.command("verify")
@_options
@click.pass_context
def verify(ctx: click.Context, url: str, storage: tuple[str, ...], as_json: bool) -> None:
    """Check all shards or images at URL.

    Shards are compared with the checksums in their index, images are decoded. Every damaged file is named,
    and the exit code is then 4.
    """
    from thalweg.data.inspection import verify as check

    found = check(url, storage_options(storage), _Progress())
    if as_json:
        console.result_json(found)
    else:
        for damage in found["damaged"]:
            console.result(visible_line(f"{damage['file']}: {damage['reason']}"))
        damaged = len(found["damaged"])
        whole = f"all {found['checked']} {found['unit']} are whole"
        console.result(f"{damaged} of {found['checked']} {found['unit']} are damaged" if damaged else whole)
    if found["damaged"]:
        ctx.exit(_DAMAGED)


class _Progress:
    """Says now and then how far a check has come, if it takes its time."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, done: int, every: int) -> None:
        if time.monotonic() - self._said > _SECONDS:
            self._said = time.monotonic()
            console.say(f"checked {done} of {every}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        words = [_words(one) for one in value[:_SHOWN]]
        more = f" and {len(value) - _SHOWN} more" if len(value) > _SHOWN else ""
        return ("; " if any(" " in one for one in words) else " ").join(words) + more or "none"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
