"""The ``.metadata`` of a folder of ``torch.distributed.checkpoint``, read without executing anything.

It is a pickle of dataclasses of torch: of every entry its shape and type, the chunks that it was saved in,
and where in which file each chunk stands. None of these classes is used here. The names that the format needs
are read as records that hold what was pickled and can do nothing; every other name is refused, and so is
every reference to an object outside the file.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import attrs
import torch

from thalweg.errors import DataError
from thalweg.suggestions import one_line

_METADATA, _STORAGE = "torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem"
_RECORDS = {
    *((_METADATA, name) for name in ("Metadata", "MetadataIndex", "StorageMeta", "TensorProperties")),
    *((_METADATA, f"{name}StorageMetadata") for name in ("Tensor", "Bytes", "Chunk")),
    (_STORAGE, "_StorageInfo"),
    # How tensors were laid out, which is deprecated, and the folder that it was saved to.
    ("torch.serialization", "_get_layout"),
    (_METADATA, "_MEM_FORMAT_ENCODING"),
    *(
        (module, f"{kind}Path")
        for module in ("pathlib", "pathlib._local")
        for kind in ("", "Posix", "Windows")
    ),
}
_PLAIN: dict[tuple[str, str], Any] = {("torch", "Size"): tuple, ("collections", "OrderedDict"): OrderedDict}
_MOST_DIMENSIONS, _MOST_BYTES = 64, 2**60


@attrs.frozen
class Chunk:
    """A block of a tensor as it was saved.

    Attributes:
        offsets: where in the tensor it begins, along each dimension.
        sizes: how large it is.
        file: that holds it, a name in the folder.
        begin: of its bytes there.
        length: of its bytes.
    """

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    begin: int
    length: int


@attrs.frozen
class Entry:
    """A tensor, or an object that was pickled.

    Attributes:
        name: its fully qualified name, as ``model.blocks.0.weight``.
        place: where it stood in the tables and lists that were saved.
        dtype: of a tensor; None of an object.
        shape: of a tensor.
        chunks: of a tensor in any order; of an object the one that holds it.
    """

    name: str
    place: tuple[str | int, ...]
    dtype: torch.dtype | None
    shape: tuple[int, ...]
    chunks: tuple[Chunk, ...]


def entries_in(content: bytes, where: str) -> dict[str, Entry]:
    """All that a folder holds, by its name.

    Args:
        content: of ``.metadata``.
        where: it stands, for messages.

    Raises:
        DataError: if it is damaged, names anything that the format does not need, or contradicts itself.
    """
    try:
        metadata = _Reader(content).load()
    except _NamedError as fault:
        raise DataError(
            f"{where} names {fault}, which no such file needs and which is never executed; save the "
            "checkpoint again with torch.distributed.checkpoint.save"
        ) from fault
    except Exception as fault:  # a damaged pickle ends in a dozen kinds of errors
        raise _damaged(where, one_line(fault)) from fault
    try:
        return {one.name: one for one in _entries(metadata)}
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise _damaged(where, one_line(fault)) from fault


def _damaged(where: str, why: str) -> DataError:
    return DataError(
        f"{where} is damaged or no metadata of torch.distributed.checkpoint ({why}); copy it again"
    )


class _NamedError(Exception):
    """A name that is not admitted."""


class _Pickled:
    """What was pickled of an object: its state, and nothing that acts."""

    state: Any = None

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):  # noqa: S301 - admits none but records and plain values
    """Reads records and plain values; the classes are its own, so that no file changes those of others."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self._known = {named: type(named[1], (_Pickled,), {}) for named in _RECORDS}

    def find_class(self, module: str, name: str) -> Any:
        """A record, a plain type, or a type of tensors."""
        found = self._known.get((module, name)) or _PLAIN.get((module, name))
        if found is None and module == "torch":
            found = vars(torch).get(name)
            found = found if isinstance(found, torch.dtype) else None
        if found is None:
            raise _NamedError(f"{module}.{name}")
        return found

    def persistent_load(self, _: Any) -> Any:
        """Nothing outside the file is referred to."""
        raise _NamedError("an object outside it")


