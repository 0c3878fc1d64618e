"""Ways of drawing from one network, and how sampling is written as settings (no torch here)."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from thalweg.arguments import check_instance, check_texts, described
from thalweg.errors import ConfigError

PAIRED = ("sampler", "guidance", "precision")
"""What ways may differ in: everything else, the seed and labels above all, is the same for all of them."""

_TABLE = "sampling"
_NO_FILE = re.compile(r"[^\w.,=+ -]")
_LONGEST = 120  # characters of a file's name


@attrs.frozen(eq=False)
class Way:
    """How one network is drawn from.

    Attributes:
        name: what tables call it; None for the only one.
        settings: ``sampling.key=value`` changes of what the protocol, the user and the network say.
        sampling: what is stated whole instead: a name, table, config or part by key.
    """

    name: str | None = None
    settings: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def file(self) -> str:
        """What its passport is called."""
        return f"{_NO_FILE.sub('-', self.name or '').strip('. ')[:_LONGEST]}.json"


def ways_of(compare: Mapping[str, Any] | None, sampling: Mapping[str, Any] | None) -> list[Way]:
    """The ways that are asked for, each with what is stated for all.

    Args:
        compare: a table of sampler, guidance and precision, or a list of settings, by name; None for one way.
        sampling: what is stated for all of them.

    Raises:
        ConfigError: one of them is no way, two have the same name, or there is one alone.
    """
    if sampling is not None:
        check_instance("sampling", sampling, Mapping, "a table, such as {'guidance': None}")
    if compare is None:
        return [Way(sampling=dict(sampling or {}))]
    example = "a table of ways by name, such as {'plain': {'guidance': None}, 'cfg': {'guidance': 'cfg'}}"
    check_instance("compare", compare, Mapping, example)
    if len(compare) < 2:
        raise ConfigError(
            f"compare names {len(compare) or 'no'} way of drawing; give at least two, or leave it out"
        )
    ways = [_way(name, stated, sampling or {}) for name, stated in compare.items()]
    files = [way.file.lower() for way in ways]
    twice = next((way.name for way in ways if files.count(way.file.lower()) > 1), None)
    if twice is not None:
        raise ConfigError(f"compare has two ways whose passports would be called like that of '{twice}'")
    return ways


def assignments(stated: Mapping[str, Any], keys: Iterable[str]) -> tuple[str, ...]:
    """These keys of a sampling table in plain values as settings, ``sampling.key=value``."""
    # Nothing is a word without quotes, as users write it.
    written = {key: "none" if stated[key] == "none" else _written(stated[key]) for key in keys}
    return tuple(f"{_TABLE}.{key}={value}" for key, value in written.items())


def _way(name: Any, stated: Any, sampling: Mapping[str, Any]) -> Way:
    check_instance("a name in compare", name, str, "a text")
    if not name.strip():
        raise ConfigError("a name in compare is empty; say what tables shall call that way")
    where = f"compare['{name}']"
    if isinstance(stated, Mapping):
        keys: Sequence[str] = [str(key) for key in stated]
        way = Way(name, sampling={**sampling, **stated})
    elif isinstance(stated, list | tuple):
        changes = check_texts(where, stated, "['sampling.guidance.scale=2']")
        keys = [_changed(where, change) for change in changes]
        way = Way(name, tuple(changes), dict(sampling))
    else:
        raise ConfigError(
            f"{where} is {described(stated)}; give a table, such as {{'guidance': None}}, or a list of "
            "settings"
        )
    for key in keys:
        if key not in PAIRED:
            raise ConfigError(
                f"{where} states {key}, and ways of drawing differ in {', '.join(PAIRED)} alone, so that all "
                "begin at the same noise and labels; state it for all of them"
            )
    return way


def _changed(where: str, change: str) -> str:
    table, dot, rest = change.partition("=")[0].strip().partition(".")
    if table != _TABLE or not dot:
        raise ConfigError(
            f"{where} changes {table}, and a way of drawing changes keys of {_TABLE}, such as "
            f"{_TABLE}.guidance=none; what is the same for all goes into settings"
        )
    return rest.partition(".")[0]


def _written(value: Any) -> str:
    """A plain value on one line; texts, numbers and truth values are written as in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_written, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
