"""From an ablation to runs: every cell under every seed, resolved and checked before any is trained."""

from pathlib import Path

import attrs
import torch

from thalweg.ablation.config import Ablation
from thalweg.ablation.grid import Cell
from thalweg.composition import compose, composition_of, seeded
from thalweg.config import RunConfig, load_config
from thalweg.config.names import name_of
from thalweg.errors import ConfigError
from thalweg.evaluation.protocol import read_protocol
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component
from thalweg.summary import forward_flop


@attrs.frozen(eq=False)
class Planned:
    """One run of an ablation.

    Attributes:
        cell: name of its cell.
        seed: of the run.
        config: what is trained.
        folder: its run directory.
        judged: steps after which it is judged, ascending; the last is its end.
        parameters: trainable ones.
        gflop: 10^9 operations of one image's forward pass.
        left_out: objectives of the recipe that this composition cannot serve.
    """

    cell: str
    seed: int
    config: RunConfig
    folder: Path
    judged: tuple[int, ...]
    parameters: int
    gflop: float
    left_out: tuple[str, ...]


def plan(ablation: Ablation, out: Path) -> list[Planned]:
    """All runs, seed by seed, so that a table of all cells is there early.

    Raises:
        ConfigError: a cell does not resolve, its name stands before the fault; or there is no such protocol,
            or its settings are wrong.
        PluginError: a component's plugin is missing or broken.
    """
    read_protocol(ablation.judge.protocol, ablation.judge.settings)
    first, runs = None, []
    for number, cell in enumerate(ablation.cells):
        try:
            config, network, left_out = _resolved(ablation, cell)
        except ConfigError as fault:
            raise ConfigError(f"cell '{cell.name}': {fault}") from fault
        gflop = forward_flop(network) / 1e9
        first = gflop if first is None else first
        if ablation.equal == "compute":
            steps = max(1, round(config.training.steps * first / gflop))
            config = attrs.evolve(config, training=attrs.evolve(config.training, steps=steps))
        config, judged = _judged(config, ablation.judge.times)
        for seed in range(ablation.seeds):
            # One grid of samples a cell is enough to look at.
            drawn = config.training.steps if seed == 0 else 0
            training = attrs.evolve(config.training, sample_every=drawn)
            runs.append(
                Planned(
                    cell=cell.name,
                    seed=seed,
                    config=attrs.evolve(
                        config, seed=seed, name=name_of(f"{cell.name}, seed {seed}"), training=training
                    ),
                    folder=out / "cells" / f"{number + 1:02d}" / f"seed-{seed}",
                    judged=judged,
                    parameters=sum(parameter.numel() for parameter in network.parameters()),
                    gflop=gflop,
                    left_out=left_out,
                )
            )
    return sorted(runs, key=lambda run: run.seed)


def _resolved(ablation: Ablation, cell: Cell) -> tuple[RunConfig, FlowNetwork, tuple[str, ...]]:
    config = load_config(ablation.recipe, [*ablation.overrides, *cell.overrides])
    network = compose(**composition_of(config), facts=config.data.facts, device="meta")
    left_out = []
    for name, objective in config.objectives.items():
        try:
            with seeded(config.seed, torch.device("cpu")):
                build_component(objective, network.facts)
        except ConfigError:
            if cell.strict:
                raise
            left_out.append(name)
    kept = {name: one for name, one in config.objectives.items() if name not in left_out}
    return attrs.evolve(config, objectives=kept), network, tuple(left_out)


def _judged(config: RunConfig, times: int) -> tuple[RunConfig, tuple[int, ...]]:
    """The run with a checkpoint wherever it is judged, and those steps."""
    steps = config.training.steps
    if times > steps:
        raise ConfigError(f"a run of {steps} steps cannot be judged {times} times; lower judge.times")
    every = steps // times
    judged = (*(every * place for place in range(1, times)), steps)
    training = attrs.evolve(config.training, checkpoint_every=every, keep=times + 1)
    return attrs.evolve(config, training=training), judged
