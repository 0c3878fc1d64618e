"""``thalweg uvit-skips``: how much a trained network reads through its skip connections."""

from pathlib import Path

import click

import thalweg


@click.command("uvit-skips")
@click.argument("model", type=click.Path(path_type=Path))
def skips(model: Path) -> None:
    """Print for each skip connection of the U-ViT in MODEL how much of its block's input it makes.

    1 means as much as the tokens that come from the block below, 0 nothing.
    """
    backbone = thalweg.load(model).backbone
    if not hasattr(backbone, "shares"):
        raise thalweg.ConfigError(
            f"{model} holds no U-ViT, but a {type(backbone).__name__}; name another model"
        )
    for block, (source, share) in backbone.shares().items():
        click.echo(f"block {source + 1} -> block {block + 1}: {share:.3f}")
