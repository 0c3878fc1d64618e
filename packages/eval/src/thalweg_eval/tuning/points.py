"""The points of a scan: ways of guiding one network, each by its name (no torch here)."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal, Protocol, TypeVar

import attrs

from thalweg.arguments import described
from thalweg.config import apply_override
from thalweg.errors import ConfigError
from thalweg.plugins import registry
from thalweg.suggestions import did_you_mean, known_words
from thalweg_eval.tuning.grids import text_of

Axis = Literal["scale", "strength", ""]

UNGUIDED = "unguided"
LADDER, INTERNAL, CALIBRATED = "ladder", "internal", "calibrated"
SCALES = (1.2, 1.4, 1.6, 1.8, 2.0)
STRENGTHS = (1.0, 2.0, 3.0, 4.0)
"""Unless stated; 1 and 0 are the unguided network, which is scored anyway."""

_TUNABLE = "cfg, internal, half, path_drop or ladder"


class TunedPoint(Protocol):
    """A point of any tuning."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def curve(self) -> str:
        """What charts call the curve that it is on."""
        ...

    @property
    def axis(self) -> str:
        """What the curve runs over."""
        ...

    @property
    def at(self) -> float | None:
        """Where on it; None for what is on none."""
        ...

    @property
    def stated(self) -> Mapping[str, Any]:
        """Keys of the protocol's ``sampling`` that make it, in plain values."""
        ...


Kind = TypeVar("Kind", bound=TunedPoint)


@attrs.frozen
class Point:
    """One way of guiding the network.

    Attributes:
        name: what tables call it.
        guidance: from the network outwards, in plain values; empty for none.
        curve: what charts call the curve that it is on; empty for what has no scale.
        axis: what the curve runs over: a scale, or the strength of a calibrated one.
        at: where on it; None for what has no scale.
        after: depths of the heads that it was told to read; empty if it was told none.
        interval: in which it acts; None for the one that it has anyway.
    """

    name: str
    guidance: tuple[Mapping[str, Any], ...] = ()
    curve: str = ""
    axis: Axis = ""
    at: float | None = None
    after: tuple[int, ...] = ()
    interval: tuple[float, float] | None = None

    @property
    def stated(self) -> Mapping[str, Any]:
        """Its guidance; none is stated as such."""
        return {"guidance": [dict(one) for one in self.guidance] or None}


@attrs.frozen
class Scan:
    """What is scanned.

    Attributes:
        method: the guidance, a table with its ``type``.
        scales: of it; empty for none.
        strengths: of its calibrated form; empty for none.
        intervals: empty for the one that it has anyway.
        after: depths of heads: a curve for each, but one ladder of all; empty for what it reads anyway.
        around: guidance around it, from the inside outwards, tables with their ``type``.
    """

    method: Mapping[str, Any]
    scales: tuple[float, ...] = ()
    strengths: tuple[float, ...] = ()
    intervals: tuple[tuple[float, float], ...] = ()
    after: tuple[int, ...] = ()
    around: tuple[Mapping[str, Any], ...] = ()

    @property
    def type(self) -> str:
        """The method's name."""
        return str(self.method["type"])

    def points(self) -> list[Point]:
        """All of them: first the unguided network, then what stands around alone, then the grid."""
        first = [Point(UNGUIDED)]
        if self.around:
            first.append(Point(f"{' and '.join(str(one['type']) for one in self.around)} alone", self.around))
        return [*first, *self.grid()]

    def grid(self) -> list[Point]:
        """The grid alone, curve by curve.

        Raises:
            ConfigError: it has one point.
        """
        heads: Sequence[tuple[int, ...]] = [(depth,) for depth in self.after] or [()]
        if self.type == LADDER:
            heads = [self.after]
        found = []
        for axis, values in (("scale", self.scales), ("strength", self.strengths)):
            for after, interval in product(heads, self.intervals or (None,)):
                found += [self.point(axis, at, after, interval) for at in values]
        curves = [one.curve for one in found]
        lone = next((one for one in found if curves.count(one.curve) < 2), None)
        if lone is not None:
            raise ConfigError(
                f"the scan has one {lone.axis} alone, {text_of(lone.at or 0.0)}; give at least two, such as "
                f"{'1:2:0.25' if lone.axis == 'scale' else '0:4:1'}"
            )
        return found

    def point(
        self, axis: str, at: float, after: tuple[int, ...], interval: tuple[float, float] | None
    ) -> Point:
        """One point of the method."""
        options: dict[str, Any] = dict(self.method)
        calibrated = axis == "strength"
        if calibrated and self.type != LADDER:
            options["scale"] = CALIBRATED
        options[axis] = at
        if after:
            options["after"] = list(after) if self.type == LADDER else after[0]
        if interval is not None:
            options["interval"] = list(interval)
        words = [f"{CALIBRATED} {self.type}" if calibrated else self.type]
        if after:
            words[0] += f" after {' and '.join(map(str, after))}"
        if interval is not None:
            words.append(f"{text_of(interval[0])} to {text_of(interval[1])}")
        curve = ", ".join(words)
        return Point(
            f"{curve}, {axis} {text_of(at)}",
            (options, *self.around),
            curve,
            "strength" if calibrated else "scale",
            at,
            after,
            interval,
        )


