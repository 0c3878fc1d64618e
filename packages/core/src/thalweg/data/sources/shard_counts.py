"""How many samples each shard of a set holds, which is to be known before the first is read.

It is stated beside the shards, as WebDataset's tools (``sizes.json``) and img2dataset (``00000_stats.json``)
do, or was counted earlier and kept in the user's cache; else every shard is read once.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from thalweg.documents import read_document, write_document
from thalweg.errors import DataError, ThalwegError
from thalweg.regular import parse_json
from thalweg.storage import Location
from thalweg.storage.cache import cache_folder
from thalweg.storage.failures import MissingError

SIZES = "sizes.json"
STATS = "_stats.json"

_LARGEST = 2**28  # bytes of a statement on all shards
_AT_ONCE = 8
_COUNTING = 2  # shards that are counted side by side; each is read whole

_log = logging.getLogger("thalweg")


def is_statement(name: str) -> bool:
    """Whether a file states how many samples shards hold."""
    return name.rpartition("/")[2] == SIZES or name.endswith(STATS)


def stated_counts(shards: Sequence[Location]) -> list[int] | None:
    """What is stated beside the shards of a set; None if nothing is, or not of all.

    Raises:
        DataError: if a statement is there and cannot be read.
    """
    folders = {shard.parent for shard in shards}
    folder = shards[0].parent
    if folder is None:
        return None
    if len(folders) == 1:
        sizes = _read(folder / SIZES)
        if sizes is not None:
            missing = [shard.name for shard in shards if shard.name not in sizes]
            if missing:
                raise DataError(f"{folder / SIZES} states nothing of {missing[0]}; add it, or take that away")
            return [_count(sizes[shard.name], folder / SIZES, shard.name) for shard in shards]
    if _stats(shards[0]) is None:
        return None
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(_stats, shards))
    return None if None in found else [count for count in found if count is not None]


def counted(
    kind: str, names: Sequence[str], versions: Sequence[str], count: Callable[[int], int], where: str
) -> list[int]:
    """What each shard holds: as it was counted earlier, else by opening it.

    Args:
        kind: of the source.
        names: of the shards.
        versions: what changes when one is replaced; empty for one that says nothing.
        count: opens a shard and counts.
        where: what the set is called.
    """
    digest = hashlib.sha256(repr([kind, list(names)]).encode(errors="surrogatepass")).hexdigest()[:24]
    path = cache_folder() / "counts" / f"{digest}.json"
    kept = _kept(path)
    known: dict[int, int] = {}
    for number, (name, version) in enumerate(zip(names, versions, strict=True)):
        one = kept.get(name)
        if version and isinstance(one, list) and one[0] == version:
            known[number] = int(one[1])
    new = [number for number in range(len(names)) if number not in known]
    if not new:
        return [known[number] for number in range(len(names))]
    if len(new) > _AT_ONCE:
        _log.warning(
            "%s: counting the samples of %d shards, each of which is read once; a %s beside them that states "
            'how many each holds, {"NAME": COUNT, ...}, makes that needless',
            *(where, len(new), SIZES),
        )
    with ThreadPoolExecutor(_COUNTING) as pool:
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            known |= dict(zip(some, pool.map(count, some), strict=True))
            # After each few, so that whoever is interrupted need not begin anew.
            _keep(path, {names[one]: [versions[one], known[one]] for one in known if versions[one]})
    return [known[number] for number in range(len(names))]


def _stats(shard: Location) -> int | None:
    folder = shard.parent
    if folder is None:
        return None
    place = folder / f"{shard.name.removesuffix('.tar')}{STATS}"
    stats = _read(place)
    return None if stats is None else _count(stats.get("successes"), place, "successes")


def _read(place: Location) -> Mapping[str, Any] | None:
    try:
        found = parse_json(place.read(limit=_LARGEST))
    except MissingError:
        return None
    except ValueError as error:
        raise DataError(f"{place} is no JSON ({error}); write it anew, or take it away") from error
    if not isinstance(found, Mapping):
        raise DataError(f"{place} is no table; write it as {{name: count, ...}}, or take it away")
    return found


def _count(value: Any, place: Location, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"{place} states {value!r} samples of {name}; it must be a whole number")
    return value


def _kept(path: Path) -> Mapping[str, Any]:
    try:
        found = read_document(path, "a count of samples", "", sealed=True)
    except (FileNotFoundError, DataError):
        return {}
    counts = found.get("counts")
    return counts if isinstance(counts, Mapping) else {}


def _keep(path: Path, counts: Mapping[str, list[Any]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_document(path, {"counts": dict(counts)}, sealed=True)
    except (OSError, ThalwegError) as error:
        _log.warning("the counts are not kept for the next time (%s)", error)
