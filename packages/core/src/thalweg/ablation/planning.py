"""From an ablation to runs: every cell under every seed, resolved and checked before any is trained."""

import json
from pathlib import Path
from typing import Any

import attrs
import torch

from thalweg.ablation.config import Ablation
from thalweg.ablation.grid import Cell
from thalweg.composition import compose, composition_of, seeded
from thalweg.config import RunConfig, plain
from thalweg.config.files import read_recipe, structured
from thalweg.config.names import name_of
from thalweg.errors import ConfigError
from thalweg.evaluation.protocol import read_protocol
from thalweg.facts import Facts
from thalweg.plugins import build_component
from thalweg.storage import redacted
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
    judged_by = read_protocol(ablation.judge.protocol, ablation.judge.settings).config.sampling
    first, runs, costs = None, [], _Costs(ablation)
    for number, cell in enumerate(ablation.cells):
        try:
            config, cost, left_out = _resolved(ablation, cell, costs)
            _check_guidance(config, cost.facts, config.sampling.guidance, judged_by.guidance)
        except ConfigError as fault:
            raise ConfigError(redacted(f"cell '{cell.name}': {fault}")) from fault
        gflop = cost.gflop
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
                        config,
                        seed=seed,
                        name=name_of(redacted(f"{cell.name}, seed {seed}")),
                        training=training,
                    ),
                    folder=out / "cells" / f"{number + 1:02d}" / f"seed-{seed}",
                    judged=judged,
                    parameters=cost.parameters,
                    gflop=gflop,
                    left_out=left_out,
                )
            )
    return sorted(runs, key=lambda run: run.seed)


@attrs.frozen(eq=False)
class _Cost:
    """What cells of one composition have in common.

    Attributes:
        facts: of the composed network.
        parameters: trainable ones.
        gflop: 10^9 operations of one image's forward pass.
    """

    facts: Facts
    parameters: int
    gflop: float


class _Costs:
    """Networks of the cells, each composed and counted once: cells mostly differ in something else."""

    def __init__(self, ablation: Ablation) -> None:
        self.recipe = read_recipe(ablation.recipe)
        self._facts: list[tuple[Any, Facts]] = []
        self._known: dict[str, _Cost] = {}

    def of(self, config: RunConfig) -> _Cost:
        """Of a cell's network."""
        composition, facts = composition_of(config), self._facts_of(config.data)
        key = json.dumps([{name: plain(one) for name, one in composition.items()}, repr(facts)], default=repr)
        if key not in self._known:
            network = compose(**composition, facts=facts, device="meta")
            count = sum(parameter.numel() for parameter in network.parameters())
            self._known[key] = _Cost(network.facts, count, forward_flop(network) / 1e9)
        return self._known[key]

    def _facts_of(self, data: Any) -> Facts:
        """A data set may be far away, and is asked once."""
        for known, facts in self._facts:
            if known == data:
                return facts
        asked: Facts = data.facts
        self._facts.append((data, asked))
        return asked


def _resolved(ablation: Ablation, cell: Cell, costs: _Costs) -> tuple[RunConfig, _Cost, tuple[str, ...]]:
    config = structured(ablation.recipe, costs.recipe, [*ablation.overrides, *cell.overrides])
    cost = costs.of(config)
    left_out = []
    for name, objective in config.objectives.items():
        try:
            with seeded(config.seed, torch.device("cpu")):
                build_component(objective, cost.facts)
        except ConfigError:
            if cell.strict:
                raise
            left_out.append(name)
    kept = {name: one for name, one in config.objectives.items() if name not in left_out}
    return attrs.evolve(config, objectives=kept), cost, tuple(left_out)


def _check_guidance(config: RunConfig, facts: Facts, *guidances: Any) -> None:
    """Make sure that what is trained can be guided, whether for a look or to be judged."""
    trained = attrs.evolve(facts, condition_dropout=config.plan.label_dropout > 0)
    for guidance in guidances:
        if guidance is not None:
            build_component(guidance, trained)


def _judged(config: RunConfig, times: int) -> tuple[RunConfig, tuple[int, ...]]:
    """The run with a checkpoint wherever it is judged, and those steps."""
    steps = config.training.steps
    if times > steps:
        raise ConfigError(f"a run of {steps} steps cannot be judged {times} times; lower judge.times")
    every = steps // times
    judged = (*(every * place for place in range(1, times)), steps)
    training = attrs.evolve(config.training, checkpoint_every=every, keep=times + 1)
    return attrs.evolve(config, training=training), judged
