"""Arguments of :func:`thalweg_eval.evaluate`, checked before anything is opened."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from thalweg.arguments import check_instance, check_path, described
from thalweg.errors import ConfigError
from thalweg.image_sets.images import Images
from thalweg.network_field import VelocityNetwork
from thalweg.passport import is_passport
from thalweg.storage.places import check_folder, is_url, plain_place
from thalweg_eval.evaluation.reference_statistics import is_reference
from thalweg_eval.evaluation.variants import Variant

_PLACE = "a path, a URL, a uint8 tensor or thalweg.image_sets.images.Images"


def check_types(
    *,
    subject: Any,
    reference: Any,
    metrics: Any,
    extractor: Any,
    protocol: Any,
    paths: Mapping[str, Any],
    functions: Mapping[str, Any],
    save_seconds: Any,
) -> None:
    """Arguments are of the types that an evaluation takes.

    Raises:
        ConfigError: one is not; the message names it.
    """
    metric_types, metric_words = (str, Mapping), "a name, or a table with type"
    if isinstance(subject, type) or not isinstance(subject, VelocityNetwork):
        wanted = f"a run, a network with facts and velocity, or images, as {_PLACE}"
        check_instance("subject", subject, (str, Path, Images, Tensor), wanted)
    if reference is not None:
        check_instance("reference", reference, (str, Path, Images, Tensor), f"images, as {_PLACE}, or None")
    check_instance("metrics", metrics, (list, tuple), "a list, such as ['fid']")
    for position, metric in enumerate(metrics):
        check_instance(f"metrics[{position}]", metric, metric_types, metric_words)
    if extractor is not None:
        check_instance("extractor", extractor, metric_types, metric_words)
    if protocol is not None:
        check_instance("protocol", protocol, (str, Path), "a protocol's name or a TOML file, or None")
    for name, place in paths.items():
        if place is not None:
            check_path(name, place, "what is to be written")
    number = isinstance(save_seconds, int | float) and not isinstance(save_seconds, bool)
    if not (number and save_seconds >= 0):  # NaN is neither, and nothing would ever be saved
        raise ConfigError(f"save_seconds is {described(save_seconds)}; it must be a number of at least 0")
    for name, function in functions.items():
        if not callable(function):
            raise ConfigError(f"{name} is {described(function)}; give a function")


def check_shared(devices: int, **named: Any) -> None:
    """Make sure that several processes can open what they are to share.

    Raises:
        ConfigError: it is an object of this process.
    """
    for name, what in named.items():
        if devices > 1 and what is not None and not isinstance(what, str | Path):
            raise ConfigError(
                f"{name} is an object of this process, which {devices} processes cannot share; save it and "
                "name its path, or take devices=1"
            )


def check_drawn(network: Any, **stated: Any) -> None:
    """Make sure that nothing says how images are generated that are there already.

    Raises:
        ConfigError: there is no network, and yet something says it.
    """
    for name, value in stated.items():
        if network is None and value is not None:
            raise ConfigError(f"{name} says how to sample a network, and the subject is images; leave it out")


def passport_files(out: Path | None, variants: Sequence[Variant]) -> list[Path]:
    """Where the passport of each variant is to go, ``out`` itself or a file in it; nothing without ``out``.

    Raises:
        ConfigError: a folder of passports would be called like a file.
    """
    if out is None:
        return []
    if len(variants) == 1:
        return [out]
    check_folder(out, "out")
    return [out / variant.file for variant in variants]


def check_outputs(passports: Sequence[Path], save_reference: Path | None, inputs: Sequence[Any]) -> None:
    """Refuse to write over anything but passports, or statistics of a reference, before any work.

    Args:
        passports: where they are to go.
        save_reference: where statistics are to go.
        inputs: what is read; those that are paths are compared.

    Raises:
        ConfigError: naming the file.
    """
    read = [Path(plain_place(one)) for one in inputs if isinstance(one, str | Path) and not is_url(one)]
    statistics = [] if save_reference is None else [save_reference]
    for out in passports:
        if any(_same(out, one) for one in statistics):
            raise ConfigError(
                f"the passport and the statistics would both be written to {out}; name two files"
            )
    for paths, what, fault, known in (
        (passports, "the passport", "is no passport", lambda path: path.is_file() and is_passport(path)),
        (statistics, "the statistics", "holds no statistics of a reference", is_reference),
    ):
        for path in paths:
            if any(_same(path, one) for one in read):
                raise ConfigError(f"{path} is read, and {what} would be written over it; choose another name")
            if os.path.lexists(path) and not known(path):
                raise ConfigError(f"{path} exists and {fault}; choose another name, or move it")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()
