"""What the installed distributions offer in the entry-point group ``thalweg``; nothing is taken for granted.

The walk over the distributions is ours rather than ``importlib.metadata.entry_points``: that one stops
at a single broken file, and asking it for names and versions parses every metadata file in full.

Distributions whose entry points cannot be read are hidden from all libraries of this process. torch, fsspec
and Lightning read the entry points of every distribution when they are imported, and end at the first file
that is damaged, or wait for ever for one that is a FIFO. What is hidden here is left out of what
``importlib.metadata`` finds, so that it costs its own plugins and nothing else.
"""

import importlib.metadata
import io
import os
import re
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import attrs

from thalweg.plugins.catalogue import Fault, Origin
from thalweg.regular import read_bytes

GROUP = "thalweg"
CORE = "thalweg-core"
BUILT_IN = (
    CORE,
    "thalweg-backbones",
    "thalweg-refiners",
    "thalweg-samplers",
    "thalweg-eval",
    "thalweg-authoring",
)

HIDDEN = "_THALWEG_HIDDEN"
"""States to processes that this one starts what is hidden: some import torch before they look at plugins."""

_ENTRY_POINTS = "entry_points.txt"
_DESCRIPTIONS = ("METADATA", "PKG-INFO")
_LARGEST = 16 * 2**20
_HEADER = re.compile(r"[!-9;-~]*:|[\t ]+\S")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
# As packaging writes them: a module, an object in it, extras that are of no use here.
_PART = r"[^\W\d]\w*"
_REFERENCE = re.compile(rf"({_PART}(?:\.{_PART})*)\s*(?::\s*({_PART}(?:\.{_PART})*))?\s*(?:\[.*\])?")
_CURE = "install it again, or remove it"

_hidden: frozenset[str] = frozenset()


class DamagedError(Exception):
    """Why the metadata of a distribution cannot be used."""


@attrs.frozen
class Offer(Origin):
    """One entry point and the distribution it belongs to.

    Attributes:
        value: what the entry point names, as it is written.
        attribute: the object in its module, dotted; empty for the module itself.
    """

    value: str
    attribute: str = ""

    def origin(self, module: str = "") -> Origin:
        """Who brings what is in a module, by default the plugin's own."""
        return Origin(self.plugin, self.distribution, self.version, module or self.module)


def offers() -> tuple[list[Offer], list[Fault]]:
    """All plugins on offer: the built-in ones first, then by distribution and name; and broken metadata.

    Distributions whose entry points cannot be read are hidden from other libraries of this process.
    """
    walk = _Walk()
    hide(())  # so that those that were hidden are found too
    for distribution in importlib.metadata.distributions():
        walk.visit(distribution)
    hide(walk.unreadable)
    return sorted(walk.offers, key=_rank), walk.faults


def hide(folders: Collection[str]) -> None:
    """Hide exactly the distributions of these ``dist-info`` folders."""
    global _hidden
    _hidden = frozenset(folders)
    if not folders:
        os.environ.pop(HIDDEN, None)
        return
    os.environ[HIDDEN] = os.pathsep.join(sorted(folders))
    finder: Any = importlib.metadata.MetadataPathFinder
    if not hasattr(finder.find_distributions, "unfiltered"):
        finder.find_distributions = _filtered(finder.find_distributions)


def inherit() -> None:
    """Hide what the process that started this one has hidden."""
    hide([folder for folder in os.environ.get(HIDDEN, "").split(os.pathsep) if folder])


class _Walk:
    def __init__(self) -> None:
        self.offers: list[Offer] = []
        self.faults: list[Fault] = []
        self.unreadable: set[str] = set()
        self._seen: dict[str, Distribution] = {}

    def visit(self, distribution: Distribution) -> None:
        """Note what a distribution offers, or that it is damaged."""
        try:
            every = _entries(distribution)
            if not _folder_name(distribution)[0]:
                # Whoever reads entry points then reads the name too.
                _identity(distribution)
        except DamagedError as damage:
            self.unreadable |= {str(path) for path in [getattr(distribution, "_path", "")] if str(path)}
            self._damaged(distribution, damage)
            return
        ours = [(name, value) for group, name, value in every if group == GROUP]
        if not ours:
            return
        try:
            owner, version = _identity(distribution)
        except DamagedError as damage:
            self._damaged(distribution, damage)
            return
        if self._is_first(owner, distribution):
            self._take(owner, version, ours)

    def _take(self, owner: str, version: str, ours: list[tuple[str, str]]) -> None:
        taken: dict[str, str] = {}
        for name, value in ours:
            named = _REFERENCE.fullmatch(value)
            if taken.setdefault(name, value) != value:
                reason = f"is named twice; '{taken[name]}' stays, '{value}' is left out"
                self.faults.append(Fault(name, owner, version, reason))
            elif named is None:
                reason = (
                    f"cannot be imported: its entry point names '{value}', which is neither 'module' nor "
                    f"'module:object'; correct it under [project.entry-points.thalweg] of {owner} and "
                    "install that again"
                )
                self.faults.append(Fault(name, owner, version, reason))
            elif all(one.plugin != name or one.distribution != owner for one in self.offers):
                self.offers.append(Offer(name, owner, version, named[1], value, named[2] or ""))

    def _damaged(self, distribution: Distribution, damage: DamagedError) -> None:
        try:
            name, version = _identity(distribution)
        except DamagedError:
            name, version = _folder_name(distribution)
        if self._is_first(name, distribution):
            self.faults.append(Fault("", name, version, f"{damage}; {_CURE}"))

    def _is_first(self, name: str, distribution: Distribution) -> bool:
        # The first on the path hides another of the same name, as it does for imports.
        return self._seen.setdefault(_canonical(name), distribution) is distribution


