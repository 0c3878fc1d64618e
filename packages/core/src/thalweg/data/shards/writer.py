"""Writing shards, each whole or not at all, by any number of processes, and resuming after a kill."""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from safetensors.torch import save
from torch import Tensor

from thalweg.config import FaultyConfigError, dump, structure
from thalweg.data.contents import Contents
from thalweg.data.shards.file import check_labels
from thalweg.data.shards.header import EMPTY, ShardHeader, TensorSpec
from thalweg.data.shards.index import INDEX, FileEntry, ShardIndex, read_index, shard_name
from thalweg.data.words import changes
from thalweg.documents import parse_document, text_of
from thalweg.errors import ConfigError, DataError
from thalweg.files import sync_folder, unwritable
from thalweg.storage import Location, MissingError
from thalweg.suggestions import one_line

_UNFINISHED = "unfinished.json"
_LARGEST = 16 * 2**20  # bytes; a header is far shorter, with all captions that are held out

_log = logging.getLogger("thalweg")


class ShardWriter:
    """Writes a set of shards into a folder.

    Shard n holds the samples from ``n * shard_samples`` on, so any process may write any shard. Beside each
    goes a small JSON file, written once the shard is whole, that holds its checksum and one of itself; a
    writer that begins in the same folder later takes those shards as done that agree with it. ``index.json``
    comes last, and then these go.

    Args:
        target: the folder; made if it is not there.
        header: what the samples are.
        shard_samples: samples in each shard but the last; :meth:`ShardHeader.samples_per_shard` by default.
        accept_changed_data: keep the shards of an unfinished set whose source has changed meanwhile.

    Raises:
        ConfigError: if the folder holds shards with another header, or of another length.
        DataError: if it holds files of the same names whose origin is unknown.
    """

    def __init__(
        self,
        target: Location,
        header: ShardHeader,
        *,
        shard_samples: int | None = None,
        accept_changed_data: bool = False,
    ) -> None:
        self.header, self._accepts = header, accept_changed_data
        self.shard_samples = header.samples_per_shard() if shard_samples is None else shard_samples
        self._counts = ShardIndex.counts(header.count, self.shard_samples)
        self._target = target
        self._claim()
        # Shards that were there before are read once and compared; those that come later have just been.
        self._unsure = set() if (target / INDEX).exists() else self._names()
        self._whole: dict[str, FileEntry] = {}

    @property
    def shards(self) -> int:
        """How many shards there will be."""
        return len(self._counts)

    def samples(self, number: int) -> range:
        """The samples that a shard holds."""
        first = number * self.shard_samples
        return range(first, first + self._counts[number])

    @property
    def written(self) -> list[int]:
        """The shards that are there and whole."""
        if (self._target / INDEX).exists():
            return list(range(self.shards))
        there = self._names()
        pairs = [(number, shard_name(number)) for number in range(self.shards)]
        return [
            number
            for number, name in pairs
            if name in there and _sidecar(name) in there and self._entry(number) is not None
        ]

    @property
    def has_empty(self) -> bool:
        """Whether the empty caption is there and whole."""
        return (self._target / INDEX).exists() or self._read(EMPTY, 1) is not None

    def write_shard(self, number: int, tensors: dict[str, Tensor]) -> None:
        """Write a shard: the tensors that :meth:`ShardHeader.tensors` names, its samples in front.

        Raises:
            DataError: if a tensor is missing or of another shape or type, a value is not finite, a standard
                deviation negative, or a label outside the classes.
        """
        name, count = shard_name(number), self._counts[number]
        _check(tensors, self.header.shard(count), name)
        self._check_values(tensors, name)
        self._put(name, tensors, count)

    def write_empty(self, tokens: Tensor, mask: Tensor) -> None:
        """Write the encoder's empty caption: tokens (L, E) and mask (L).

        Raises:
            DataError: if one is of another shape or type.
        """
        tensors = {"tokens": tokens, "mask": mask}
        _check(tensors, self.header.empty_caption(), EMPTY)
        self._put(EMPTY, tensors, 1)

    def finish(self) -> ShardIndex:
        """Write the index, which makes the set whole, and take away what only a writer needs.

        Raises:
            DataError: if a shard, or the empty caption, is not written yet.
        """
        if (self._target / INDEX).exists():
            index = read_index(self._target)
        else:
            index = self._gather()
            (self._target / INDEX).write(index.to_bytes())
        names = [shard_name(number) for number in range(self.shards)]
        leftovers = {_UNFINISHED, _sidecar(EMPTY), *map(_sidecar, names)}
        for name in self._target.children():
            # Of a writer that was killed in the middle of a file there is also what it had begun.
            if name in leftovers or (name.startswith(".") and name.endswith(".part")):
                (self._target / name).remove()
        local = self._target.local
        if local is not None:
            try:
                sync_folder(local)
            except OSError as error:
                raise unwritable(local, error) from error
        return index

    def _gather(self) -> ShardIndex:
        entries = [self._entry(number) for number in range(self.shards)]
        missing = [number for number, entry in enumerate(entries) if entry is None]
        if missing:
            raise DataError(
                f"{len(missing)} of {self.shards} shards are not in {self._target} yet, the first being "
                f"{shard_name(missing[0])}; write them before finishing"
            )
        empty = self._read(EMPTY, 1) if self.header.text is not None else None
        if empty is None and self.header.text is not None:
            raise DataError(f"{self._target} holds no {EMPTY} yet; write the empty caption before finishing")
        shards = tuple(entry for entry in entries if entry is not None)
        return ShardIndex(self.header, self.shard_samples, shards, empty)

    def _put(self, name: str, tensors: dict[str, Tensor], count: int) -> None:
        content = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
        (self._target / name).write(content)
        entry = FileEntry(count, len(content), hashlib.sha256(content).hexdigest())
        stated = text_of(attrs.asdict(entry), sealed=True)
        (self._target / _sidecar(name)).write(stated.encode())
        self._whole[name] = entry

    def _entry(self, number: int) -> FileEntry | None:
        return self._read(shard_name(number), self._counts[number])

    def _read(self, name: str, count: int) -> FileEntry | None:
        """What the file beside ``name`` says; None if it or the file is not there, or not whole."""
        if name in self._whole:
            return self._whole[name]
        beside, place = self._target / _sidecar(name), self._target / name
        if not beside.exists():
            return None
        try:
            entry: FileEntry = structure(FileEntry, parse_document(_read_small(beside), sealed=True))
        except (ValueError, FaultyConfigError) as error:
            _log.warning("%s is damaged (%s); what it is of is encoded anew", beside, one_line(error))
            return None
        if not place.exists():
            return None
        whole = entry.count == count and place.size() == entry.bytes
        if not whole or (name in self._unsure and not _agrees(place, entry)):
            _log.warning("%s is damaged: it is not what was written; it is encoded anew", place)
            return None
        self._whole[name] = entry
        return entry

    def _names(self) -> set[str]:
        try:
            return set(self._target.children())
        except MissingError:
            return set()  # an object store has no empty folders

    def _claim(self) -> None:
        """Bind the folder to this header, or find that it is bound to another."""
        ours: dict[str, Any] = {"header": dump(self.header), "shard_samples": self.shard_samples}
        if (self._target / INDEX).exists():
            index = read_index(self._target)
            theirs: dict[str, Any] = {"header": dump(index.header), "shard_samples": index.shard_samples}
            self._compare(ours, theirs, finished=True)
            return
        self._target.makedirs()
        place = self._target / _UNFINISHED
        if place.exists():
            try:
                theirs = parse_document(_read_small(place), sealed=True)
            except ValueError:
                raise DataError(f"{place} is damaged; empty the folder and begin anew") from None
            written = parse_document(text_of(ours).encode())
            if self._accepts:
                theirs["header"] |= {name: written["header"][name] for name in ("source", "contents")}
            self._compare(written, theirs)
            if self._accepts:
                place.write(text_of(ours, sealed=True).encode())
            return
        stray = [name for name in sorted(self._names()) if name.startswith("shard-") or name == EMPTY]
        if stray:
            raise DataError(
                f"{self._target} holds {stray[0]}, of unknown origin; choose another folder or empty this one"
            )
        place.write(text_of(ours, sealed=True).encode())

    def _compare(self, ours: Any, theirs: Any, *, finished: bool = False) -> None:
        # Through JSON, which has no tuples.
        ours = json.loads(json.dumps(ours))
        changed = _of_other_data(ours["header"], theirs["header"])
        if changed:
            raise ConfigError(
                f"{self._target} holds shards of other data than the source holds now: {'; '.join(changed)}; "
                "choose another folder, or remove this one to encode all images anew"
                + ("" if finished else ", or keep the shards that it holds by --accept-changed-data")
            )
        difference = _difference(ours, theirs)
        if difference:
            raise ConfigError(
                f"{self._target} holds shards that were made otherwise ({difference}); "
                "choose another folder, or encode as before"
            )

    def _check_values(self, tensors: dict[str, Tensor], name: str) -> None:
        for key, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise DataError(f"'{key}' of {name} has a value that is not finite; encode in float32")
            if key.startswith("std") and bool((tensor < 0).any()):
                raise DataError(
                    f"'{key}' of {name} is negative somewhere; store the posterior's standard deviation, "
                    "not its logarithm"
                )
        check_labels(tensors, self.header, name, "correct it")


