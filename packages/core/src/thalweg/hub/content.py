"""What is sent of a network: itself, its run's configuration and metrics, and its passports."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from thalweg import checkpoint
from thalweg.config import CONFIG, read_recorded, recorded_text
from thalweg.documents import text_of
from thalweg.errors import ConfigError, DataError
from thalweg.fetching import averaged_at
from thalweg.generation.models import MODEL, SavedModel, model_at
from thalweg.hub.clean import check_clean, without_paths
from thalweg.hub.passports import passports_of
from thalweg.loading import load
from thalweg.passport import Passport
from thalweg.plugins.recording import FILES_KEY
from thalweg.regular import read_bytes
from thalweg.saved_network import DESCRIPTION, TENSORS, description_of, read_description, save
from thalweg.storage import redacted
from thalweg.storage.places import is_url, plain_place

METRICS = "metrics.jsonl"
"""The file of a run's metrics."""


@attrs.frozen
class Content:
    """What is sent, and what a card is written from.

    Attributes:
        files: by their paths in the repository: bytes, or a file that is sent as it is.
        description: of the network, as ``model.json`` has it.
        config: of the run; empty without a run.
        passports: by their paths in the repository.
    """

    files: dict[str, bytes | Path]
    description: Mapping[str, Any]
    config: Mapping[str, Any]
    passports: Mapping[str, Passport]


def content_of(
    place: str | Path,
    work: Path,
    *,
    average: str | None = None,
    passports: Iterable[str | Path] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Content:
    """Gather it.

    Args:
        place: a run, its model or one of its checkpoints, or a saved network: a path or URL.
        work: an empty folder, in which a checkpoint's network is saved.
        average: the average whose weights are meant; the main one by default.
        passports: more of them than are in the run.
        say: is told what is left out.

    Raises:
        DataError: there is no network, no such average, or a passport is of another network.
        ConfigError: the network needs what a repository cannot hold.
    """
    model = _found(place, average, work)
    description = description_of(model.path)
    _check_needs(description, place)
    files: dict[str, bytes | Path] = {
        DESCRIPTION: _description(model.path, description),
        TENSORS: model.path / TENSORS,
    }
    config: dict[str, Any] = {}
    if model.run is not None:
        config = without_paths(read_recorded(model.run / CONFIG))
        files[CONFIG] = recorded_text(config).encode()
        if (model.run / METRICS).is_file():
            files[METRICS] = read_bytes(model.run / METRICS)
    run = None if model.run is None or is_url(place) else model.run
    found = passports_of(run, str(description["sha256"]), passports, say)
    cleaned = {name: Passport(**without_paths(_fields(one))) for name, one in found.items()}
    files |= {name: text_of(one.plain(), sealed=True).encode() for name, one in cleaned.items()}
    for name, content in files.items():
        if isinstance(content, bytes):
            check_clean(name, content, *([] if model.run is None else [model.run]))
    return Content(files, description, config, cleaned)


def _found(place: str | Path, average: str | None, work: Path) -> SavedModel:
    """The saved network; of a run without one, its newest checkpoint's, saved."""
    model = model_at(place)
    if model is None:
        raise DataError(
            f"{redacted(str(place))} holds no network; give a run, one of its checkpoints or a saved network"
        )
    run = model.run
    if average is not None and not (model.path / checkpoint.MANIFEST).is_file():
        return attrs.evolve(_averaged(place, model, average), run=run)
    if not (model.path / checkpoint.MANIFEST).is_file():
        return model
    network = load(model.path, average=average)
    described = read_description(model.path / DESCRIPTION, sealed=False)
    names = checkpoint.read_document(model.path, "state").get("averages", [])
    config = {} if run is None else read_recorded(run / CONFIG)
    stated = {
        "name": config.get("name"),
        "seed": config.get("seed"),
        "step": model.step,
        "average": average or next(iter(names), None),
    }
    files = {FILES_KEY: described[FILES_KEY]} if FILES_KEY in described else {}
    if files:
        _check_needs(described, place)
    save(work / MODEL, network, run=stated, sampling=dict(network.sampling))
    sha256 = str(description_of(work / MODEL)["sha256"])
    return SavedModel(work / MODEL, sha256, model.step, run)


def _averaged(place: str | Path, main: SavedModel, average: str) -> SavedModel:
    own = description_of(main.path).get("run", {}).get("average")
    if own == average:
        return main
    if is_url(place):
        beside: str | Path = averaged_at(str(place), average)
    else:
        beside = main.path.with_name(f"{MODEL}-{Path(average).name}")
    other = model_at(beside) if is_url(place) or Path(beside).is_dir() else None
    if other is None:
        known = f"it is {own}" if own else "nobody wrote down which it has"
        raise DataError(
            f"{redacted(str(plain_place(place)))} has no average {average!r} ({known}); name one that the "
            "run keeps, or leave it out"
        )
    return other


def _check_needs(description: Mapping[str, Any], place: str | Path) -> None:
    """Make sure that all that makes the network again can be installed.

    Raises:
        ConfigError: naming the plugin files that it needs.
    """
    names = sorted(description.get(FILES_KEY) or {})
    if names:
        raise ConfigError(
            f"{redacted(str(place))} needs the plugin file {' and '.join(names)}, and code of a repository "
            "is never run; make it a package ('thalweg plugins new'), train or save the network with it, and "
            "push that"
        )


def _description(folder: Path, description: Mapping[str, Any]) -> bytes | Path:
    cleaned = without_paths(description)
    if cleaned == description:
        return read_bytes(folder / DESCRIPTION)
    cleaned.pop("digest", None)
    return text_of(cleaned, sealed=True).encode()


def _fields(passport: Passport) -> dict[str, Any]:
    return attrs.asdict(passport, recurse=False)
