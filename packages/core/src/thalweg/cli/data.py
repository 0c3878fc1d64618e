"""``thalweg data``: what is at a path or URL, and whether it is whole."""

import time
from typing import Any

import click

from thalweg.cli import console, options
from thalweg.cli.groups import Group
from thalweg.cli.local import Place
from thalweg.visible import visible_line

_DAMAGED = 4
_SHOWN = 20  # of a list; --json has all
_SECONDS = 5.0  # between two lines of progress


@click.group("data", cls=Group)
def command() -> None:
    """Look into images or shards at a path or URL, check every byte of them, or measure their channels."""


_url = click.argument("url", type=Place())


@command.command("inspect")
@_url
@options.settings
@options.as_json
def inspect(url: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Show which shards or images are at URL.

    Of shards the index is read, of images the listing and the first of them. KEY=VALUE are options of the
    storage, storage_options.anon=true.
    """
    from thalweg.data.inspection import inspect as look
    from thalweg.data.words import UNCONDITIONAL

    found = look(url, _storage(settings))
    if as_json:
        console.result_json(found)
        return
    # That there are no labels is worth a line; whatever else there is not, is not.
    shown = {**found, "classes": UNCONDITIONAL if found["classes"] is None else found["classes"]}
    rows = [
        (name.replace("_", " "), _words(value)) for name, value in shown.items() if value not in (None, "")
    ]
    width = max(len(name) for name, _ in rows)
    for name, words in rows:
        console.result(visible_line(f"{name.ljust(width)}  {words}"))


@command.command("verify")
@_url
@options.settings
@options.as_json
@click.pass_context
def verify(ctx: click.Context, url: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Check all shards or images at URL.

    Shards are compared with the checksums in their index, images are decoded. Every damaged file is named,
    and the exit code is then 4. KEY=VALUE are options of the storage, storage_options.anon=true.
    """
    from thalweg.data.inspection import verify as check

    found = check(url, _storage(settings), _Progress())
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


@command.command("statistics")
@_url
@options.settings
@options.as_json
def statistics(url: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Mean and standard deviation of each channel of the latents at URL, as data.normalise takes them.

    All shards are read. KEY=VALUE are options of the storage, storage_options.anon=true.
    """
    import attrs

    from thalweg.data.shards.statistics import channel_statistics
    from thalweg.storage import Location

    found = attrs.asdict(channel_statistics(Location(url, _storage(settings)), _Progress()))
    if as_json:
        console.result_json(found)
        return
    console.result("[data.normalise]")
    for name, values in found.items():
        console.result(f"{name} = [{', '.join(f'{one:.8g}' for one in values)}]")


def _storage(settings: tuple[str, ...]) -> dict[str, Any]:
    return options.tables_of(settings, ("storage_options",))["storage_options"]


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
