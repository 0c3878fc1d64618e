"""What must stay the same when a run is resumed: its configuration, its plugin files and its data."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from thalweg.config import FaultyConfigError, dump, flat, structure
from thalweg.data.contents import Contents
from thalweg.data.words import differences
from thalweg.documents import read_document, write_document
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.objects import OBJECT
from thalweg.plugins.recording import FILES_KEY, changed
from thalweg.protocols import Dataset
from thalweg.storage.redaction import redacted_plain
from thalweg.suggestions import one_line

_FREE = (
    "name",
    # Where nothing is damaged it changes nothing, and where something is, the run ends without it.
    "data.on_damaged",
    "data.cache_gib",
    "data.source.cache_gib",
    "data.validation_source.cache_gib",
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
"""Keys that may change when a run is resumed: none of them touches what a step computes."""

_DIFFERENCES_SHOWN = 3

DATA = "data.json"
"""The record of the data, in the run's folder."""

_log = logging.getLogger("thalweg")


def check_config(
    where: str,
    recorded: Mapping[str, Any],
    config: Mapping[str, Any],
    fixed: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Make sure that a run may be resumed with a configuration.

    Args:
        where: what the run's folder is called.
        recorded: the configuration that it has, in plain values as the next.
        config: the one that it is resumed with.
        fixed: keys that are free in other runs and not in this one, and those of the components that depend
            on them.

    Raises:
        ConfigError: naming the first keys that differ and may not.
    """
    # What is recorded is without secrets, so they cannot count. Plugin files are compared by themselves.
    old, new = (flat({**one, FILES_KEY: {}}) for one in (recorded, redacted_plain(config)))
    differing = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    bound = _by_component([key for key in differing if not _is_free(key)])
    if not bound:
        for key in (one for one in differing if one in fixed):
            depend = f"{fixed[key][0]} depends"
            if fixed[key][0] == "training.schedule":
                kind = new.get("training.schedule.type")
                depend = f"the learning rates of training.schedule {kind!r} depend"
            raise ConfigError(
                f"{key} is {_shown(new, key)} and was {_shown(old, key)}, and {depend} on it; resume with "
                f"the value that it had, or begin again in another --run-dir"
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


def check_plugin_files(
    where: str, recorded: Mapping[str, Any], config: Mapping[str, Any], *, accept: bool
) -> None:
    """Make sure that a run is resumed with the plugin files that it was trained with so far."""
    differing = changed(recorded.get(FILES_KEY), config.get(FILES_KEY, {}))
    if differing and not accept:
        raise PluginError(
            f"the run in {where} would resume with other code than it was trained with so far: {differing}; "
            "put the file back, choose another --run-dir, or resume with it by --accept-changed-files"
        )
    if differing:
        _log.warning("the run resumes with other code: %s", differing)


class DataRecord:
    """The data of a run, as they are now and as its folder says that they were."""

    def __init__(self, folder: Path, where: str, dataset: Dataset) -> None:
        self._path, self._where, self._dataset = folder / DATA, where, dataset

    def write(self) -> None:
        """Record the data as they are now."""
        write_document(self._path, self._now(()), sealed=True)

    def check(self, *, accept: bool, step: int, write: bool = True) -> None:
        """Make sure that a run is resumed with the data that it began with.

        Args:
            accept: resume with other data, which are recorded then, with what differs and from which step on.
            step: steps done.
            write: whether the record may be written.

        Raises:
            DataError: naming what differs.
        """
        before = self._before()
        if before is None:
            _log.warning(
                "%s in %s is gone or damaged, so it is unknown whether the data are still the same; it is "
                "made anew",
                DATA,
                self._where,
            )
            changes: tuple[Any, ...] = ()
        elif before["identity"] == self._dataset.identity:
            return
        else:
            named = "; ".join(self._named(before))
            if not accept:
                raise DataError(
                    f"the data are not those that the run in {self._where} was trained on so far: {named}; "
                    f"put them back, choose another --run-dir, or resume with them as they are by "
                    f"--accept-changed-data"
                )
            _log.warning("the run resumes with changed data: %s", named)
            changes = (*before["changes"], {"step": step, "what": named})
        if write:
            write_document(self._path, self._now(changes), sealed=True)

    def _now(self, changes: tuple[Any, ...]) -> dict[str, Any]:
        contents = _contents(self._dataset)
        return {
            "identity": self._dataset.identity,
            "train": len(self._dataset.train),
            "validation": len(self._dataset.validation),
            "contents": {name: dump(one) for name, one in contents.items()},
            "changes": list(changes),
        }

    def _before(self) -> dict[str, Any] | None:
        try:
            found = read_document(self._path, "a record of a run's data", "", sealed=True)
            found["contents"] = {name: structure(Contents, one) for name, one in found["contents"].items()}
        except FileNotFoundError:
            return None
        except (DataError, FaultyConfigError, KeyError, AttributeError) as error:
            _log.warning("%s", one_line(error))
            return None
        return found

    def _named(self, before: Mapping[str, Any]) -> list[str]:
        """What differs, as far as the data say."""
        now = _contents(self._dataset)
        found = differences(before["contents"], now)
        for part, split in (("train", self._dataset.train), ("validation", self._dataset.validation)):
            if not found and before[part] != len(split):
                found.append(f"the {part} part has {len(split):,} samples and had {before[part]:,}")
        if not found and before["contents"].keys() | now.keys():
            return ["the images and what is stated of them are the same, and what is made of them is not"]
        return found or ["they say that they are others, and not what differs"]


def _by_component(keys: list[str]) -> list[str]:
    """The keys without those of components that are others altogether, which go without saying."""
    others = {key.rpartition(".")[0] for key in keys if key.endswith((".type", f".{OBJECT}"))}
    return [
        key
        for key in keys
        if key.endswith((".type", f".{OBJECT}")) or not any(key.startswith(f"{one}.") for one in others)
    ]


def _is_free(key: str) -> bool:
    # Where data are stored does not matter: what they hold is compared with the run's record.
    place = key.startswith("data.") and key.endswith(".url")
    return place or any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return repr(leaves[key]) if key in leaves else "absent"


def _contents(dataset: Dataset) -> Mapping[str, Contents]:
    """What each source of a data set holds, by its name; empty if it does not say."""
    contents: Mapping[str, Contents] = getattr(dataset, "contents", {})
    return contents
