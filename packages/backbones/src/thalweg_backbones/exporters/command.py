"""``thalweg export``: a network as another program reads it."""

from pathlib import Path

import click

from thalweg.cli import console, options
from thalweg.cli.local import LocalPath, Place


@click.command("export")
@click.argument("model", type=Place())
@click.argument("dest", type=LocalPath())
@click.option(
    "--to", "target", required=True, metavar="NAME", help="What it is written for, an exporter's name."
)
@options.average
@options.as_json
def command(model: str, dest: Path, target: str, average: str | None, as_json: bool) -> None:
    """Write MODEL, a saved network or a run that holds one, to DEST as another program reads it.

    --to names it: diffusers-dit (a folder for DiTTransformer2DModel), diffusers-pipeline (a folder for
    DiffusionPipeline), sit, repa, repa-t2i, deepflow (a .pt as their training scripts leave it,
    .safetensors, or a folder NAME.dcp of torch.distributed.checkpoint), dcp (such a folder under our own
    names), safetensors (a folder of tensors and a description), or an exporter of a plugin. Of a run the EMA
    weights are taken. What has no counterpart there is refused by name. DEST must not be there, and is there
    once it is whole.
    """
    from thalweg.loading import load
    from thalweg_backbones.exporters.exporting import checked_exporter, export_network

    checked_exporter(target, dest)
    network = load(model, average=average)
    exported = export_network(network, dest, target)
    numbers = sum(tensor.numel() for tensor in exported.tensors.values())
    if as_json:
        console.result_json(
            {
                "out": str(dest),
                "to": target,
                "tensors": len(exported.tensors),
                "numbers": numbers,
                "left": list(exported.left),
                "notes": list(exported.notes),
            }
        )
        return
    console.result(f"{dest}: {len(exported.tensors)} tensors for {target}, {numbers / 1e6:.2f} M numbers")
    for note in exported.notes:
        console.result(note)
