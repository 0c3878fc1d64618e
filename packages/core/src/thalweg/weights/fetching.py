"""Weights fetched by name: one process downloads, and goes on where it or another one was stopped."""

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from thalweg.errors import DataError, ThalwegError
from thalweg.folders import check_room, make_folders
from thalweg.storage.location import Location
from thalweg.storage.locks import holding
from thalweg.weights.arrivals import Arrival, read_arrivals, write_arrivals
from thalweg.weights.entry import WeightsEntry, WeightsFile
from thalweg.weights.here import LOCK, VARIABLE, check_file, checked, folder_of, place_of, tell_unknown
from thalweg.weights.offline import check_online
from thalweg.weights.partial import PartialFile, Version
from thalweg.weights.permission import Progress
from thalweg.weights.tables import find

_MB = 10**6
_PAGES = (b"<!doctype html", b"<html")

_log = logging.getLogger("thalweg")


def get(names: Sequence[str], progress: Progress = lambda *_: None) -> dict[str, Path]:
    """The file or folder of each name, fetched if it is not here.

    Stopped at whatever moment, the same call goes on from the byte that it had come to, if the server still
    has the same version. Of several processes, one downloads, and the others wait for it.

    Args:
        names: of the weights; nothing is fetched unless all are known.
        progress: is called before, while and after a file is downloaded.

    Raises:
        ConfigError: there are no weights of this name.
        DataError: they cannot be fetched, or are not what they must be; or downloading was ruled out.
        ThalwegError: they cannot be written.
    """
    wanted = {name: find(name) for name in names}
    check_online([*wanted.values()])
    return {name: checked(entry) or _fetched(entry, progress) for name, entry in wanted.items()}


def _fetched(entry: WeightsEntry, progress: Progress) -> Path:
    """All of its files, by one process at a time."""
    folder = folder_of(entry)
    try:
        make_folders(folder)
        waiting = f"another process is fetching the weights '{entry.name}'; waiting for it"
        with holding(folder / LOCK, waiting):
            check_room(folder, entry.about, VARIABLE)
            for file in entry.files:
                _arrive(entry, file, progress)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return place_of(entry)


def _arrive(entry: WeightsEntry, file: WeightsFile, progress: Progress) -> None:
    """One file: as it is here, or fetched from the first URL that has it."""
    folder = folder_of(entry)
    arrived = read_arrivals(folder).get(file.name)
    if (folder / file.name).is_file():
        arrival = check_file(entry, file, arrived)
        if arrival != arrived:
            _note(entry, file, arrival)
        return
    for url in file.urls[:-1]:
        try:
            _fetch(Location(url), entry, file, progress)
        except DataError as error:
            _log.warning("%s; trying the next place", error)
        else:
            return
    _fetch(Location(file.urls[-1]), entry, file, progress)


def _fetch(place: Location, entry: WeightsEntry, file: WeightsFile, progress: Progress) -> None:
    """One file from one place, to where it belongs once it was compared with its checksum."""
    about = place.about()
    size = file.bytes if about.size is None else about.size
    if file.bytes not in (None, size):
        raise DataError(f"{place} has {size:,} bytes where {file.bytes:,} are expected; {_else(entry, file)}")
    # Without a version or the whole checksum, a mixture of two versions would pass.
    resumable = bool(about.version) or file.whole
    with PartialFile(folder_of(entry) / file.name) as partial:
        done, digest = partial.begin(Version(str(place), about.version, about.size), resumable=resumable)
        show = _shown(progress, file.name if entry.folder else entry.name, size)
        show(done)
        if size is None or done < size:
            with contextlib.closing(place.stream(done, version=about.version, size=size)) as pieces:
                for piece in pieces:
                    partial.write(piece)
                    digest.update(piece)
                    done += len(piece)
                    show(done)
        arrival = Arrival(done, digest.hexdigest(), str(place))
        fault = _fault(partial, file, arrival)
        if fault:
            partial.discard()
            raise DataError(f"{place} {fault}; try again later, or {_else(entry, file)}")
        # Before the file has its name: without it, it would be taken for one that was put there by hand.
        _note(entry, file, arrival)
        partial.finish()


def _shown(progress: Progress, name: str, size: int | None) -> Callable[[int], None]:
    """Shows how much of a file has arrived, if its size is known."""

    def show(done: int) -> None:
        if size is not None:
            progress(f"{name} (MB)", -(-done // _MB), -(-size // _MB))

    return show


def _fault(partial: PartialFile, file: WeightsFile, arrival: Arrival) -> str:
    """What is wrong with what arrived; empty if nothing is."""
    if partial.start(len(_PAGES[0])).lower().startswith(_PAGES):
        return "is a web page and no file of weights"
    if not arrival.sha256.startswith(file.sha256):
        return (
            f"is damaged or another file: its SHA-256 is {arrival.sha256}, which does not begin with "
            f"{file.sha256}"
        )
    return ""


def _note(entry: WeightsEntry, file: WeightsFile, arrival: Arrival) -> None:
    folder = folder_of(entry)
    arrived = read_arrivals(folder)
    former = arrived.get(file.name, arrival).sha256
    if former != arrival.sha256:
        _log.warning(
            "%s of the weights '%s' is another file than the one that was here before, whose SHA-256 was %s",
            file.name,
            entry.name,
            former,
        )
    write_arrivals(folder, {**arrived, file.name: arrival})
    tell_unknown(entry, file, arrival.sha256)


def _else(entry: WeightsEntry, file: WeightsFile) -> str:
    return f"get it from {entry.source} to {folder_of(entry) / file.name}"


def _unwritable(folder: Path, error: OSError) -> ThalwegError:
    return ThalwegError(
        f"{folder} cannot be written ({error.strerror or os.strerror(error.errno or 0)}); make room or name "
        f"another folder by {VARIABLE}, and the same command goes on"
    )
