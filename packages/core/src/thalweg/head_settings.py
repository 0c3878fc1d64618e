"""The configuration of a run that fits heads: that of the network's own run, and what differs."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thalweg.arguments import check_texts
from thalweg.config import RunConfig, apply_override, structure
from thalweg.config.run import name_of
from thalweg.errors import ConfigError
from thalweg.objects import is_object
from thalweg.storage.redaction import redacted

TAKEN = ("data", "plan", "training", "sampling", "seed", "name")
"""What is taken of the configuration that the network was trained with."""

_FIXED = (
    *("backbone", "refiner", "branches", "intermediate_readouts", "interpolant"),
    *("heads", "detach_heads", "prediction", "objectives"),
)
_BATCH, _DROPOUT = 128, 0.1
TRAINING: Mapping[str, Any] = {
    "steps": 1000,
    # Heads are read where all tokens passed.
    "routing": "none",
    "optimizer": {"type": "adamw", "lr": 1e-3},
    "schedule": "constant",
    # Over about the last hundred steps: a linear read-out forgets its beginning soon.
    "average": {"type": "ema", "decay": 0.99},
    "compile": "auto",
    "log_every": 50,
    "validate_every": 250,
    "sample_every": 0,
    "checkpoint_every": 250,
    "keep_every": 0,
}
"""How heads are fitted, whatever the network was trained with."""


def check_settings(settings: Iterable[str]) -> list[str]:
    """Settings ``KEY=VALUE`` that a run which fits heads takes.

    Raises:
        ConfigError: one is of the network or its loss, which stay what they are.
    """
    items = check_texts("settings", settings, "['training.steps=500']")
    for item in items:
        key = item.partition("=")[0].strip()
        if key.partition(".")[0] in _FIXED:
            raise ConfigError(
                f"'{redacted(key)}' cannot be changed here: the network stays as it is, and its new heads "
                "alone are trained; settings are keys of training, data, plan, sampling and loggers, seed "
                "and name, as in training.steps=500"
            )
    return items


def fitting_config(
    stated: Mapping[str, Any],
    parts: Mapping[str, Any],
    fitted: Sequence[int],
    settings: Sequence[str],
    *,
    condition_dropout: bool,
) -> RunConfig:
    """The run that fits heads.

    Args:
        stated: the configuration that the network was trained with, in plain values, or parts of one.
        parts: the network as a configuration states it.
        fitted: depths of the heads that are trained.
        settings: ``KEY=VALUE`` that come last.
        condition_dropout: whether the network knows its velocity without a condition. Its heads are shown
            what it was shown.

    Raises:
        ConfigError: the settings contradict that.
        FaultyConfigError: with all problems at once.
    """
    data = {key: copy.copy(stated[key]) for key in TAKEN if key in stated}
    data["name"] = name_of(f"{data.get('name', 'network')} heads")
    sampling = data.get("sampling", {})
    data["sampling"] = {key: value for key, value in sampling.items() if not _made_in_python(value)}
    training = {"batch_size": _BATCH, **data.get("training", {}), **copy.deepcopy(dict(TRAINING))}
    stated_dropout = training.get("condition_dropout", _DROPOUT)
    training["condition_dropout"] = (stated_dropout or _DROPOUT) if condition_dropout else 0.0
    data["training"] = training
    data |= parts
    data["objectives"] = {"velocity": {"heads": 1.0, "only": list(fitted)}}
    for item in settings:
        apply_override(data, item, RunConfig)
    config = structure(RunConfig, data)
    if (config.training.condition_dropout > 0) != condition_dropout:
        how, fix = ("with", "above 0") if condition_dropout else ("without", "0")
        raise ConfigError(
            f"training.condition_dropout is {config.training.condition_dropout:g}, and the network was "
            f"trained {how} condition dropout; leave it {fix}"
        )
    return config


def _made_in_python(value: Any) -> bool:
    return is_object(value) or (isinstance(value, list) and any(map(is_object, value)))
