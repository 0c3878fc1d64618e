"""What a bench is: cells as of an ablation, on several data sets (no torch here)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import attrs
from attrs.validators import min_len, optional

from thalweg.arguments import REPEATS
from thalweg.config import read_toml, structure
from thalweg.config.run import name_of
from thalweg.errors import ConfigError
from thalweg.suggestions import did_you_mean, known_words
from thalweg_eval.ablation.config import Ablation, AblationConfig, Equal, ScoringConfig, ablation_of, texts
from thalweg_eval.bench.registry import bench_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")
_REPEATS: Any = optional(REPEATS)


@attrs.frozen(kw_only=True)
class DataSetConfig:
    """A data set of a bench, and what is other on it.

    Attributes:
        recipe: the run that the cells change, instead of the bench's; a path from the file's own folder.
        overrides: ``key.path=value`` for every cell, after the bench's and before the cell's own.
        without: cells that this data set leaves out: their names, or patterns of them as in ``CFG *``.
        seeds: instead of the bench's.
        equal: the same.
        protocol: instead of the bench's, whose settings are then left out.
        settings: ``key=value`` changes of the protocol, after the bench's.
    """

    recipe: str | None = attrs.field(default=None, validator=optional(min_len(1)))
    overrides: tuple[str, ...] = attrs.field(default=(), converter=texts)
    without: tuple[str, ...] = attrs.field(default=(), converter=texts)
    seeds: int | None = attrs.field(default=None, validator=_REPEATS)
    equal: Equal | None = None
    protocol: str | None = attrs.field(default=None, validator=optional(min_len(1)))
    settings: tuple[str, ...] = attrs.field(default=(), converter=texts)


@attrs.frozen(kw_only=True)
class BenchConfig(AblationConfig):
    """A whole bench, as its file states it: an ablation's keys, and its data sets.

    Attributes:
        recipe: of data sets that name none.
        description: what it is for, in words.
        data: the data sets, by name.
    """

    recipe: str | None = attrs.field(default=None, validator=optional(min_len(1)))  # type: ignore[assignment]
    description: str = ""
    data: dict[str, DataSetConfig] = attrs.field(validator=min_len(1))

    @data.validator
    def _complete(self, _: object, data: dict[str, DataSetConfig]) -> None:
        for name, one in data.items():
            if not _NAME.fullmatch(name):
                raise ConfigError(f"'{name}' names a folder too; take letters, digits, - and _")
            if one.recipe is None and self.recipe is None:
                raise ConfigError(f"{name} has no recipe; state one for it, or for all data sets")
            self._known(pattern for pattern in one.without if not _matched(self.cells, [pattern]))
            out = _matched(self.cells, one.without)
            left = [cell for cell in self.cells if cell not in out]
            first = next(iter(self.cells))
            for cell in left:
                other = self.compare.get(cell, first)
                if other not in left:
                    raise ConfigError(
                        f"{name} leaves out the cell '{other}', with which '{cell}' is compared; leave "
                        f"that out too, or compare it with another"
                    )


def _matched(cells: Iterable[str], patterns: Sequence[str]) -> set[str]:
    """The cells that one of the patterns names; a name may hold a pattern's signs itself."""
    return {cell for cell in cells if cell in patterns or any(fnmatchcase(cell, one) for one in patterns)}


@attrs.frozen
class Bench:
    """A bench, ready to run.

    Attributes:
        name: what it is called.
        description: what it is for.
        ablations: one a data set, by its name.
    """

    name: str
    description: str
    ablations: Mapping[str, Ablation]


def read_bench(
    named: str,
    *,
    data: Sequence[str] = (),
    overrides: tuple[str, ...] = (),
    seeds: int | None = None,
    equal: Equal | None = None,
) -> Bench:
    """Read a bench.

    Args:
        named: a shipped one's name, or a file of one's own, which ends in ``.toml``.
        data: the data sets that are wanted; all of them if none is named.
        overrides: ``key.path=value`` for every cell on every data set, after the file's own.
        seeds: instead of the file's.
        equal: the same.

    Raises:
        ConfigError: there is no such bench or data set, or the file is faulty.
    """
    path = bench_file(named)
    config = structure(BenchConfig, read_toml(path))
    for name in data:
        if name not in config.data:
            known = did_you_mean(name, config.data) or known_words(config.data)
            raise ConfigError(f"the bench {path.stem} has no data set '{name}'{known}")
    wanted = {name: one for name, one in config.data.items() if name in data or not data}
    ablations = {}
    for name, one in wanted.items():
        found = attrs.evolve(
            ablation_of(_on(config, one, path.parent), path), name=name_of(f"{path.stem} {name}")
        )
        ablations[name] = attrs.evolve(
            found,
            overrides=(*found.overrides, *overrides),
            seeds=found.seeds if seeds is None else seeds,
            equal=found.equal if equal is None else equal,
        )
    return Bench(name_of(path.stem), config.description, ablations)


def _on(bench: BenchConfig, one: DataSetConfig, folder: Path) -> AblationConfig:
    """The ablation of one data set."""
    out = _matched(bench.cells, one.without)
    cells = {name: cell for name, cell in bench.cells.items() if name not in out}
    scoring = bench.evaluation
    if one.protocol is not None:
        scoring = ScoringConfig(protocol=one.protocol, times=scoring.times)
    protocol = scoring.protocol
    if protocol.endswith(".toml"):  # beside the bench, as recipes are
        protocol = str(folder / protocol)
    return AblationConfig(
        recipe=one.recipe or bench.recipe or "",
        overrides=(*bench.overrides, *one.overrides),
        cells=cells,
        seeds=bench.seeds if one.seeds is None else one.seeds,
        equal=bench.equal if one.equal is None else one.equal,
        compare={name: other for name, other in bench.compare.items() if name in cells},
        controls={name: what for name, what in bench.controls.items() if name in cells},
        evaluation=attrs.evolve(scoring, protocol=protocol, settings=(*scoring.settings, *one.settings)),
    )
