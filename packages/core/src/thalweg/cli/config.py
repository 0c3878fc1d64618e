"""``thalweg config``: what a recipe says, in full."""

import click

from thalweg.cli import console, options
from thalweg.cli.groups import Group
from thalweg.config import dump, load_config, to_toml
from thalweg.plugins import build_component
from thalweg.storage.redaction import redacted_plain


@click.group("config", cls=Group)
def command() -> None:
    """Show or validate a recipe.

    Overrides are written key.path=value, such as backbone.depth=12 or refiner=none.
    """


@command.command("show")
@options.recipe
@options.overrides
@options.as_json
def show(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print a recipe with all defaults and overrides resolved, as TOML."""
    resolved = redacted_plain(dump(load_config(recipe, overrides)))
    if as_json:
        console.result_json(resolved)
    else:
        console.result(to_toml(resolved).rstrip())


@command.command("validate")
@options.recipe
@options.overrides
def validate(recipe: str, overrides: tuple[str, ...]) -> None:
    """Check a recipe: list everything that is wrong, with exit code 2, or say that it is valid."""
    config = load_config(recipe, overrides)
    # torch comes in here, once every key by itself is valid: what remains is whether they go together.
    from torch import device

    from thalweg.composition import compose, composition_of, seeded

    network = compose(**composition_of(config), facts=config.data.facts, device="meta")
    with seeded(config.seed, device("cpu")):
        for objective in config.objectives.values():
            build_component(objective, network.facts)
    console.result(f"{recipe} is valid")
