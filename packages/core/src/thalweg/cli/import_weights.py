"""``thalweg import``: a released checkpoint as a network of ours."""

from pathlib import Path

import click

from thalweg.cli import console
from thalweg.cli.local import LocalPath, Place


@click.command("import")
@click.argument("source")
@click.argument("file", type=Place())
@click.argument("out", type=LocalPath())
@click.option("--heads", type=click.IntRange(min=1), help="Attention heads, for an unusual width.")
def command(source: str, file: str, out: Path, heads: int | None) -> None:
    """Read FILE, a checkpoint of SOURCE (sit, repa, deepflow), and write the network to OUT.

    FILE, a path or a URL, is .pt (read without executing anything) or .safetensors; the averaged weights
    (EMA) are taken where there are any. OUT is a folder that thalweg.load and thalweg sample open.
    """
    from thalweg.importing import check_place, import_weights, read_foreign, save
    from thalweg.storage import Location
    from thalweg.weights import local_copy

    check_place(out)
    with local_copy(Location(file)) as path:
        network = import_weights(source, read_foreign(path), heads=heads)
    save(out, network.state_dict(), network.composition, network.facts, source=source)
    count = sum(parameter.numel() for parameter in network.parameters())
    console.result(f"{out}: {network.branches} branches, {count / 1e6:.2f} M parameters")
