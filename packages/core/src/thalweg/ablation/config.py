"""What an ablation is: a recipe, the cells that change it, the seeds, and the judge."""

from pathlib import Path
from typing import Literal

import attrs
from attrs.validators import min_len

from thalweg.ablation.grid import Cell, cells_of
from thalweg.config import read_toml, structure
from thalweg.config.names import name_of
from thalweg.errors import ConfigError
from thalweg.integers import REPEATS


@attrs.frozen
class JudgeConfig:
    """How every cell is judged.

    Attributes:
        protocol: of the evaluation: a shipped one's name or a TOML file.
        settings: ``key=value`` changes of it.
        times: how often in training, evenly spaced; the last is the end. More than one shows how soon a
            score is reached, and costs as many drawings.
    """

    protocol: str = attrs.field(default="quick", validator=min_len(1))
    settings: tuple[str, ...] = attrs.field(default=(), converter=tuple)
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
            as cost what the first cell's cost, counted in operations of the forward pass.
        judge: who judges and how.
    """

    recipe: str = attrs.field(validator=min_len(1))
    overrides: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    cells: dict[str, tuple[str, ...]] = attrs.field(validator=min_len(1))
    seeds: int = attrs.field(default=3, validator=REPEATS)
    equal: Literal["steps", "compute"] = "steps"
    judge: JudgeConfig = attrs.field(factory=JudgeConfig)


@attrs.frozen
class Ablation:
    """An ablation, ready to run.

    Attributes:
        name: what it is called.
        recipe: the recipe's file.
        overrides: for every cell.
        cells: what is compared.
        seeds: 0, 1, ...
        equal: ``steps`` or ``compute``.
        judge: who judges and how.
    """

    name: str
    recipe: Path
    overrides: tuple[str, ...]
    cells: tuple[Cell, ...]
    seeds: int = attrs.field(validator=REPEATS)
    equal: Literal["steps", "compute"]
    judge: JudgeConfig


def read_ablation(
    path: Path,
    *,
    axes: tuple[str, ...] = (),
    overrides: tuple[str, ...] = (),
    seeds: int | None = None,
    equal: Literal["steps", "compute"] | None = None,
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
        config = structure(AblationConfig, data)
        recipe, cells = path.parent / config.recipe, [Cell(*one) for one in config.cells.items()]
        stated, count, sharing, by = config.overrides, config.seeds, config.equal, config.judge
    else:
        if not axes:
            raise ConfigError(
                f"{path} is the recipe of one run; say what is to change, "
                f"as in --axis refiner=none,plain,vera"
            )
        recipe, cells = path, cells_of(axes)
        stated, count, sharing, by = (), 3, "steps", JudgeConfig()
    if protocol is not None:
        by = attrs.evolve(by, protocol=protocol, settings=())
    if times is not None:
        by = attrs.evolve(by, times=times)
    return Ablation(
        name=name_of(path.stem),
        recipe=recipe,
        overrides=(*stated, *overrides),
        cells=tuple(cells),
        seeds=count if seeds is None else seeds,
        equal=sharing if equal is None else equal,
        judge=by,
    )