def _rank(offer: Offer) -> tuple[int, str, str]:
    name = _canonical(offer.distribution)
    rank = BUILT_IN.index(name) if name in BUILT_IN else len(BUILT_IN)
    return rank, name, offer.plugin


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _filtered(unfiltered: Any) -> Any:
    def find_distributions(*arguments: Any, **named: Any) -> Iterator[Distribution]:
        found = unfiltered(*arguments, **named)
        return (one for one in found if str(getattr(one, "_path", "")) not in _hidden)

    find_distributions.unfiltered = unfiltered  # type: ignore[attr-defined]
    return find_distributions


def _entries(distribution: Distribution) -> list[tuple[str, str, str]]:
    """Group, name and value of every entry point, in the order of the file; groups may come in pieces.

    Raises:
        DamagedError: if the file is there and cannot be read to its end.
    """
    group, found = "", []
    for number, line in enumerate(_text(distribution, _ENTRY_POINTS).splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group:
            name, equals, value = line.partition("=")
            if not equals:
                raise DamagedError(f"has an {_ENTRY_POINTS} that cannot be read: line {number} has no '='")
            found.append((group, name.strip(), value.strip()))
    return found


def _identity(distribution: Distribution) -> tuple[str, str]:
    """Its name and version.

    Raises:
        DamagedError: if they are not stated, or not readably.
    """
    text = next((text for name in _DESCRIPTIONS if (text := _text(distribution, name))), "")
    if not text:
        raise DamagedError("has no METADATA")
    fields: dict[str, str] = {}
    for key, value in _headers(text):
        fields.setdefault(key, value)
    for field in ("name", "version"):
        if not fields.get(field):
            raise DamagedError(f"has a METADATA that states no {field.capitalize()}")
    if not _NAME.fullmatch(fields["name"]):
        raise DamagedError(f"has a METADATA that states the Name {fields['name']!r}, which is none")
    return fields["name"], fields["version"]


def _folder_name(distribution: Distribution) -> tuple[str, str]:
    """Its name and version as its folder has them; empty where nothing states it."""
    path = getattr(distribution, "_path", None)
    stem = getattr(path, "name", "").rpartition(".")[0]
    name, _, version = stem.partition("-")
    return name, version.partition("-")[0]


def _headers(text: str) -> Iterator[tuple[str, str]]:
    # Line by line, as a whole README may follow; to where others that read it see headers end.
    for line in io.StringIO(text):
        if not _HEADER.match(line):
            return
        key, _, value = line.partition(":")
        yield key.lower(), value.strip()


def _text(distribution: Distribution, name: str) -> str:
    """A file of it as text; empty if there is none."""
    try:
        content = _content(distribution, name)
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content or ""
        if "\0" in text:
            raise ValueError("it is no text")
    except OSError as error:
        raise DamagedError(f"has an unreadable {name}: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise DamagedError(f"has an unreadable {name}: it is no UTF-8 (byte {error.start})") from error
    # A finder may be anybody's, and raise anything.
    except Exception as error:
        raise DamagedError(f"has an unreadable {name}: {error}") from error
    return text


def _content(distribution: Distribution, name: str) -> bytes | str | None:
    path = getattr(distribution, "_path", None)
    if not isinstance(path, Path):
        # Within a zip file, or of a finder of its own.
        return distribution.read_text(name)
    try:
        return read_bytes(path / name, _LARGEST)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        # Old installers wrote an egg-info as one file, without entry points.
        if path.suffix == ".dist-info":
            raise
        return None
