"""Opening a data set of the library ``datasets``, from this machine unless the Hub is asked for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from thalweg.data.sources.names import SUFFIXES, is_hidden
from thalweg.errors import DataError, PluginError, ThalwegError
from thalweg.storage.places import local_path
from thalweg.storage.redaction import redacted
from thalweg.suggestions import one_line

SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"
"""Files by which a folder of ``save_to_disk`` is known: of one data set, and of several splits."""

_BUILDERS = {
    "parquet": (".parquet",),
    "arrow": (".arrow",),
    "imagefolder": SUFFIXES,
}
"""What reads a folder, by the files in it; the first of which there are some."""


@attrs.frozen
class DataSetPlace:
    """Where a data set is, as :class:`thalweg.data.sources.huggingface.config.HuggingFaceConfig` has it."""

    url: str | None
    hub: str | None
    download: bool
    revision: str | None
    subset: str | None
    split: str


def library() -> Any:
    """The package.

    Raises:
        PluginError: if it is missing.
    """
    try:
        import datasets
    except ImportError as error:
        raise PluginError(
            "the source 'huggingface' needs the package datasets: pip install 'thalweg-core[datasets]'"
        ) from error
    return datasets


def opened(place: DataSetPlace) -> Any:
    """The data set, its rows by index: ``datasets.Dataset``.

    Raises:
        DataError: if it cannot be opened, or has no such split.
    """
    datasets = library()
    with named(place):
        if place.url is not None and is_saved(folder := folder_of(place)):
            return _saved(datasets, folder, place.split)
        if place.hub is not None and place.download:
            return datasets.load_dataset(place.hub, place.subset, split=place.split, revision=place.revision)
        builder = builder_of(place)
        builder.download_and_prepare()
        return builder.as_dataset(split=place.split)


def builder_of(place: DataSetPlace) -> Any:
    """What reads a data set's files: ``datasets.DatasetBuilder``.

    Raises:
        DataError: if there are no files that it reads.
    """
    datasets = library()
    if place.url is not None:
        folder = folder_of(place)
        # By the name of a reader, so that no README of the folder says where else files are.
        return datasets.load_dataset_builder(_reader(folder), data_dir=str(folder))
    if place.download:
        return datasets.load_dataset_builder(place.hub, place.subset, revision=place.revision)
    from datasets.packaged_modules.cache.cache import Cache

    # It would warn that it reads the cache, which is what was asked for.
    logging.getLogger("datasets.packaged_modules.cache.cache").setLevel(logging.ERROR)
    assert place.hub is not None  # noqa: S101 - for the type checker
    found = Cache(
        dataset_name=place.hub.rpartition("/")[2],
        repo_id=place.hub if "/" in place.hub else None,
        config_name=place.subset,
        version="auto",
        hash="auto",
    )
    if place.revision not in (None, found.hash):
        raise DataError(
            f"datasets' cache holds {place.hub} of revision {found.hash}, not {place.revision}; state that "
            "one, or set the source's 'download'"
        )
    return found


@contextmanager
def named(place: DataSetPlace) -> Iterator[None]:
    """Inside, whatever the library raises becomes one sentence that names the data set."""
    try:
        yield
    except ThalwegError:
        raise
    except Exception as error:
        cure = ""
        if place.hub is not None and not place.download:
            cure = "; nothing is fetched from the Hub unless the source's 'download' is set"
        raise DataError(
            f"the data set {shown(place)} cannot be opened ({type(error).__name__}: "
            f"{redacted(one_line(error))}){cure}"
        ) from error


def shown(place: DataSetPlace) -> str:
    """What the data set is called in errors."""
    subset = "" if place.subset is None else f" ({place.subset})"
    return redacted(f"{place.hub or place.url}{subset}, split {place.split}")


def folder_of(place: DataSetPlace) -> Path:
    """The folder of a data set on this machine.

    Raises:
        ConfigError: if it is a URL.
        DataError: if there is none.
    """
    assert place.url is not None  # noqa: S101 - for the type checker
    folder = local_path(place.url, "the source's url", "download it first").absolute()
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}; a data set on the Hub is named by 'hub' instead of 'url'"
        )
    return folder


def is_saved(folder: Path) -> bool:
    """Whether ``save_to_disk`` wrote a folder."""
    return (folder / SAVED).is_file() or (folder / SAVED_SPLITS).is_file()


def _saved(datasets: Any, folder: Path, split: str) -> Any:
    if (folder / SAVED).is_file():
        found = datasets.Dataset.load_from_disk(str(folder))
        if found.split is not None and str(found.split) != split:
            raise DataError(f"{folder} holds the split {found.split}, not {split}; set the source's 'split'")
        return found
    splits = datasets.DatasetDict.load_from_disk(str(folder))
    if split not in splits:
        raise DataError(
            f"{folder} holds the splits {', '.join(splits)}, and no {split}; set the source's 'split'"
        )
    return splits[split]


def _reader(folder: Path) -> str:
    names = [path.name.lower() for path in folder.rglob("*") if not is_hidden(path.name)]
    for reader, suffixes in _BUILDERS.items():
        if any(name.endswith(suffixes) for name in names):
            return reader
    raise DataError(
        f"{folder} holds no data set: neither what save_to_disk writes, nor .parquet or .arrow files, nor "
        "images"
    )
