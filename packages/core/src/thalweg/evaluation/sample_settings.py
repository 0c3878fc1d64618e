"""The settings of ``thalweg sample``: what is stated, and below it what the network brings along (no torch
here).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from thalweg.config import FaultyConfigError, structure
from thalweg.evaluation.own import COMPONENTS, DEFAULT, PROMPTS, SAMPLING, Own, merged
from thalweg.evaluation.settings import SamplesConfig

_OWN = [(key,) for key in COMPONENTS]


@attrs.frozen
class SampleSettings:
    """What is to be drawn.

    Attributes:
        config: all settings.
        origins: where those that a network may bring along are from.
    """

    config: SamplesConfig
    origins: Mapping[str, str]


def sample_settings(
    stated: Mapping[str, Any], overrides: Iterable[str] = (), own: Callable[[], Own] = Own
) -> SampleSettings:
    """All settings.

    Args:
        stated: fields of :class:`thalweg.evaluation.settings.SamplesConfig` in plain values.
        overrides: ``key.path=value``, on top of these and of the network's own.
        own: gives what the network brings along; asked only for what is not stated.

    Raises:
        FaultyConfigError: all that is wrong, at once.
        PluginError: a component cannot be imported.
    """
    found = merged(stated, overrides, SamplesConfig, SAMPLING, own)
    data, origins = dict(found.data), dict(found.origins)
    if data.get("prompts") and origins["count"] in ("run", "network", DEFAULT):
        data["count"], origins["count"] = len(data["prompts"]), PROMPTS
    try:
        return SampleSettings(structure(SamplesConfig, data), origins)
    except FaultyConfigError as faults:
        raise found.explained(faults) from None


def check_sample_settings(stated: Mapping[str, Any], overrides: Iterable[str] = ()) -> None:
    """Find faults before the network is at hand: all but those of sampler and guidance, which it may bring
    along.

    Raises:
        FaultyConfigError: as :func:`sample_settings`.
        PluginError: a component cannot be imported.
    """
    try:
        sample_settings(stated, overrides)
    except FaultyConfigError as faults:
        others = [problem for problem in faults.problems if problem.path[:1] not in _OWN]
        if others:
            raise FaultyConfigError(others, faults.source) from None
