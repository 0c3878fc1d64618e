"""From an ablation to runs: every cell under every seed, resolved and checked before any is trained."""

from pathlib import Path
from typing import Any

import attrs
import torch

from thalweg.ablation.config import Ablation
from thalweg.ablation.costs import Cost, Costs
from thalweg.ablation.grid import Cell
from thalweg.ablation.ways import settings_of, split
from thalweg.composition import seeded
from thalweg.config import RunConfig
from thalweg.config.files import read_recipe, structured
from thalweg.config.names import name_of
from thalweg.errors import ConfigError
from thalweg.evaluation.protocol import read_protocol
from thalweg.facts import Facts
from thalweg.plugins import build_component
from thalweg.storage import redacted


@attrs.frozen(eq=False)
class Planned:
    """One run of an ablation: a network under a seed, and a way to judge it.

    Attributes:
        cell: name of its cell.
        seed: of the run.
        config: what is trained; cells that differ in ``sampling`` alone share one network.
        network: what that is called.
        folder: its run directory.
        base: what the names of the files begin with that say how this cell was judged.
        judged: steps after which it is judged, ascending; the last is its end.
        settings: what the cell changes in the protocol, as ``key=value``.
        parameters: trainable ones.
        gflop: 10^9 operations of one image's forward pass.
        left_out: objectives of the recipe that this composition cannot serve.
    """

    cell: str
    seed: int
    config: RunConfig
    network: str
    folder: Path
    base: Path
    judged: tuple[int, ...]
    settings: tuple[str, ...]
    parameters: int
    gflop: float
    left_out: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called on the way."""
        return _named(self.cell, self.seed)

    @property
    def leads(self) -> bool:
        """Whether its cell is the first one that this network is judged for."""
        return self.base == self.folder


@attrs.frozen(eq=False)
class _Resolved:
    """A cell, resolved.

    Attributes:
        config: of its network, under any seed.
        judged: steps after which it is judged.
        settings: of the protocol.
        cost: of its composition.
        left_out: objectives.
    """

    config: RunConfig
    judged: tuple[int, ...]
    settings: tuple[str, ...]
    cost: Cost
    left_out: tuple[str, ...]


def plan(ablation: Ablation, out: Path) -> list[Planned]:
    """All runs, seed by seed, so that a table of all cells is there early.

    Raises:
        ConfigError: a cell does not resolve, its name stands before the fault; two cells are trained and
            judged alike; or there is no such protocol, or its settings are wrong.
        PluginError: a component's plugin is missing or broken.
    """
    read_protocol(ablation.judge.protocol, ablation.judge.settings)
    cells = _cells(ablation)
    leaders = [next(at for at, one in enumerate(cells) if one.config == cell.config) for cell in cells]
    _check_apart(ablation, cells, leaders)
    runs = []
    for number, (cell, resolved, leader) in enumerate(zip(ablation.cells, cells, leaders, strict=True)):
        network = _network(ablation, leader, shared=leaders.count(leader) > 1)
        config = resolved.config
        for seed in range(ablation.seeds):
            training = config.training
            if seed > 0:  # one network of a cell is enough to look at
                training = attrs.evolve(training, sample_every=0)
            runs.append(
                Planned(
                    cell=cell.name,
                    seed=seed,
                    config=attrs.evolve(config, seed=seed, name=_named(network, seed), training=training),
                    network=network,
                    folder=_place(out, leader, seed),
                    base=_place(out, number, seed),
                    judged=resolved.judged,
                    settings=resolved.settings,
                    parameters=resolved.cost.parameters,
                    gflop=resolved.cost.gflop,
                    left_out=resolved.left_out,
                )
            )
    return sorted(runs, key=lambda run: run.seed)


def _named(name: str, seed: int) -> str:
    return name_of(redacted(f"{name}, seed {seed}"))


def _place(out: Path, number: int, seed: int) -> Path:
    return out / "cells" / f"{number + 1:02d}" / f"seed-{seed}"


def _cells(ablation: Ablation) -> list[_Resolved]:
    costs, recipe = Costs(), read_recipe(ablation.recipe)
    first, found = None, []
    for cell in ablation.cells:
        try:
            one = _resolved(ablation, cell, recipe, costs)
        except ConfigError as fault:
            raise ConfigError(redacted(f"cell '{cell.name}': {fault}")) from fault
        first = one.cost.gflop if first is None else first
        if ablation.equal == "compute":
            steps = max(1, round(one.config.training.steps * first / one.cost.gflop))
            training = attrs.evolve(one.config.training, steps=steps)
            one = attrs.evolve(one, config=attrs.evolve(one.config, training=training))
        config, judged = _judged(one.config, ablation.judge.times)
        found.append(attrs.evolve(one, config=config, judged=judged))
    return found


def _resolved(ablation: Ablation, cell: Cell, recipe: dict[str, object], costs: Costs) -> _Resolved:
    changed, sampling = split(cell.overrides)
    whole = structured(ablation.recipe, recipe, [*ablation.overrides, *cell.overrides])
    settings = settings_of(whole, sampling)
    judge = read_protocol(ablation.judge.protocol, [*ablation.judge.settings, *settings]).config
    config = structured(ablation.recipe, recipe, [*ablation.overrides, *changed]) if sampling else whole
    cost = costs.of(config)
    for one in (whole.sampling.sampler, *whole.sampling.guidance):
        if sampling:
            build_component(one, cost.facts)  # the network is trained without looking at it
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
    _check_guidance(config, cost.facts, judge.sampling.guidance)
    # Both are the ablation's to set.
    config = attrs.evolve(config, objectives=kept, seed=0, name="run")
    return _Resolved(config, (), settings, cost, tuple(left_out))


def _check_apart(ablation: Ablation, cells: list[_Resolved], leaders: list[int]) -> None:
    """Twins would differ by nothing, and cost as much as others."""
    seen: dict[tuple[int, tuple[str, ...]], str] = {}
    for cell, resolved, leader in zip(ablation.cells, cells, leaders, strict=True):
        alike = (leader, resolved.settings)
        if alike in seen:
            raise ConfigError(
                redacted(
                    f"the cells '{seen[alike]}' and '{cell.name}' are trained and judged alike, as what they "
                    f"change makes no difference to either; leave one of them out"
                )
            )
        seen[alike] = cell.name


def _network(ablation: Ablation, leader: int, *, shared: bool) -> str:
    """What a network is called: like its cell, or by what those who share it have in common."""
    cell = ablation.cells[leader]
    if not shared or cell.strict:
        return cell.name
    # An axis' cell is named by its overrides.
    changed, _ = split(cell.overrides)
    return ", ".join(one for one in changed if one in cell.name) or ablation.name


def _check_guidance(config: RunConfig, facts: Facts, judged: tuple[Any, ...]) -> None:
    """Make sure that what is trained can be guided, whether for a look or to be judged."""
    trained = attrs.evolve(facts, condition_dropout=config.training.condition_dropout > 0)
    for guidance in (*config.sampling.guidance, *judged):
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
