"""What data a run is trained on, kept beside it, so that it goes on with no other data in silence."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.config import FaultyConfigError, dump, structure
from thalweg.data.contents import Contents
from thalweg.data.differences import differences
from thalweg.documents import read_document, write_document
from thalweg.errors import DataError
from thalweg.protocols import Dataset
from thalweg.suggestions import one_line

DATA = "data.json"
"""The record, in the run's folder."""

_log = logging.getLogger("thalweg")


class DataRecord:
    """The data of a run, as they are now and as its folder says that they were.

    Args:
        folder: the run's, on this machine.
        where: what it is called in messages.
        dataset: what is trained on.
    """

    def __init__(self, folder: Path, where: str, dataset: Dataset) -> None:
        self._path, self._where, self._dataset = folder / DATA, where, dataset

    def write(self) -> None:
        """Record the data as they are now.

        Raises:
            ThalwegError: if that cannot be written.
            DataError: if the data cannot be read.
        """
        write_document(self._path, self._now(()), sealed=True)

    def check(self, *, accept: bool, step: int, write: bool = True) -> None:
        """Make sure that a run goes on with the data that it began with.

        Args:
            accept: go on with other data, which are recorded then, with what differs and from which step on.
            step: steps done.
            write: whether the record may be written.

        Raises:
            DataError: naming what differs.
        """
        before = self._before()
        if before is None:
            _log.warning(
                "%s in %s is gone or damaged, so nothing tells whether the data are still the same; it is "
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
                    f"put them back, choose another --run-dir, or go on with them as they are by "
                    f"--accept-changed-data"
                )
            _log.warning("the run goes on with changed data: %s", named)
            changes = (*before["changes"], {"step": step, "what": named})
        if write:
            write_document(self._path, self._now(changes), sealed=True)

    def _now(self, changes: tuple[Any, ...]) -> dict[str, Any]:
        contents = contents_of_parts(self._dataset)
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
        """What differs, as well as the data can tell."""
        now = contents_of_parts(self._dataset)
        found = differences(before["contents"], now)
        for part, split in (("train", self._dataset.train), ("validation", self._dataset.validation)):
            if not found and before[part] != len(split):
                found.append(f"the {part} part has {len(split):,} samples and had {before[part]:,}")
        if not found and before["contents"].keys() | now.keys():
            return ["the images and what is said of them are the same, and what is made of them is not"]
        return found or ["they say that they are others, and not what differs"]


def contents_of_parts(dataset: Dataset) -> Mapping[str, Contents]:
    """What each source of a data set holds, by its name; empty if it does not tell."""
    contents: Mapping[str, Contents] = getattr(dataset, "contents", {})
    return contents
