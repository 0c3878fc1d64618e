"""What binds a run's folder to one configuration, and which keys are free."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from thalweg.config import flat
from thalweg.errors import ConfigError, PluginError
from thalweg.objects import OBJECT
from thalweg.plugins.recording import FILES_KEY, changed
from thalweg.storage.redaction import redacted_plain

_FREE = (
    "name",
    # Where nothing is damaged it changes nothing, and where something is, the run ends without it.
    "data.on_damaged",
    "data.cache_gib",
    "training.steps",
    "training.log_every",
    "training.validate_every",
    "training.validation_batches",
    "training.sample_every",
    "training.checkpoint_every",
    "training.keep",
    "training.keep_every",
    "training.async_checkpoints",
    # Processes may change with it; a checkpoint says how many shards they must make up together.
    "training.accumulate",
    "training.nonfinite",
    "training.max_skips",
    "training.prefetch",
    "training.workers",
    "sampling",
    "loggers",
)
"""Keys that may change when a run goes on: none of them touches what a step computes."""

_DIFFERENCES_SHOWN = 3


def compare(
    where: str, recorded: Mapping[str, Any], config: Mapping[str, Any], fixed: Collection[str] = ()
) -> None:
    """Make sure that a run may go on with a configuration.

    Args:
        where: what the run's folder is called.
        recorded: the configuration that it has, in plain values.
        config: the one that it is to go on with.
        fixed: keys that are free in other runs and not in this one, whose schedule depends on them.

    Raises:
        ConfigError: naming the first keys that differ and may not.
    """
    # What is recorded is without secrets, so they cannot count. Plugin files are compared by themselves.
    old, new = (flat({**one, FILES_KEY: {}}) for one in (recorded, redacted_plain(config)))
    differing = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    bound = _by_component([key for key in differing if not _is_free(key)])
    if not bound:
        lengths = [key for key in differing if key in fixed]
        if lengths:
            raise ConfigError(
                f"{lengths[0]} is {_shown(new, lengths[0])} and was {_shown(old, lengths[0])}, and the "
                f"learning rates of training.schedule {new.get('training.schedule.type')!r} depend on it; "
                f"resume with the value that it had, or begin again in another --run-dir"
            )
        return
    shown = ", ".join(
        f"{key} is {_shown(new, key)} and was {_shown(old, key)}" for key in bound[:_DIFFERENCES_SHOWN]
    )
    more = f" and {len(bound) - _DIFFERENCES_SHOWN} more" if len(bound) > _DIFFERENCES_SHOWN else ""
    raise ConfigError(
        f"{where} belongs to a run with another configuration: {shown}{more}; "
        f"choose another --run-dir or the values that it had"
    )


def compare_files(
    where: str, recorded: Mapping[str, Any], config: Mapping[str, Any], *, accept: bool
) -> None:
    """Make sure that a run goes on with the plugin files that it was trained with so far.

    Args:
        where: the run's folder, for messages.
        recorded: its configuration there.
        config: the one that it goes on with.
        accept: go on with other files, and warn of it.

    Raises:
        PluginError: naming those that differ.
    """
    differing = changed(recorded.get(FILES_KEY), config.get(FILES_KEY, {}))
    if differing and not accept:
        raise PluginError(
            f"the run in {where} would go on with other code than it was trained with so far: {differing}; "
            "put the file back, choose another --run-dir, or go on as it is by --accept-changed-files"
        )
    if differing:
        logging.getLogger("thalweg").warning("the run goes on with other code: %s", differing)


def _by_component(keys: list[str]) -> list[str]:
    """The keys without those of components that are others altogether, which go without saying."""
    others = {key.rpartition(".")[0] for key in keys if key.endswith((".type", f".{OBJECT}"))}
    return [
        key
        for key in keys
        if key.endswith((".type", f".{OBJECT}")) or not any(key.startswith(f"{one}.") for one in others)
    ]


def _is_free(key: str) -> bool:
    # Where data lie does not matter: what they hold is compared with the run's record.
    place = key.startswith("data.") and key.endswith(".url")
    return place or any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return repr(leaves[key]) if key in leaves else "absent"
