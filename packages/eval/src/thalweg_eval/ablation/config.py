"""What an ablation is: a recipe, cells that change it, seeds, and how they are scored (no torch here)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import attrs
from attrs.validators import min_len

from thalweg.arguments import REPEATS
from thalweg.config import read_toml, structure
from thalweg.config.run import name_of
from thalweg.errors import ConfigError
from thalweg.suggestions import did_you_mean, known_words
from thalweg_eval.ablation.axes import Cell, cells_of

Equal = Literal["steps", "compute", "seconds"]
"""What all cells have the same of in training."""


def texts(given: Iterable[str]) -> tuple[str, ...]:
    """A list of texts, as a frozen config holds it."""
    return tuple(given)


@attrs.frozen
class ScoringConfig:
    """How every cell is scored.

    Attributes:
        protocol: of the evaluation: a shipped one's name or a TOML file.
        settings: ``key=value`` changes of it.
        times: how often in training, evenly spaced; the last is the end. More than one shows how soon a
            score is reached, and costs as many drawings.
    """

    protocol: str = attrs.field(default="quick", validator=min_len(1))
    settings: tuple[str, ...] = attrs.field(default=(), converter=texts)
    times: int = attrs.field(default=1, validator=REPEATS)


@attrs.frozen(kw_only=True)
class AblationConfig:
    """A whole ablation, as a file under ``recipes/ablations`` states it.

    Attributes:
        recipe: the run that the cells change; a path from the file's own folder.
        overrides: ``key.path=value`` for every cell, before its own.
        cells: by the name that the table gives it, the ``key.path=value`` of each; the first one is what
            the others are compared with.
        seeds: runs of every cell, under the seeds 0, 1, ...
        equal: ``steps`` trains every cell as long as the recipe says; ``compute`` gives each as many steps
            as cost what the first cell's cost, counted in operations of the forward pass; ``seconds`` gives
            each as many as fit in the seconds that the first cell's take on this machine, measured
            beforehand.
        compare: by name of a cell, the one that it is compared with; the first one where nothing is stated.
        controls: by name of a cell, what must come of it: ``last`` is the worst in the protocol's first
            number, else the table cannot tell its cells apart.
        evaluation: how they are scored.
    """

    recipe: str = attrs.field(validator=min_len(1))
    overrides: tuple[str, ...] = attrs.field(default=(), converter=texts)
    cells: dict[str, tuple[str, ...]] = attrs.field(validator=min_len(1))
    seeds: int = attrs.field(default=3, validator=REPEATS)
    equal: Equal = "steps"
    compare: dict[str, str] = attrs.field(factory=dict)
    controls: dict[str, Literal["last"]] = attrs.field(factory=dict)
    evaluation: ScoringConfig = attrs.field(factory=ScoringConfig)

    @compare.validator
    def _of_others(self, _: object, compare: dict[str, str]) -> None:
        self._known([*compare, *compare.values()])
        for name, other in compare.items():
            if name == other:
                raise ConfigError(f"the cell '{name}' is compared with itself; name another one")

    @controls.validator
    def _of_some(self, _: object, controls: dict[str, str]) -> None:
        self._known(controls)
        if controls and len(controls) == len(self.cells):
            raise ConfigError("every cell is a control, so none can come last; leave one out")

    def _known(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.cells:
                known = did_you_mean(name, self.cells) or known_words(self.cells)
                raise ConfigError(f"there is no cell '{name}'{known}")


@attrs.frozen
class Ablation:
    """An ablation, ready to run.

    Attributes:
        name: what it is called.
        recipe: the recipe's file.
        overrides: for every cell.
        cells: what is compared.
        seeds: 0, 1, ...
        equal: what all have the same of in training.
        evaluation: how they are scored.
        compare: by name of a cell, the one that it is compared with, where that is not the first.
        controls: by name of a cell, what must come of it.
    """

    name: str
    recipe: Path
    overrides: tuple[str, ...]
    cells: tuple[Cell, ...]
    seeds: int = attrs.field(validator=REPEATS)
    equal: Equal
    evaluation: ScoringConfig
    compare: Mapping[str, str] = attrs.field(factory=dict)
    controls: Mapping[str, str] = attrs.field(factory=dict)

    def baseline(self, name: str) -> str | None:
        """The cell that one is compared with; None for the first, unless another is stated."""
        first = self.cells[0].name
        return self.compare.get(name, None if name == first else first)


def read_ablation(
    path: Path,
    *,
    axes: tuple[str, ...] = (),
    overrides: tuple[str, ...] = (),
    seeds: int | None = None,
    equal: Equal | None = None,
    protocol: str | None = None,
    times: int | None = None,
) -> Ablation:
    """Read an ablation's file, or make one of a run's recipe and axes.

    Args:
        path: either file; one with ``cells`` is an ablation's.
        axes: ``key.path=value,value,...``; needed with a run's recipe, and refused with an ablation's.
        overrides: for every cell, after the file's own.
        seeds: instead of the file's.
        equal: instead of the file's.
        protocol: instead of the file's; its settings are then left out.
        times: instead of the file's.

    Raises:
        ConfigError: the file is missing or faulty, or axes are missing or too many.
    """
    data = read_toml(path)
    if "cells" in data:
        if axes:
            raise ConfigError(f"{path} states its cells itself; leave --axis out, or give a run's recipe")
        found = ablation_of(structure(AblationConfig, data), path)
    else:
        if not axes:
            raise ConfigError(
                f"{path} is the recipe of one run; say what is to change, "
                f"as in --axis refiner=none,plain,vera"
            )
        cells = tuple(cells_of(axes))
        found = Ablation(name_of(path.stem), path, (), cells, 3, "steps", ScoringConfig())
    by = found.evaluation
    if protocol is not None:
        by = attrs.evolve(by, protocol=protocol, settings=())
    if times is not None:
        by = attrs.evolve(by, times=times)
    return attrs.evolve(
        found,
        overrides=(*found.overrides, *overrides),
        seeds=found.seeds if seeds is None else seeds,
        equal=found.equal if equal is None else equal,
        evaluation=by,
    )


def ablation_of(config: AblationConfig, path: Path) -> Ablation:
    """What a file states, whose folder its recipe's path begins at."""
    return Ablation(
        name=name_of(path.stem),
        recipe=path.parent / config.recipe,
        overrides=config.overrides,
        cells=tuple(Cell(*one) for one in config.cells.items()),
        seeds=config.seeds,
        equal=config.equal,
        evaluation=config.evaluation,
        compare=config.compare,
        controls=config.controls,
    )