def _read_small(place: Location) -> bytes:
    """A file of ours that holds a few lines.

    Raises:
        ValueError: if it is far too long to be one.
    """
    if place.size() > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST:,} bytes")
    return place.read()


def _agrees(place: Location, entry: FileEntry) -> bool:
    try:
        return hashlib.sha256(place.read()).hexdigest() == entry.sha256
    except DataError:
        if place.local is None:
            raise  # it may be whole, and cannot be reached just now
        return False


def _sidecar(name: str) -> str:
    return name.replace(".safetensors", ".json")


def _check(tensors: dict[str, Tensor], specs: Mapping[str, TensorSpec], name: str) -> None:
    if set(tensors) != set(specs):
        raise DataError(f"{name} was given {sorted(tensors)} where its header says {sorted(specs)}")
    for key, spec in specs.items():
        dtype = str(tensors[key].dtype).removeprefix("torch.")
        if (dtype, tuple(tensors[key].shape)) != (spec.dtype, spec.shape):
            raise DataError(
                f"'{key}' of {name} is {dtype} {tuple(tensors[key].shape)} where its header says "
                f"{spec.dtype} {spec.shape}"
            )


def _of_other_data(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What the source holds now and did not hold before, in words; empty if it is the same."""
    if ours["source"] == theirs["source"]:
        return []
    here, there = ours["source"].partition(":")[0], theirs["source"].partition(":")[0]
    if here != there:
        return [f"it is read as {here} and was as {there}"]
    stated = [one["contents"] for one in (theirs, ours)]
    if "none" in stated or None in stated:
        return [f"it is {ours['source']} and was {theirs['source']}"]
    return changes(*(structure(Contents, one) for one in stated)) or ["what it says of itself"]


def _difference(ours: object, theirs: object, path: str = "") -> str:
    """The first place where two plain values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            found = _difference(ours.get(key, "nothing"), theirs.get(key, "nothing"), f"{path}.{key}")
            if found:
                return found
        return ""
    return "" if ours == theirs else f"{path.removeprefix('.')} is {theirs} there and {ours} here"
