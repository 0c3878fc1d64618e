"""Distributions whose entry points cannot be read, hidden from all libraries of this process.

torch, fsspec and Lightning ask for the entry points of every distribution when they are imported, and end at
the first file that is damaged, or wait for ever for one that is a FIFO. What is hidden here is left out of
what ``importlib.metadata`` finds, so that it costs its own plugins and nothing else.
"""

import importlib.metadata
import os
from collections.abc import Collection, Iterator
from typing import Any

VARIABLE = "_THALWEG_HIDDEN"
"""Tells processes that this one starts what is hidden: some import torch before they look at plugins."""

_hidden: frozenset[str] = frozenset()


def distributions() -> Iterator[importlib.metadata.Distribution]:
    """All distributions, those that are hidden too; nothing is hidden any more from here on."""
    hide(())
    return iter(importlib.metadata.distributions())


def hide(folders: Collection[str]) -> None:
    """Hide exactly the distributions of these ``dist-info`` folders."""
    global _hidden
    _hidden = frozenset(folders)
    if not folders:
        os.environ.pop(VARIABLE, None)
        return
    os.environ[VARIABLE] = os.pathsep.join(sorted(folders))
    finder: Any = importlib.metadata.MetadataPathFinder
    if not hasattr(finder.find_distributions, "unfiltered"):
        finder.find_distributions = _filtered(finder.find_distributions)


def inherit() -> None:
    """Hide what the process that started this one has hidden."""
    hide([folder for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder])


def _filtered(unfiltered: Any) -> Any:
    def find_distributions(*arguments: Any, **named: Any) -> Iterator[importlib.metadata.Distribution]:
        found = unfiltered(*arguments, **named)
        return (one for one in found if str(getattr(one, "_path", "")) not in _hidden)

    find_distributions.unfiltered = unfiltered  # type: ignore[attr-defined]
    return find_distributions