def scan_of(
    method: str | Mapping[str, Any],
    *,
    scales: tuple[float, ...] | None,
    strengths: tuple[float, ...] | None,
    intervals: tuple[tuple[float, float], ...],
    after: tuple[int, ...],
    around: Sequence[str | Mapping[str, Any]],
) -> Scan:
    """What is asked for, with the usual grid where none is stated.

    Raises:
        ConfigError: there is no such guidance, or it has nothing to scan, or no such option.
        PluginError: it cannot be imported.
    """
    table = _table("method", method)
    name = str(table["type"])
    known = set(attrs.fields_dict(registry().config_class("guidance", name)))
    if not known & {"scale", "strength"}:
        raise ConfigError(f"guidance {name} has no scale to scan; tune one that has, such as {_TUNABLE}")
    for option, given in (
        ("scale", scales),
        ("strength", strengths),
        ("interval", intervals),
        ("after", after),
    ):
        if given and option not in known:
            raise ConfigError(f"guidance {name} has no {option}{_instead(option)}; leave that out")
        if given and option in table:
            raise ConfigError(f"{option} of guidance {name} is stated and scanned; do one of the two")
    if scales is None and strengths is None:
        scales, strengths = (SCALES, ()) if "scale" in known else ((), STRENGTHS)
    return Scan(
        table,
        scales=scales or (),
        strengths=strengths or (),
        intervals=intervals,
        after=after,
        around=tuple(_table("around", one) for one in around),
    )


def around_of(items: Sequence[str]) -> list[dict[str, Any]]:
    """Guidance around the method, from ``cfg``, ``cfg=1.35`` (its scale) and ``cfg.scale=1.35``, in order.

    Raises:
        ConfigError: one of them cannot be read.
    """
    tables: dict[str, Any] = {}
    for item in items:
        if "=" in item:
            apply_override(tables, item)
        else:
            tables.setdefault(item.strip(), {})
    found = []
    for name, value in tables.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        options = {"scale": value} if number else value
        if not isinstance(options, Mapping):
            raise ConfigError(
                f"around states {name} as {described(value)}; write a name, cfg=1.35 for its scale, or "
                "cfg.scale=1.35 for any of its options"
            )
        found.append({"type": name, **options})
    return found


def method_of(text: str) -> str | dict[str, Any]:
    """A guidance as it is typed: a name, or a table in TOML.

    Raises:
        ConfigError: it cannot be read.
    """
    stated: dict[str, Any] = {}
    apply_override(stated, f"method={text}")
    value: str | dict[str, Any] = stated["method"]
    return value


def _instead(option: str) -> str:
    return " (its strengths are what is scanned)" if option == "scale" else ""


def _table(name: str, stated: Any) -> dict[str, Any]:
    table = {"type": stated} if isinstance(stated, str) else stated
    if not isinstance(table, Mapping) or not isinstance(table.get("type"), str):
        raise ConfigError(f"{name} is {described(stated)}; give a guidance's name, or a table with its type")
    known = [one.name for one in registry() if one.kind == "guidance"]
    if table["type"] not in known:
        nearest = did_you_mean(table["type"], known) or known_words(known)
        raise ConfigError(f"there is no guidance '{table['type']}'{nearest}")
    return dict(table)
