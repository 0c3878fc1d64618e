"""Distributions whose entry points cannot be read, hidden from all libraries of this process.

torch, fsspec and Lightning ask for the entry points of every distribution when they are imported, and end at
the first file that is damaged, or wait for ever for one that is a FIFO. What is hidden here is left out of
what ``importlib.metadata`` finds, so that it costs its own plugins and nothing else.
"""

import importlib.metadata
from collections.abc import Collection, Iterator
from typing import Any

_hidden: frozenset[Any] = frozenset()


def distributions() -> Iterator[importlib.metadata.Distribution]:
    """All distributions, those that are hidden too; nothing is hidden any more from here on."""
    hide(())
    return iter(importlib.metadata.distributions())


def hide(folders: Collection[Any]) -> None:
    """Hide exactly the distributions of these ``dist-info`` folders."""
    global _hidden
    _hidden = frozenset(folders)
    finder: Any = importlib.metadata.MetadataPathFinder
    if folders and not hasattr(finder.find_distributions, "unfiltered"):
        finder.find_distributions = _filtered(finder.find_distributions)


def _filtered(unfiltered: Any) -> Any:
    def find_distributions(*arguments: Any, **named: Any) -> Iterator[importlib.metadata.Distribution]:
        found = unfiltered(*arguments, **named)
        return (one for one in found if getattr(one, "_path", None) not in _hidden)

    find_distributions.unfiltered = unfiltered  # type: ignore[attr-defined]
    return find_distributions
