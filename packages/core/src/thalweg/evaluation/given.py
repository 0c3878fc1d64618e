"""What :func:`thalweg.evaluate` is given, looked at before anything is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from thalweg.arguments import check_instance, check_path, described
from thalweg.errors import ConfigError
from thalweg.evaluation.images import Images
from thalweg.network_field import VelocityNetwork

_PLACE = "a path, a URL, a uint8 tensor or thalweg.evaluation.images.Images"


def check_given(
    subject: Any,
    reference: Any,
    metrics: Any,
    extractor: Any,
    protocol: Any,
    out: Any,
    save_reference: Any,
    work: Any,
    save_seconds: Any,
    progress: Any,
    say: Any,
) -> None:
    """Arguments are of the types that an evaluation takes.

    Raises:
        ConfigError: one is not; the message names it.
    """
    network = isinstance(subject, VelocityNetwork) and not isinstance(subject, type)
    if not network:
        wanted = f"a run, a network with facts and velocity, or images, as {_PLACE}"
        check_instance("subject", subject, (str, Path, Images, Tensor), wanted)
    if reference is not None:
        check_instance("reference", reference, (str, Path, Images, Tensor), f"images, as {_PLACE}, or None")
    check_instance("metrics", metrics, (list, tuple), "a list, such as ['fid']")
    for position, metric in enumerate(metrics):
        check_instance(f"metrics[{position}]", metric, (str, Mapping), "a name, or a table with type")
    if extractor is not None:
        check_instance("extractor", extractor, (str, Mapping), "a name, or a table with type")
    if protocol is not None:
        check_instance("protocol", protocol, (str, Path), "a protocol's name or a TOML file, or None")
    for name, place in {"out": out, "save_reference": save_reference, "work": work}.items():
        if place is not None:
            check_path(name, place, "what is to be written")
    number = isinstance(save_seconds, int | float) and not isinstance(save_seconds, bool)
    if not (number and save_seconds >= 0):  # NaN is neither, and nothing would ever be saved
        raise ConfigError(f"save_seconds is {described(save_seconds)}; it must be a number of at least 0")
    if not callable(say):
        raise ConfigError(f"say is {described(say)}; give a function")
    if progress is not None and not callable(progress):
        raise ConfigError(f"progress is {described(progress)}; give a function, or None")
