"""What is stored at a URL, and whether it is whole: shards or a source of images."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from thalweg.config import dump
from thalweg.data.shards import INDEX, read_index
from thalweg.data.shards import verify as verify_shards
from thalweg.data.shards.index import shard_name
from thalweg.data.sources import source_of, type_of
from thalweg.data.sources.braces import is_pattern
from thalweg.data.sources.refusals import is_tar
from thalweg.errors import DataError
from thalweg.protocols import Source
from thalweg.storage import Location, redacted

_FIRST = 5  # images whose sizes are shown
_AT_ONCE = 256  # images that are decoded before the next ones are handed out

Progress = Callable[[int, int], None]


def inspect(url: str, storage_options: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored there, as plain values: of shards what the index says, of images the listing and the
    sizes of the first.

    Raises:
        DataError: if nothing is stored there that can be read.
    """
    if _holds_shards(url, storage_options):
        return _shards(Location(url, storage_options))
    kind = type_of(url, storage_options)
    source = source_of(url, type=kind, storage_options=storage_options)
    first = [source[index].image.shape for index in range(min(_FIRST, len(source)))]
    return {
        "type": kind,
        "from": redacted(url),
        "images": len(source),
        "classes": source.classes,
        "class_names": list(source.class_names),
        "captioned": source.captioned,
        "first_sizes": [f"{width}x{height}x{channels}" for height, width, channels in first],
        "skipped": dict(getattr(source, "skipped", {})),
        "identity": source.identity,
        "held_out": list(getattr(source, "held_out", ())),
        "attribution": getattr(source, "attribution", ""),
    }


def verify(url: str, storage_options: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Check every byte of shards, or decode every image.

    Args:
        url: where they are stored.
        storage_options: what the storage needs.
        progress: called with how many are done, and of how many.

    Returns:
        ``type``, ``checked``, what they are (``unit``), and each of the ``damaged`` with ``file`` and
        ``reason``.

    Raises:
        DataError: if nothing is stored there that can be read.
    """
    if _holds_shards(url, storage_options):
        report = verify_shards(Location(url, storage_options), progress)
        damaged = [attrs.asdict(one) for one in report.damaged]
        return {"type": "shards", "checked": report.files, "unit": "files", "damaged": damaged}
    kind = type_of(url, storage_options)
    source = source_of(url, type=kind, storage_options=storage_options)
    damaged = list(_undecodable(source, progress))
    return {"type": kind, "checked": len(source), "unit": "images", "damaged": damaged}


def _undecodable(source: Source, progress: Progress) -> Iterator[dict[str, str]]:
    def reason(index: int) -> str | None:
        try:
            source[index]
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(source), _AT_ONCE):
            some = range(start, min(start + _AT_ONCE, len(source)))
            for index, fault in zip(some, pool.map(reason, some), strict=True):
                if fault is not None:
                    yield {"file": f"image {index}", "reason": fault}
            progress(some.stop, len(source))


def _holds_shards(url: str, storage_options: Mapping[str, Any]) -> bool:
    # A pattern or a file has nothing below it.
    if is_pattern(url):
        return False
    location = Location(url, storage_options)
    if is_tar(location) or (location.local is not None and not location.is_dir()):
        return False
    # Without an index they are not finished, which reading it will report.
    return (location / INDEX).exists() or (location.is_dir() and shard_name(0) in location.children())


def _shards(location: Location) -> dict[str, Any]:
    index = read_index(location)
    header = index.header
    described = dump(header)
    text = described.pop("text")
    described.pop("contents")
    return {
        "type": "shards",
        **{name: None if value == "none" else value for name, value in described.items()},
        "text": None if text == "none" else text,
        "shards": len(index.shards),
        "shard_samples": index.shard_samples,
        "bytes": index.total_bytes,
        "tensors": {name: [spec.dtype, *spec.shape] for name, spec in header.tensors().items()},
    }
