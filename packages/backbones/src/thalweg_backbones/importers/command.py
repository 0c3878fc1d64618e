"""``thalweg import``: a released checkpoint as a network of ours."""

from pathlib import Path
from typing import Any

import attrs
import click

from thalweg.cli import console, options
from thalweg.cli.local import LocalPath, Place


def _depths(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    words = value.split(",")
    if not all(word.strip().isascii() and word.strip().isdecimal() for word in words):
        raise click.BadParameter(f"'{value}' is no list of depths; write 4,8")
    return tuple(map(int, words))


@click.command("import")
@click.argument("source")
@click.argument("file", type=Place())
@click.argument("out", type=LocalPath())
@click.option("--heads", type=click.IntRange(min=1), help="Attention heads.")
@click.option(
    "--path",
    type=click.Choice(["linear", "cosine", "GVP", "VP"], case_sensitive=False),
    help="The path from data to noise.",
)
@click.option(
    "--prediction",
    type=click.Choice(["velocity", "noise", "score"]),
    help="What it was trained to predict.",
)
@click.option("--classes", type=click.IntRange(min=1), help="Classes, without the null class.")
@click.option("--tokens", type=click.IntRange(min=1), help="Tokens of a caption of Stable Diffusion 3.")
@click.option("--branches-at", callback=_depths, metavar="DEPTHS", help="Where branches end, such as 4,8.")
@click.option("--clamp/--no-clamp", default=None, help="Whether the time gap's scale is bounded.")
@click.option(
    "--latent-statistics",
    metavar="PATH",
    type=Place(),
    help="A file of the tensors mean and std, by which its latents are normalised, as VA-VAE's are.",
)
@options.download
@options.as_json
def command(
    source: str, file: str, out: Path, latent_statistics: str | None, as_json: bool, **others: Any
) -> None:
    """Read FILE, a checkpoint of SOURCE (dit, sit, repa, repa-t2i, deepflow, lightningdit,
    diffusers-dit, diffusers-sd3), and write the network to OUT.

    FILE, a path or a URL, is .pt (read without executing anything) or .safetensors, or a folder as diffusers
    saves a transformer or a pipeline, or one of torch.distributed.checkpoint, as torchtitan leaves it; the
    EMA weights are taken where there are any. The options state what neither the tensors nor arguments in the
    file do; what is missing is reported. OUT is a folder that thalweg.load and thalweg sample open.
    """
    from thalweg.files import sha256
    from thalweg.import_options import ImportOptions
    from thalweg.saved_network import check_place, save
    from thalweg.storage import Location, local_copy
    from thalweg_backbones.foreign.checkpoints import read_foreign
    from thalweg_backbones.foreign.dcp import is_dcp, read_dcp_folder
    from thalweg_backbones.foreign.diffusers_folder import read_folder
    from thalweg_backbones.importers.importing import import_checkpoint
    from thalweg_backbones.importers.latent_statistics import read_statistics

    check_place(out)
    where = Location(file)
    # Of a file on the web nobody asks what is below it.
    if where.suffix not in (".pt", ".pth", ".safetensors") and where.is_dir():
        weights, digest = read_dcp_folder(where) if is_dcp(where) else read_folder(where)
    else:
        with local_copy(where) as path:
            weights = read_foreign(path)
            digest = sha256(path)
    imported = import_checkpoint(source, weights, ImportOptions(**others, arguments=weights.arguments))
    network = imported.network
    if latent_statistics is not None:
        with local_copy(Location(latent_statistics)) as path:
            network.facts = attrs.evolve(network.facts, normalisation=read_statistics(path))
    origin = {
        "file": where.name,
        "sha256": digest,
        "weights": weights.place,
        "left": list(weights.left),
        "resolved": {name: attrs.asdict(one) for name, one in imported.resolved.items()},
    }
    save(out, network, source=source, imported=origin)
    count = sum(parameter.numel() for parameter in network.parameters())
    if as_json:
        console.result_json(
            {"out": str(out), "branches": network.branches, "parameters": count, "source": source, **origin}
        )
        return
    left = f" ({', '.join(weights.left)} left out)" if weights.left else ""
    console.result(f"{out}: {network.branches} branches, {count / 1e6:.2f} M parameters")
    console.result(f"weights: {weights.place or 'the only ones'}{left}")
    for name, one in imported.resolved.items():
        console.result(f"{name}: {_text(one.value)} ({one.origin})")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
