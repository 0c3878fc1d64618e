"""Variants of sampling: several ways to sample one network, evaluated side by side (no torch here)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg.arguments import check_instance, check_texts, described
from thalweg.errors import ConfigError

VARIED = ("sampler", "guidance", "precision")
"""What variants may differ in: everything else, seed and labels above all, is the same for all of them."""

_TABLE = "sampling"
_NO_FILE = re.compile(r"[^\w.,=+ -]")
_LONGEST = 120  # characters of a file's name


@attrs.frozen(eq=False)
class Variant:
    """How a network is sampled.

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
        """The name of its passport's file."""
        return f"{_NO_FILE.sub('-', self.name or '').strip('. ')[:_LONGEST]}.json"


def variants_of(compare: Mapping[str, Any] | None, sampling: Mapping[str, Any] | None) -> list[Variant]:
    """The variants that are requested, each with what is stated for all.

    Args:
        compare: a table of sampler, guidance and precision, or a list of settings, by name; None for one
            variant.
        sampling: what is stated for all of them.

    Raises:
        ConfigError: one of them states something else, two have the same name, or there is one alone.
    """
    if sampling is not None:
        check_instance("sampling", sampling, Mapping, "a table, such as {'guidance': None}")
    if compare is None:
        return [Variant(sampling=dict(sampling or {}))]
    example = "a table of variants by name, such as {'plain': {'guidance': None}, 'cfg': {'guidance': 'cfg'}}"
    check_instance("compare", compare, Mapping, example)
    if len(compare) < 2:
        raise ConfigError(
            f"compare names {len(compare) or 'no'} variant of sampling; give at least two, or leave it out"
        )
    variants = [_variant(name, stated, sampling or {}) for name, stated in compare.items()]
    files = [one.file.lower() for one in variants]
    twice = next((one.name for one in variants if files.count(one.file.lower()) > 1), None)
    if twice is not None:
        raise ConfigError(f"the passports of two variants in compare would have the file name of '{twice}'")
    return variants


def _variant(name: Any, stated: Any, sampling: Mapping[str, Any]) -> Variant:
    check_instance("a name in compare", name, str, "a text")
    if not name.strip():
        raise ConfigError("a name in compare is empty; say what tables shall call that variant")
    where = f"compare['{name}']"
    if isinstance(stated, Mapping):
        keys: Sequence[str] = [str(key) for key in stated]
        variant = Variant(name, sampling={**sampling, **stated})
    elif isinstance(stated, list | tuple):
        changes = check_texts(where, stated, "['sampling.guidance.scale=2']")
        keys = [_changed(where, change) for change in changes]
        variant = Variant(name, tuple(changes), dict(sampling))
    else:
        raise ConfigError(
            f"{where} is {described(stated)}; give a table, such as {{'guidance': None}}, or a list of "
            "settings"
        )
    for key in keys:
        if key not in VARIED:
            raise ConfigError(
                f"{where} states {key}, and variants differ in {', '.join(VARIED)} alone, so that all begin "
                "at the same noise and labels; state it for all of them"
            )
    return variant


def _changed(where: str, change: str) -> str:
    table, dot, rest = change.partition("=")[0].strip().partition(".")
    if table != _TABLE or not dot:
        raise ConfigError(
            f"{where} changes {table}, and a variant changes keys of {_TABLE}, such as "
            f"{_TABLE}.guidance=none; what is the same for all goes into settings"
        )
    return rest.partition(".")[0]
