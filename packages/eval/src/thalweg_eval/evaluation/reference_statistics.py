"""Files of reference statistics: kept in a cache, written for others, read back, or stored by ADM.

A file holds any number of statistics. Beside each stands what decides it: the images, how many of them, the
extractor with weights, resizing and precision, and the statistic's name. It is used where all of that
agrees, and refused where it was made by another extractor.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.files import unwritable
from thalweg.folders import clear_leftovers
from thalweg.image_sets.npz import members, read_array
from thalweg.jobs.workspace import digest
from thalweg.protocols import Statistic
from thalweg.regular import parse_json
from thalweg.suggestions import one_line
from thalweg.tensor_files import SealedFile, write_sealed
from thalweg_eval.evaluation.features import FeatureMetrics
from thalweg_eval.evaluation.partial_statistics import Makers, Statistics, load_state

_FORMAT, _VERSION = "thalweg-reference", 2

_log = logging.getLogger("thalweg")
_ADM = {"moments:pooled": ("mu", "sigma"), "moments:spatial": ("mu_s", "sigma_s")}


@attrs.frozen
class ReferenceEntry:
    """What decides a statistic.

    Attributes:
        images: identity of the images.
        count: how many.
        extractor: identity of the extractor.
        statistic: its name.
    """

    images: Mapping[str, Any]
    count: int
    extractor: Mapping[str, Any]
    statistic: str

    def plain(self) -> dict[str, Any]:
        """As JSON has it, so that what was read compares equal to what was written."""
        return dict(json.loads(json.dumps(attrs.asdict(self, recurse=False), default=dict)))


class ReferenceFile:
    """A file of statistics.

    Args:
        path: the file.

    Raises:
        DataError: if it is missing, damaged, foreign or newer.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise DataError(f"{path} does not exist")
        self._path = path
        self._file = SealedFile(path)
        metadata = self._file.metadata
        if metadata.get("format") != _FORMAT:
            raise DataError(f"{path} holds no statistics of a reference; make one by --save-reference")
        if metadata.get("version") != str(_VERSION):
            raise DataError(
                f"{path} has format version {metadata.get('version')}, this Thalweg reads {_VERSION}; "
                "make it again"
            )
        try:
            self._file.check()
        except DataError as error:
            raise DataError(f"{error}; copy it again, or write it again by --save-reference") from error
        try:
            self._entries = [_entry(one) for one in parse_json(metadata["entries"])]
            self.count: int = self._entries[0]["count"]
            self.images: Mapping[str, Any] = self._entries[0]["images"]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} does not say what its statistics are of ({one_line(error)}); write it again by "
                f"--save-reference"
            ) from error

    def read(self, features: FeatureMetrics, key: str, statistic: Statistic) -> None:
        """Fill a statistic.

        Raises:
            DataError: if there is none of this name, or it was made by another extractor.
        """
        name = key.removeprefix(f"{features.name}/")
        named = [at for at, entry in enumerate(self._entries) if entry["statistic"] == name]
        if not named:
            raise DataError(f"{self._path} has no statistic '{name}'; write it again with the same metrics")
        wanted = json.loads(json.dumps(features.identity, default=dict))
        for at in named:
            if self._entries[at]["extractor"] == wanted:
                self._fill(at, statistic)
                return
        made = self._entries[named[0]]["extractor"]
        differing = [name for name in sorted({*made, *wanted}) if made.get(name) != wanted.get(name)]
        words = ", ".join(f"{name} {made.get(name)!r} instead of {wanted.get(name)!r}" for name in differing)
        raise DataError(
            f"{self._path} was made by another extractor: {words}; write it again by --save-reference"
        )

    def fill(self, entry: ReferenceEntry, statistic: Statistic) -> bool:
        """Fill a statistic from exactly this entry; whether it is here."""
        plain = entry.plain()
        if plain in self._entries:
            self._fill(self._entries.index(plain), statistic)
        return plain in self._entries

    def _fill(self, at: int, statistic: Statistic) -> None:
        names = [name for name in self._file.names if name.startswith(f"{at}/")]
        state = {name.partition("/")[2]: self._file.tensor(name) for name in names}
        load_state(statistic, state, str(self._path))


def is_reference(path: Path) -> bool:
    """Whether a file says that it holds statistics of a reference."""
    try:
        return SealedFile(path).metadata.get("format") == _FORMAT
    except DataError:
        return False


def write_reference(path: Path, entries: Sequence[tuple[ReferenceEntry, Statistic]]) -> None:
    """Write statistics; the file is there whole or not at all.

    Raises:
        ThalwegError: if it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for at, (_, statistic) in enumerate(entries):
        tensors.update({f"{at}/{name}": tensor for name, tensor in statistic.state().items()})
    metadata = {
        "format": _FORMAT,
        "version": str(_VERSION),
        "entries": json.dumps([entry.plain() for entry, _ in entries]),
    }
    write_sealed(path, tensors, metadata)


class ReferenceCache:
    """Statistics by what decides them, a file each.

    Args:
        folder: where.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, entry: ReferenceEntry, statistic: Statistic) -> bool:
        """Fill a statistic if it is here; a damaged file is named and counts as none."""
        path = self._path(entry)
        if not path.exists():
            return False
        try:
            return ReferenceFile(path).fill(entry, statistic)
        except DataError as error:
            _log.warning("%s is not used, and the reference is read again: %s", path.name, error)
            return False

    def put(self, entry: ReferenceEntry, statistic: Statistic) -> None:
        """Keep a statistic.

        Raises:
            ThalwegError: if it cannot be written.
        """
        path = self._path(entry)
        try:
            clear_leftovers(path)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        write_reference(path, [(entry, statistic)])

    def _path(self, entry: ReferenceEntry) -> Path:
        return self._folder / f"{digest(entry.plain())}.safetensors"


def _entry(data: dict[str, Any]) -> dict[str, Any]:
    """What one entry says, checked."""
    kinds = {"images": dict, "count": int, "extractor": dict, "statistic": str}
    for name, kind in kinds.items():
        if not isinstance(data[name], kind) or (kind is int and data[name] < 1):
            raise ValueError(f"'{name}' of an entry is none")
    return data


def stored_moments(path: Path, features: FeatureMetrics, makers: Makers) -> Statistics:
    """Those statistics of an extractor's features that an ``.npz`` holds as ADM's reference batches do.

    ``mu`` and ``sigma`` are mean and covariance of Inception's pooled features, ``mu_s`` and ``sigma_s`` of
    its spatial ones.

    Raises:
        DataError: if they are damaged, or the features are not Inception's.
    """
    there, found = members(path), {}
    for name, (mean, covariance) in _ADM.items():
        key = f"{features.name}/{name}"
        if key not in makers or not {mean, covariance} <= there:
            continue
        kind = features.extractor.identity.get("type")
        if kind != "inception":
            raise DataError(
                f"{mean} and {covariance} of {path} are moments of Inception's features, and metrics here "
                f"read those of {features.extractor.title}; give the images instead"
            )
        found[key] = makers[key]()
        # A mean and a covariance are all that a distance asks for, and any count gives the same covariance.
        state = {
            "count": torch.tensor(2),
            "mean": torch.from_numpy(read_array(path, mean).astype(np.float64)),
            "scatter": torch.from_numpy(read_array(path, covariance).astype(np.float64)),
        }
        load_state(found[key], state, f"{path}, {mean} and {covariance}")
    return found
