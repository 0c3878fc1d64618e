"""From an ablation to runs: every cell under every seed, resolved and checked before any is trained."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import torch

from thalweg.composition import compose, composition_of, seeded
from thalweg.config import RunConfig, apply_override, dump, plain
from thalweg.config.bases import Recipe
from thalweg.config.recipes import read_recipe, structured
from thalweg.config.run import name_of
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import check_average
from thalweg.inherited import FOR_EVALUATION, Inherited
from thalweg.plugins import build_component
from thalweg.storage import redacted
from thalweg.summary import forward_flop
from thalweg.training.objectives import check_planner, trains_flow_map
from thalweg_eval.ablation.axes import Cell
from thalweg_eval.ablation.config import Ablation
from thalweg_eval.evaluation.protocol import assignments, read_protocol

_SAMPLING = "sampling"


@attrs.frozen(eq=False)
class Planned:
    """One run of an ablation: a network under a seed, and how its samples are generated and scored.

    Attributes:
        cell: name of its cell.
        config: what is trained; cells that differ in ``sampling`` alone share one network.
        settings: what the cell changes in the protocol, as ``key=value``.
        parameters: trainable ones.
        gflop: 10^9 operations of one image's forward pass.
        left_out: objectives of the recipe that this composition cannot serve.
        scored: steps after which it is scored, ascending; the last is its end.
        seed: of the run.
        network: what that is called.
        folder: its run directory.
        base: what the names of the files begin with that hold this cell's scores.
    """

    cell: str
    config: RunConfig
    settings: tuple[str, ...]
    parameters: int
    gflop: float
    left_out: tuple[str, ...]
    scored: tuple[int, ...] = ()
    seed: int = 0
    network: str = ""
    folder: Path = Path()
    base: Path = Path()

    @property
    def name(self) -> str:
        """What progress calls it."""
        return _named(self.cell, self.seed)

    @property
    def leads(self) -> bool:
        """Whether its cell is the first one that this network is scored for."""
        return self.base == self.folder


def plan(ablation: Ablation, out: Path, steps: Sequence[int] = ()) -> list[Planned]:
    """All runs, seed by seed, so that a table of all cells is there early.

    Args:
        ablation: what is compared.
        out: its folder.
        steps: of each cell, where equal seconds were measured; without them all have the first one's.

    Raises:
        ConfigError: a cell does not resolve, its name stands before the fault; two cells are trained and
            scored alike; or there is no such protocol, or its settings are wrong.
        PluginError: a component's plugin is missing or broken.
    """
    read_protocol(ablation.evaluation.protocol, ablation.evaluation.settings)
    costs, recipe = _Costs(), read_recipe(ablation.recipe)
    cells: list[Planned] = []
    for number, cell in enumerate(ablation.cells):
        try:
            one = _resolved(ablation, cell, recipe, costs)
            measured = steps[number] if steps else None
            cells.append(_scheduled(ablation, one, cells[0] if cells else one, measured))
        except ConfigError as fault:
            raise ConfigError(redacted(f"cell '{cell.name}': {fault}")) from fault
    leaders = [next(at for at, one in enumerate(cells) if one.config == cell.config) for cell in cells]
    _check_apart(cells, leaders)
    networks = [_network(ablation, leader, shared=leaders.count(leader) > 1) for leader in leaders]
    return [
        _seeded(cell, seed, network, _place(out, leader, seed), _place(out, number, seed))
        for seed in range(ablation.seeds)
        for number, (cell, network, leader) in enumerate(zip(cells, networks, leaders, strict=True))
    ]


def _seeded(cell: Planned, seed: int, network: str, folder: Path, base: Path) -> Planned:
    training = cell.config.training
    if seed > 0:  # one network of a cell is enough to look at
        training = attrs.evolve(training, sample_every=0)
    config = attrs.evolve(cell.config, seed=seed, name=_named(network, seed), training=training)
    return attrs.evolve(cell, config=config, seed=seed, network=network, folder=folder, base=base)


def _named(name: str, seed: int) -> str:
    return name_of(redacted(f"{name}, seed {seed}"))


def _place(out: Path, number: int, seed: int) -> Path:
    return out / "cells" / f"{number + 1:02d}" / f"seed-{seed}"


def _resolved(ablation: Ablation, cell: Cell, recipe: Recipe, costs: "_Costs") -> Planned:
    changed, sampling = split(cell.overrides)
    whole = structured(recipe, [*ablation.overrides, *cell.overrides])
    settings = settings_of(whole, sampling)
    config = structured(recipe, [*ablation.overrides, *changed]) if sampling else whole
    protocol = read_protocol(
        ablation.evaluation.protocol,
        [*ablation.evaluation.settings, *settings],
        inherited=lambda: Inherited(dump(config.sampling, secrets=True)),
    ).config
    cost = costs.of(config)
    facts = attrs.evolve(cost.facts, condition_dropout=config.training.condition_dropout > 0)
    built = {}
    for name, objective in config.objectives.items():
        try:
            with seeded(config.seed, torch.device("cpu")):
                built[name] = build_component(objective, facts)
        except ConfigError:
            if cell.strict:
                raise
    left_out = [name for name in config.objectives if name not in built]
    kept = {name: one for name, one in config.objectives.items() if name in built}
    # What is trained must bear sampler and guidance, whether for its grids or for its scores.
    facts = attrs.evolve(facts, flow_map=trains_flow_map(built.values()))
    check_planner(built, build_component(config.plan, facts))
    for one in (config.sampling, protocol.sampling):
        guidances = [build_component(guidance, facts) for guidance in one.guidance]
        check_average(build_component(one.sampler, facts), guidances)
    # Seed and name are the ablation's to set.
    config = attrs.evolve(config, objectives=kept, seed=0, name="run")
    return Planned(cell.name, config, settings, cost.parameters, cost.gflop, tuple(left_out))


def _scheduled(ablation: Ablation, cell: Planned, first: Planned, measured: int | None) -> Planned:
    """The run with its steps, and a checkpoint wherever it is scored."""
    steps, times = cell.config.training.steps, ablation.evaluation.times
    if ablation.equal == "compute":
        steps = max(1, round(steps * first.gflop / cell.gflop))
    if ablation.equal == "seconds":
        steps = first.config.training.steps if measured is None else measured
    if times > steps:
        raise ConfigError(f"a run of {steps} steps cannot be scored {times} times; lower evaluation.times")
    every = steps // times
    scored = (*(every * place for place in range(1, times)), steps)
    training = attrs.evolve(cell.config.training, steps=steps, checkpoint_every=every, keep=times + 1)
    return attrs.evolve(cell, config=attrs.evolve(cell.config, training=training), scored=scored)


def _check_apart(cells: Sequence[Planned], leaders: Sequence[int]) -> None:
    """Two cells that are the same would cost as much as others, and differ by nothing."""
    seen: dict[tuple[int, tuple[str, ...]], str] = {}
    for cell, leader in zip(cells, leaders, strict=True):
        other = seen.setdefault((leader, cell.settings), cell.cell)
        if other != cell.cell:
            raise ConfigError(
                redacted(
                    f"the cells '{other}' and '{cell.cell}' are trained and scored alike, as what they "
                    f"change makes no difference to either; leave one of them out"
                )
            )


def _network(ablation: Ablation, leader: int, *, shared: bool) -> str:
    """What a network is called: like its cell, or by what those who share it have in common."""
    cell = ablation.cells[leader]
    if not shared or cell.strict:
        return cell.name
    # An axis' cell is named by its overrides.
    changed, _ = split(cell.overrides)
    return ", ".join(one for one in changed if one in cell.name) or ablation.name


class _Cost(NamedTuple):
    """Facts, trainable parameters and 10^9 operations of a composition."""

    facts: Facts
    parameters: int
    gflop: float


class _Costs:
    """Networks of the cells, each composed and counted once: cells mostly differ in something else."""

    def __init__(self) -> None:
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
        self._facts.append((data, data.facts))
        return self._facts[-1][1]


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides of a cell that change what is trained, and those of ``sampling``.

    Raises:
        ConfigError: one of ``sampling`` is of nothing that a score depends on.
    """
    training: list[str] = []
    sampling: list[str] = []
    for override in overrides:
        key = override.partition("=")[0].strip()
        (sampling if key.split(".")[0] == _SAMPLING else training).append(override)
    for name in _stated(sampling):
        if name not in FOR_EVALUATION:
            raise ConfigError(
                f"it changes sampling.{name}, on which no score depends: a cell may change "
                f"{', '.join(f'sampling.{one}' for one in FOR_EVALUATION)}; what all cells share goes "
                f"behind the recipe as KEY=VALUE, and how many samples are scored is the protocol's"
            )
    return training, sampling


def settings_of(config: RunConfig, sampling: Sequence[str]) -> tuple[str, ...]:
    """What a cell's way of sampling changes in the protocol, as ``key=value``.

    Sampler and guidance are stated whole, as the recipe and the cell have them, since the protocol's may be
    others: ``sampling.guidance.scale=2`` means the recipe's guidance with another scale.

    Args:
        config: the cell's, with all of its overrides.
        sampling: those of ``sampling``.
    """
    stated = _stated(sampling)
    # The place of a guidance's network may hold credentials; whoever shows this masks them.
    written = dump(config.sampling, secrets=True)
    return assignments(written, [name for name in FOR_EVALUATION if name in stated])


def _stated(sampling: Sequence[str]) -> list[str]:
    table: dict[str, Any] = {}
    for override in sampling:
        apply_override(table, override)
    stated = table.get(_SAMPLING)
    return list(stated) if isinstance(stated, dict) else []  # which is a fault of the recipe's
