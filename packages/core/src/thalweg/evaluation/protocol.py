"""Protocols: named, versioned, frozen settings of evaluations, as TOML (no torch here).

Those that are shipped lie in ``protocols/``. A change to one is another version of it in a new file.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from thalweg.config import FaultyConfigError, dump, read_toml, structure
from thalweg.errors import ConfigError
from thalweg.evaluation.own import COMPONENTS, DRAWING, PROTOCOL, STATED, Own, merged
from thalweg.evaluation.settings import EvaluationConfig
from thalweg.evaluation.ways import assignments
from thalweg.regular import LARGEST_DOCUMENT
from thalweg.storage.places import read_place
from thalweg.storage.redaction import redacted
from thalweg.suggestions import did_you_mean, known_words

_FOLDER = Path(__file__).parent / "protocols"

_OWN = [("sampling", key) for key in COMPONENTS]


@attrs.frozen
class Protocol:
    """Settings and where they are from.

    Attributes:
        config: the settings, all of them.
        sha256: of the protocol's text; None where none was named.
        changed: what was overridden, as it was written but for credentials.
        origins: where sampler, guidance and seed are from: see :class:`thalweg.evaluation.own.Merged`.
    """

    config: EvaluationConfig
    sha256: str | None = None
    changed: tuple[str, ...] = ()
    origins: Mapping[str, str] = attrs.field(factory=dict)


def names() -> list[str]:
    """The protocols that are shipped."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def read_protocol(
    what: str | Path | None,
    overrides: Iterable[str] = (),
    judges: Mapping[str, Any] | None = None,
    own: Callable[[], Own] = Own,
    sampling: Mapping[str, Any] | None = None,
) -> Protocol:
    """Settings of a protocol, or without one the defaults.

    A sampler, guidance or seed that the protocol does not state is the network's own.

    Args:
        what: a shipped one's name or a TOML file, by path or URL; None for none.
        overrides: ``key.path=value``, as for recipes.
        judges: extractors and metrics instead of the protocol's.
        own: gives what the network that is judged brings along; asked only for what is not stated.
        sampling: how samples are drawn, each key as a whole instead of all that: a name, a table, a config or
            a part.

    Raises:
        ConfigError: if there is no such protocol, or settings are wrong: all faults at once.
        PluginError: if a component cannot be imported.
    """
    data: dict[str, Any] = {}
    digest = None
    if what is not None:
        path = _path(what)
        data, digest = read_toml(path), hashlib.sha256(read_place(path, LARGEST_DOCUMENT)).hexdigest()
        data.setdefault("name", Path(path).stem)
    if judges is not None:
        data["judges"] = dict(judges)
    changed = [*overrides]
    origin = STATED if what is None else PROTOCOL
    found = merged(data, changed, EvaluationConfig, DRAWING, own, table="sampling", origin=origin)
    if sampling:
        found = found.stating(sampling, "sampling")
    try:
        config = structure(EvaluationConfig, found.data)
    except FaultyConfigError as faults:
        told = found.explained(faults)
        raise told.of(str(what)) if what is not None else told from None
    if judges is not None and what is not None:
        changed.append("judges")
    if sampling:
        changed += assignments(dump(config.sampling), sampling)
    return Protocol(config, digest, tuple(map(redacted, changed)), found.origins)


def check_protocol(
    what: str | Path | None,
    overrides: Iterable[str] = (),
    judges: Mapping[str, Any] | None = None,
    sampling: Mapping[str, Any] | None = None,
) -> None:
    """Find faults before the network is at hand: all but those of sampler and guidance, which it may bring
    along.

    Raises:
        ConfigError: as :func:`read_protocol`.
        PluginError: if a component cannot be imported.
    """
    try:
        read_protocol(what, overrides, judges, sampling=sampling)
    except FaultyConfigError as faults:
        others = [problem for problem in faults.problems if problem.path[:2] not in _OWN]
        if others:
            raise FaultyConfigError(others, faults.source) from None


def _path(what: str | Path) -> str | Path:
    if isinstance(what, Path) or what.endswith(".toml"):
        return what
    if what not in names():
        raise ConfigError(
            f"there is no protocol '{what}'{did_you_mean(what, names()) or known_words(names())}; a file of "
            "your own ends in .toml"
        )
    return _FOLDER / f"{what}.toml"
