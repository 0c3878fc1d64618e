"""What the installed distributions offer in the entry-point group ``thalweg``.

The walk over the distributions is ours rather than ``importlib.metadata.entry_points``: that one stops
at a single broken file, and asking it for names and versions parses every metadata file in full.
"""

import re
from importlib.metadata import Distribution

import attrs

from thalweg.plugins import quarantine
from thalweg.plugins.metadata import DamagedError, Reference, entries, folder_name, identity, reference
from thalweg.plugins.records import Fault

GROUP = "thalweg"
CORE = "thalweg-core"
BUILT_IN = (CORE, "thalweg-backbones", "thalweg-refiners", "thalweg-samplers", "thalweg-eval")

_CURE = "install it again, or remove it"


@attrs.frozen
class Offer:
    """One entry point and the distribution it belongs to.

    Attributes:
        plugin: name of the entry point.
        distribution: which has it.
        version: of the distribution.
        value: what the entry point names, as it is written.
        reference: the same, taken apart.
    """

    plugin: str
    distribution: str
    version: str
    value: str
    reference: Reference

    def fault(self, reason: str, deliberate: bool = False) -> Fault:
        """A fault of this plugin."""
        return Fault(self.plugin, self.distribution, self.version, reason, deliberate)


def offers() -> tuple[list[Offer], list[Fault]]:
    """All plugins on offer: the built-in ones first, then by distribution and name; and broken metadata.

    Distributions whose entry points cannot be read are hidden from other libraries of this process.
    """
    walk = _Walk()
    for distribution in quarantine.distributions():
        walk.visit(distribution)
    quarantine.hide(walk.unreadable)
    return sorted(walk.offers, key=_rank), walk.faults


class _Walk:
    def __init__(self) -> None:
        self.offers: list[Offer] = []
        self.faults: list[Fault] = []
        self.unreadable: set[str] = set()
        self._seen: dict[str, Distribution] = {}

    def visit(self, distribution: Distribution) -> None:
        """Note what a distribution offers, or that it is damaged."""
        try:
            every = entries(distribution)
            if not folder_name(distribution)[0]:
                # Whoever asks for entry points then reads the name too.
                identity(distribution)
        except DamagedError as damage:
            self.unreadable |= {str(path) for path in [getattr(distribution, "_path", "")] if str(path)}
            self._damaged(distribution, damage)
            return
        ours = [(name, value) for group, name, value in every if group == GROUP]
        if not ours:
            return
        try:
            owner, version = identity(distribution)
        except DamagedError as damage:
            self._damaged(distribution, damage)
            return
        if self._is_first(owner, distribution):
            self._take(owner, version, ours)

    def _take(self, owner: str, version: str, ours: list[tuple[str, str]]) -> None:
        taken: dict[str, str] = {}
        for name, value in ours:
            named = reference(value)
            if taken.setdefault(name, value) != value:
                reason = f"is named twice; '{taken[name]}' stays, '{value}' is left out"
                self.faults.append(Fault(name, owner, version, reason))
            elif named is None:
                self.faults.append(Fault(name, owner, version, _misspelt(value, owner)))
            elif all(one.plugin != name or one.distribution != owner for one in self.offers):
                self.offers.append(Offer(name, owner, version, value, named))

    def _damaged(self, distribution: Distribution, damage: DamagedError) -> None:
        try:
            name, version = identity(distribution)
        except DamagedError:
            name, version = folder_name(distribution)
        if self._is_first(name, distribution):
            self.faults.append(Fault("", name, version, f"{damage}; {_CURE}"))

    def _is_first(self, name: str, distribution: Distribution) -> bool:
        # The first on the path hides another of the same name, as it does for imports.
        return self._seen.setdefault(_canonical(name), distribution) is distribution


def _misspelt(value: str, owner: str) -> str:
    return (
        f"cannot be imported: its entry point names '{value}', which is neither 'module' nor "
        f"'module:object'; correct it under [project.entry-points.thalweg] of {owner} and install that again"
    )


def _rank(offer: Offer) -> tuple[int, str, str]:
    name = _canonical(offer.distribution)
    rank = BUILT_IN.index(name) if name in BUILT_IN else len(BUILT_IN)
    return rank, name, offer.plugin


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
