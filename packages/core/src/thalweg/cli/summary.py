"""``thalweg summary``: what a recipe's network costs, before anything is allocated."""

import attrs
import click

from thalweg.cli import console, options
from thalweg.config import load_config
from thalweg.visible import columns, visible_line


@click.command("summary")
@options.recipe
@options.overrides
@options.as_json
def command(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print parameters, operations and memory of a recipe's network."""
    config = load_config(recipe, overrides)
    # torch comes in here, once the recipe is known to be valid.
    from thalweg.composition import composition_of
    from thalweg.plugins import build_component
    from thalweg.summary import Summary, summarise

    training = config.training
    summary: Summary = summarise(
        composition_of(config),
        config.data.facts,
        batch_size=training.batch_size // training.accumulate,
        precision="32-true" if training.precision == "32-true" else "bf16-mixed",
        state_per_weight=getattr(
            build_component(training.optimizer, config.data.facts), "state_per_weight", 2.0
        ),
        averages=len(build_component(training.average, config.data.facts).names),
    )
    if as_json:
        derived = {"training_bytes": summary.training_bytes}
        console.result_json({"name": config.name, **attrs.asdict(summary), **derived})
        return
    console.result(f"{visible_line(config.name)}: {_millions(summary.parameters)} parameters")
    rows = [(part, _millions(count)) for part, count in summary.parts.items()]
    rows.append(("fixed tables", _millions(summary.fixed)))
    console.result(columns(rows, ("part", "parameters")))
    console.result("")
    console.result(
        f"forward of one sample: {summary.gflop_forward:.2f} GFLOP "
        f"({summary.gflop_forward / 2:.2f} G multiply-adds), {summary.tokens} tokens"
    )
    console.result(
        f"training memory at batch {summary.batch_size}, {summary.precision}: {_gib(summary.training_bytes)} "
        f"({_gib(summary.state_bytes)} weights, gradients, optimiser and EMA, "
        f"{_gib(summary.activation_bytes)} activations uncompiled)"
    )


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f} M"


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
