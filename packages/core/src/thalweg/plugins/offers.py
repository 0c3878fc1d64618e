"""What the installed distributions offer in the entry-point group ``thalweg``.

The walk over the distributions is ours rather than ``importlib.metadata.entry_points``: that one stops
at a single broken file, and asking it for names and versions parses every metadata file in full.
"""

import importlib.metadata
import io
import re
from collections.abc import Iterator

import attrs

from thalweg.plugins.records import Fault
from thalweg.suggestions import one_line

GROUP = "thalweg"
CORE = "thalweg-core"
BUILT_IN = (CORE, "thalweg-backbones", "thalweg-refiners", "thalweg-samplers", "thalweg-eval")


@attrs.frozen
class Offer:
    """One entry point and the distribution it belongs to."""

    plugin: str
    distribution: str
    version: str
    entry_point: importlib.metadata.EntryPoint

    def fault(self, reason: str, deliberate: bool = False) -> Fault:
        """A fault of this plugin."""
        return Fault(self.plugin, self.distribution, self.version, reason, deliberate)


def offers() -> tuple[list[Offer], list[Fault]]:
    """All plugins on offer: the built-in ones first, then by distribution and name; and broken metadata."""
    found: dict[tuple[str, str], Offer] = {}
    faults = []
    seen: dict[str, importlib.metadata.Distribution] = {}
    for distribution in importlib.metadata.distributions():
        text = distribution.read_text("entry_points.txt")
        if not text or GROUP not in text:
            continue
        name, version = _identity(distribution)
        # The first on the path hides another of the same name, as it does for imports.
        if seen.setdefault(_canonical(name), distribution) is not distribution:
            continue
        try:
            for entry_point in distribution.entry_points.select(group=GROUP):
                offer = Offer(entry_point.name, name, version, entry_point)
                found.setdefault((_canonical(name), entry_point.name), offer)
        except Exception as error:
            reason = f"has an entry_points.txt that cannot be read: {one_line(error)}"
            faults.append(Fault("?", name, version, reason))
    return sorted(found.values(), key=_rank), faults


def _rank(offer: Offer) -> tuple[int, str, str]:
    name = _canonical(offer.distribution)
    rank = BUILT_IN.index(name) if name in BUILT_IN else len(BUILT_IN)
    return rank, name, offer.plugin


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    fields = dict(_headers(distribution))
    return fields.get("name", "unknown"), fields.get("version", "unknown")


def _headers(distribution: importlib.metadata.Distribution) -> Iterator[tuple[str, str]]:
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    # Line by line, as a whole README may follow.
    for line in io.StringIO(text):
        if not line.strip():
            return
        key, _, value = line.partition(":")
        yield key.lower(), value.strip()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
