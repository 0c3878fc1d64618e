"""What the Trainer is given, looked at before anything is built."""

from collections.abc import Mapping
from typing import Any

from lightning_fabric import Fabric

from thalweg.arguments import check_instance, check_path, described
from thalweg.config import FaultyConfigError, RunConfig, check_made, components
from thalweg.errors import ConfigError
from thalweg.integers import PROCESSES
from thalweg.network import FlowNetwork
from thalweg.plugins import is_config

_OF_DATASET = ("facts", "train", "validation", "images")
_LONGEST_TIMEOUT = 30 * 86_400


def check_given(
    config: Any,
    run_dir: Any,
    *,
    network: Any,
    dataset: Any,
    objectives: Any,
    fabric: Any,
    devices: Any,
    nodes: Any,
    timeout: Any,
) -> None:
    """Arguments of :class:`thalweg.Trainer` are of the types that it takes.

    Raises:
        ConfigError: one is not; the message names it.
    """
    check_instance(
        "config", config, RunConfig, "a thalweg.RunConfig, as thalweg.load_config('recipe.toml') returns it"
    )
    check_made(config)
    check_path("run_dir", run_dir, "the run's folder")
    if network is not None:
        check_instance("network", network, FlowNetwork, "a network, as thalweg.compose returns it, or None")
    # The identity is not asked for here: to know it images may be read.
    if dataset is not None and (is_config(dataset) or not all(hasattr(dataset, one) for one in _OF_DATASET)):
        raise ConfigError(
            f"dataset is {described(dataset)}; give a data set that is built, or None for the config's own"
        )
    if objectives is not None:
        check_instance("objectives", objectives, Mapping, "a mapping of names to objectives, or None")
        try:
            components("objective", objectives)
        except FaultyConfigError as faults:
            raise faults.under("objectives") from None
    if fabric is not None:
        check_instance("fabric", fabric, Fabric, "a lightning_fabric.Fabric, or None")
    # Fabric's own words, such as "auto" or "0,1", are left to it.
    if not isinstance(devices, str):
        PROCESSES.check("devices", devices)
    PROCESSES.check("nodes", nodes)
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not number or not 0 < timeout <= _LONGEST_TIMEOUT:
        raise ConfigError(
            f"timeout is {described(timeout)}; it must be above 0 and at most {_LONGEST_TIMEOUT:,} seconds"
        )
