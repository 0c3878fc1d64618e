"""Parts that are built already, in place of a name, a table or a config (no torch until there is one)."""

import importlib
from collections.abc import Mapping
from typing import Any

from thalweg.plugins import KINDS
from thalweg.suggestions import article

_ELSEWHERE = {"interpolant": "thalweg.interpolant:Schedule", "schedule": "thalweg.protocols:RateSchedule"}

PROTOCOLS: Mapping[str, str] = {
    kind: _ELSEWHERE.get(kind, f"thalweg.protocols:{''.join(map(str.capitalize, kind.split('_')))}")
    for kind in KINDS
}
"""Where the protocol is that what is built of a kind fulfils."""

_PLAIN = (str, int, float, complex, bytes, list, tuple, set, frozenset, type(None))
_SPECIAL = ("__call__", "__len__", "__getitem__")


def may_be_built(value: Any) -> bool:
    """Whether a value is an object of its own kind, and no plain value that was put there by mistake."""
    return not isinstance(value, _PLAIN)


def fault_of(kind: str, part: Any) -> str:
    """What keeps an object from being a part of a kind; empty if nothing does."""
    missing = [name for name in _members(protocol_of(kind)) if not hasattr(part, name)]
    if not missing:
        return ""
    what, owner = type(part).__qualname__, type(part).__module__
    lacks = " and ".join(["cannot be called" if one == "__call__" else f"has no '{one}'" for one in missing])
    return (
        f"expected {article(kind)}: its name, a table, its config, or one that is built; {what} of {owner} "
        f"has no build and {lacks}"
    )


def protocol_of(kind: str) -> Any:
    """The runtime protocol of a kind."""
    module, _, name = PROTOCOLS[kind].partition(":")
    return getattr(importlib.import_module(module), name)  # torch comes in here


def _members(protocol: Any) -> list[str]:
    names = [*getattr(protocol, "__annotations__", {}), *vars(protocol)]
    return [name for name in dict.fromkeys(names) if not name.startswith("_") or name in _SPECIAL]
