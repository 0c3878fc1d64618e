"""``thalweg weights``: published weights by name."""

from typing import Any

import click

from thalweg.cli import console, options
from thalweg.cli.groups import Group
from thalweg.cli.progress import ProgressDisplay
from thalweg.visible import columns
from thalweg.weights.entry import WeightsEntry
from thalweg.weights.fetching import get as fetch
from thalweg.weights.here import path_of, place_of, there
from thalweg.weights.tables import entries, find

_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_HEADER = ("name", "size", "licence", "here", "SHA-256", "what")


@click.group("weights", cls=Group)
def command() -> None:
    """List, fetch or find published weights.

    Wherever weights or reference statistics are read, weights:NAME stands for the file or folder. Nothing is
    downloaded but by 'thalweg weights get', and by commands with --download.
    """


@command.command("list")
@options.as_json
def list_weights(as_json: bool) -> None:
    """List published weights: size, licence, and whether they are here.

    The SHA-256 is verified where it was compared with the file for this table, stated where only who
    publishes the file says it, else unverified: then the one that a file arrives with is noted and compared
    from then on.
    """
    known = entries().values()
    if as_json:
        console.result_json({"weights": [_plain(one) for one in known]})
        return
    rows = [(one.name, _size(one), one.licence, _here(one), one.checked, one.what) for one in known]
    console.result(columns(rows, _HEADER))


@command.command("get")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@options.as_json
def get(names: tuple[str, ...], as_json: bool) -> None:
    """Fetch the weights NAME, and print where they are.

    Interrupted or killed, the same command goes on from the byte that it had come to. With THALWEG_OFFLINE=1
    or HF_HUB_OFFLINE=1 nothing is downloaded, and what to copy where is said instead. Weights are kept in
    THALWEG_WEIGHTS, by default in the user's cache.
    """
    with ProgressDisplay() as progress:
        paths = {name: str(path) for name, path in fetch(names, progress).items()}
    if as_json:
        console.result_json({"weights": [_plain(find(name)) for name in paths]})
        return
    for name, path in paths.items():
        console.result(f"{name}: {path}")


@command.command("path")
@click.argument("name")
def show_path(name: str) -> None:
    """Print where the weights NAME are, once their checksums were compared.

    Where they are not here, the exit code is 4.
    """
    console.result(str(path_of(name)))


def _plain(entry: WeightsEntry) -> dict[str, Any]:
    found = there(entry)
    return {
        "name": entry.name,
        "what": entry.what,
        "licence": entry.licence,
        "source": entry.source,
        "bytes": entry.bytes,
        "here": len(found) == len(entry.files),
        "checked": entry.checked,
        "path": str(place_of(entry)),
        "files": [
            {
                "name": one.name,
                "urls": [*one.urls],
                "bytes": one.bytes,
                "sha256": one.sha256 or None,
                "checked": one.checked,
                "here": one in found,
            }
            for one in entry.files
        ],
    }


def _here(entry: WeightsEntry) -> str:
    found = len(there(entry))
    return "yes" if found == len(entry.files) else f"{found} of {len(entry.files)} files" if found else "no"


def _size(entry: WeightsEntry) -> str:
    if not entry.about:
        return "unknown"
    length, unit = next((one for one in _UNITS if entry.about >= one[0]), (1, "bytes"))
    return f"{'~' if entry.bytes is None else ''}{entry.about / length:.3g} {unit}"