def _entries(metadata: Any) -> Iterator[Entry]:
    table = _table(metadata, "Metadata")
    stored = dict(_stored(table["storage_data"]))
    places = table.get("planner_data") or {}
    for name, one in table["state_dict_metadata"].items():
        place = tuple(places.get(name, (name,))) if isinstance(places, Mapping) else (name,)
        if not isinstance(name, str) or not all(isinstance(part, str | int) for part in place):
            raise ValueError("an entry has no name")
        if type(one).__name__ == "BytesStorageMetadata":
            (at,) = [found for found in (stored.get((name, None)), stored.get((name, ()))) if found]
            yield Entry(name, place, None, (), (Chunk((), (), *at),))
            continue
        described = _table(one, "TensorStorageMetadata")
        dtype, shape = _state(described["properties"], "TensorProperties")[0], _sizes(described["size"])
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"'{name}' has no type")
        if math.prod(shape) * dtype.itemsize > _MOST_BYTES:
            raise ValueError(f"'{name}' of shape {shape} is larger than any file")
        chunks = tuple(_chunk(name, part, shape, stored) for part in described["chunks"])
        if sum(math.prod(chunk.sizes) for chunk in chunks) != math.prod(shape):
            raise ValueError(f"the chunks of '{name}' do not make up its shape {shape}")
        yield Entry(name, place, dtype, shape, chunks)


def _chunk(
    name: str, one: Any, shape: tuple[int, ...], stored: Mapping[tuple[str, Any], tuple[str, int, int]]
) -> Chunk:
    table = _table(one, "ChunkStorageMetadata")
    offsets, sizes = _sizes(table["offsets"]), _sizes(table["sizes"])
    within = len(offsets) == len(sizes) == len(shape) and all(
        begin + size <= whole for begin, size, whole in zip(offsets, sizes, shape, strict=True)
    )
    if not within:
        raise ValueError(f"a chunk of '{name}' lies outside its shape {shape}")
    found = stored.get((name, offsets))
    if found is None:
        raise ValueError(f"no file is named for the chunk of '{name}' at {offsets}")
    return Chunk(offsets, sizes, *found)


def _stored(table: Any) -> Iterator[tuple[tuple[str, Any], tuple[str, int, int]]]:
    """Where each chunk stands, by name and offset."""
    for index, info in table.items():
        key, found = _table(index, "MetadataIndex"), _table(info, "_StorageInfo")
        file, begin, length = found["relative_path"], found["offset"], found["length"]
        if not isinstance(file, str) or PurePath(file).name != file or "\\" in file or "\0" in file:
            raise ValueError(f"{file!r} is no name of a file in the folder")
        if not (type(begin) is type(length) is int and begin >= 0 and length > 0):
            raise ValueError(f"'{key['fqn']}' stands nowhere in {file}")
        if found.get("transform_descriptors"):
            raise ValueError(f"'{key['fqn']}' is compressed, which is not read here; save it without")
        offset = key.get("offset")
        yield (key["fqn"], None if offset is None else _sizes(offset)), (file, begin, length)


def _state(one: Any, kind: str) -> Any:
    if not isinstance(one, _Pickled) or type(one).__name__ != kind:
        raise ValueError(f"a {kind} is missing")
    return one.state


def _table(one: Any, kind: str) -> dict[str, Any]:
    state = _state(one, kind)
    if not isinstance(state, dict):
        raise ValueError(f"a {kind} is empty")
    return state


def _sizes(given: Any) -> tuple[int, ...]:
    sizes = tuple(given)
    if len(sizes) > _MOST_DIMENSIONS or not all(type(one) is int and one >= 0 for one in sizes):
        raise ValueError(f"{sizes!r} is no shape")
    return sizes
