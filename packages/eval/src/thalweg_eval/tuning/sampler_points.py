"""The points of a comparison of samplers: each by several steps or tolerances (no torch here)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from thalweg.arguments import described
from thalweg.errors import ConfigError
from thalweg.plugins import registry
from thalweg.suggestions import did_you_mean, known_words
from thalweg_eval.tuning.grids import Grid, grid_of, text_of

STEPS = (4, 8, 16, 32, 64)
TOLERANCES = (0.1, 0.01, 0.001)
"""Unless stated."""

_STEPS, _TOLERANCES = ("steps",), ("rtol", "atol")
_EXAMPLES = {"steps": "4,8,16", "tolerances": "0.1,0.01"}


@attrs.frozen
class SamplerPoint:
    """One sampler at one cost.

    Attributes:
        name: what tables call it.
        sampler: a table with its ``type``, in plain values.
        curve: the sampler without its cost, what charts call its curve.
        axis: what its cost is set by.
        at: that number of steps, or that tolerance.
    """

    name: str
    sampler: Mapping[str, Any]
    curve: str
    axis: Literal["steps", "tolerance"]
    at: float

    @property
    def stated(self) -> Mapping[str, Any]:
        """Its sampler."""
        return {"sampler": dict(self.sampler)}


def points_of(
    samplers: Sequence[str | Mapping[str, Any]], steps: Grid | None, tolerances: Grid | None
) -> list[SamplerPoint]:
    """All points, sampler by sampler, from few evaluations to many.

    Args:
        samplers: names, or tables with ``type`` and the options that stay as they are; empty for all that are
            registered, can be varied and need no option.
        steps: of samplers with ``steps``; None for the usual ones.
        tolerances: ``rtol`` and ``atol`` of adaptive samplers; None for the usual ones.

    Raises:
        ConfigError: there is no such sampler, it has nothing to vary, or a list is of no use or unreadable.
        PluginError: a sampler cannot be imported.
    """
    counts = STEPS if steps is None else _whole(grid_of("steps", steps, _EXAMPLES["steps"]))
    widths: Sequence[float] = TOLERANCES
    if tolerances is not None:
        widths = grid_of("tolerances", tolerances, _EXAMPLES["tolerances"])
        if widths[0] <= 0:
            raise ConfigError(f"tolerances has {text_of(widths[0])}; each must be above 0")
    found: list[SamplerPoint] = []
    for table in _tables(samplers):
        options = _varied(table["type"])
        stated = next((one for one in options if one in table), None)
        if stated is not None:
            raise ConfigError(
                f"{stated} of sampler {table['type']} is stated and varied; leave it out of the table, and "
                f"state --{'steps' if options == _STEPS else 'tolerances'}"
            )
        found += _along(table, options, counts, widths)
    axes = {one.axis for one in found}
    for name, given, axis in (("steps", steps, "steps"), ("tolerances", tolerances, "tolerance")):
        if given is not None and axis not in axes:
            kinds = "with steps" if axis == "steps" else "with rtol and atol, such as dopri5"
            raise ConfigError(
                f"{name} are of samplers {kinds}, and none is compared; leave them out, or add one"
            )
    return found


def _along(
    table: Mapping[str, Any], options: tuple[str, ...], counts: Sequence[int], widths: Sequence[float]
) -> list[SamplerPoint]:
    """The curve of one sampler."""
    fixed = [f"{key} {_shown(value)}" for key, value in table.items() if key != "type"]
    curve = ", ".join([str(table["type"]), *fixed])
    if options == _STEPS:
        return [
            SamplerPoint(
                f"{curve}, {at} step{'' if at == 1 else 's'}", {**table, "steps": at}, curve, "steps", at
            )
            for at in counts
        ]
    return [
        SamplerPoint(
            f"{curve}, tolerance {text_of(at)}",
            {**table, **dict.fromkeys(_TOLERANCES, at)},
            curve,
            "tolerance",
            at,
        )
        for at in sorted(widths, reverse=True)
    ]


def _tables(samplers: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    known = [one.name for one in registry() if one.kind == "sampler"]
    if not samplers:
        return [{"type": name} for name in known if _is_variable(name)]
    tables: list[dict[str, Any]] = []
    for one in samplers:
        table = {"type": one} if isinstance(one, str) else one
        if not isinstance(table, Mapping) or not isinstance(table.get("type"), str):
            raise ConfigError(
                f"samplers has {described(one)}; give a sampler's name, or a table with its type"
            )
        name = table["type"]
        if name not in known:
            nearest = did_you_mean(name, known) or known_words(known)
            raise ConfigError(f"there is no sampler '{name}'{nearest}")
        if not _varied(name):
            raise ConfigError(
                f"sampler {name} has neither steps nor rtol and atol, so there is no cost to vary; leave it "
                "out, or give its config one of them"
            )
        if dict(table) not in tables:
            tables.append(dict(table))
    return tables


def _options(name: str) -> Mapping[str, Any]:
    return attrs.fields_dict(registry().config_class("sampler", name))


def _varied(name: str) -> tuple[str, ...]:
    """The options that set a sampler's cost; empty if it has none that are known to."""
    options = _options(name)
    return next((one for one in (_STEPS, _TOLERANCES) if set(one) <= set(options)), ())


def _is_variable(name: str) -> bool:
    varied = _varied(name)
    needed = [key for key, field in _options(name).items() if field.default is attrs.NOTHING]
    return bool(varied) and set(needed) <= set(varied)


def _whole(grid: Sequence[float]) -> tuple[int, ...]:
    wrong = next((one for one in grid if one < 1 or one != int(one)), None)
    if wrong is not None:
        raise ConfigError(
            f"steps has {text_of(wrong)}; give whole numbers from 1 on, such as {_EXAMPLES['steps']}"
        )
    return tuple(map(int, grid))


def _shown(value: Any) -> str:
    return " to ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
