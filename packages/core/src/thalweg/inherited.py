"""Settings of sampling that are inherited from a network's run, where no protocol and no user states them (no
torch here).
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from thalweg.config import FaultyConfigError, Problem, apply_override, dump
from thalweg.config.run import BaseSamplingConfig, SamplingConfig

COMPONENTS = ("sampler", "guidance")
"""Whose options can be read only once their type is known, which may be inherited."""

FOR_EVALUATION = tuple(attrs.fields_dict(BaseSamplingConfig))
"""What an evaluation inherits of a run's ``[sampling]``: sampler, guidance, seed."""

FOR_SAMPLES = tuple(attrs.fields_dict(SamplingConfig))
"""What ``thalweg sample`` inherits of it: all."""

DEFAULT, STATED, PROTOCOL, PROMPTS = "default", "stated", "protocol", "prompts"
_WORDS = {
    DEFAULT: "the default",
    STATED: "as stated",
    PROTOCOL: "of the protocol",
    PROMPTS: "as many as prompts",
    "run": "of the run",
    "network": "of the saved network",
}
_CHANGED = " with changes"


@attrs.frozen
class Inherited:
    """How a network is sampled, as its run states it.

    Attributes:
        settings: a recipe's ``[sampling]`` in plain values; empty if nothing is stated.
        origin: ``run``, or ``network`` if it was saved with the network.
    """

    settings: Mapping[str, Any] = attrs.field(factory=dict)
    origin: str = "run"


def inherited_from(network: Any) -> Inherited:
    """What a network in memory has with it, as :func:`thalweg.load` found it."""
    return Inherited(getattr(network, "sampling", None) or {}, "network")


@attrs.frozen
class Merged:
    """Settings from several places.

    Attributes:
        data: all of them, in plain values.
        origins: where each of those that may be inherited is from: ``run``, ``network``, ``protocol``,
            ``stated`` or ``default``; one that was changed in part says so.
    """

    data: Mapping[str, Any]
    origins: Mapping[str, str]

    def stating(self, values: Mapping[str, Any], table: str) -> "Merged":
        """The same with these values in a table of ``data``, each as a whole."""
        there = self.data.get(table, {})
        stated = {**there, **values} if isinstance(there, Mapping) else dict(values)
        origins = {key: STATED if key in values else origin for key, origin in self.origins.items()}
        return Merged({**self.data, table: stated}, origins)

    def explained(self, faults: FaultyConfigError) -> FaultyConfigError:
        """The same faults; those of inherited settings say where these are from."""
        return FaultyConfigError([self._explained(one) for one in faults.problems], faults.source)

    def _explained(self, problem: Problem) -> Problem:
        key = next((one for one in problem.path if one in self.origins), None)
        origin = self.origins.get(str(key), "").removesuffix(_CHANGED)
        if origin not in ("run", "network"):
            return problem
        return Problem(
            problem.path,
            f"{problem.message}; it is {_WORDS[origin]}: install the plugin that it needs, or state another "
            f"{key}",
        )


def merged(
    data: Mapping[str, Any],
    overrides: Iterable[str],
    cls: type[Any],
    keys: Iterable[str],
    inherited: Callable[[], Inherited],
    *,
    table: str | None = None,
    origin: str = STATED,
) -> Merged:
    """Settings, with inherited ones where they state nothing.

    A key that ``data`` states is taken from there as a whole. Overrides come last, and change what they
    find: ``sampler.steps=50`` alone leaves an inherited sampler as it is otherwise, and so does the name of
    the type that a component has already.

    Args:
        data: what is stated, in plain values; left as it is.
        overrides: ``key.path=value``.
        cls: the config class that all of it is meant for.
        keys: those that may be inherited.
        inherited: gives them; called only if a key is not stated.
        table: the key of ``data`` whose table holds them; None if ``data`` itself does.
        origin: of what ``data`` states.

    Raises:
        FaultyConfigError: an override is none.
    """
    whole = copy.deepcopy(dict(data))
    names = list(keys)
    stated = whole if table is None else whole.get(table, {})
    origins = {key: origin for key in names if isinstance(stated, dict) and key in stated}
    if isinstance(stated, dict) and len(origins) < len(names):
        below = inherited()
        found = {key: copy.deepcopy(below.settings[key]) for key in names if key in below.settings}
        origins = {**dict.fromkeys(found, below.origin), **origins}
        stated = {**found, **stated}
        if table is None:
            whole = stated
        elif stated:
            whole[table] = stated
    before = copy.deepcopy(stated) if isinstance(stated, dict) else {}
    for item in overrides:
        apply_override(whole, item, cls)
    after = whole if table is None else whole.get(table, {})
    if isinstance(after, dict):
        origins = {key: _origin(key, before, after, origins) for key in names}
    return Merged(whole, origins)


def settings_in_words(sampling: Any, origins: Mapping[str, str], step: int | None = None) -> str:
    """How samples are generated, and where each setting is from, in words.

    Args:
        sampling: the settings, a config.
        origins: as of :class:`Merged`.
        step: that the network was trained to, where it is known.
    """
    plain = dump(sampling)
    network = "sampling" if step is None else f"sampling from step {step:,}"
    settings = [f"{key} {_value(plain[key])} ({origin_in_words(origins[key])})" for key in origins]
    return f"{network} with {', '.join(settings)}"


def _origin(key: str, before: Mapping[str, Any], after: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    if key not in after:
        return DEFAULT
    if after[key] == before.get(key):
        return origins.get(key, STATED)
    former = origins.get(key, STATED)
    if former == STATED or _type(after[key]) != _type(before[key]):
        return STATED
    return former + _CHANGED


def _type(value: Any) -> Any:
    """The type of a component or of each; of other values, changed as a whole, something unlike any other."""
    if isinstance(value, list):
        return [_type(one) for one in value]
    if isinstance(value, Mapping):
        return value.get("type")
    return value if isinstance(value, str) else object()


def origin_in_words(origin: str) -> str:
    """Where a setting is from."""
    plain = origin.removesuffix(_CHANGED)
    return _WORDS[plain] + (_CHANGED if plain != origin else "")


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " within ".join(_value(one) for one in value)
    if not isinstance(value, Mapping):
        return str(value)
    options = [f"{name}={one}" for name, one in value.items() if name != "type"]
    return " ".join([str(value.get("type")), *options])
