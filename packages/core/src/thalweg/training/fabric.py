"""Lightning Fabric, set up for a run."""

import logging
import os
import warnings
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from thalweg import machine
from thalweg.errors import ConfigError
from thalweg.machine import Precision

_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
_LAUNCHED = "LT_CLI_USED"


def is_first_process() -> bool:
    """Whether this process leads, known before processes are launched."""
    ranks = {name: int(os.environ[name]) for name in _RANK_VARIABLES if name in os.environ}
    if not ranks:
        return True
    name = next(iter(ranks))
    # The local rank counts anew on every node.
    node = int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))
    return ranks[name] == 0 and (name != "LOCAL_RANK" or node == 0)


def native_precision(accelerator: str) -> Precision:
    """The native precision of what Fabric will choose, or was told to by ``fabric run``."""
    accelerator = os.environ.get("LT_ACCELERATOR", accelerator)
    if accelerator in ("cuda", "gpu", "auto") and torch.cuda.is_available():
        return machine.native_precision("cuda")
    if accelerator in ("mps", "gpu", "auto") and torch.backends.mps.is_available():
        return machine.native_precision("mps")
    return machine.native_precision("cpu")


def make_fabric(*, accelerator: str, devices: str, strategy: str, precision: Precision) -> Fabric:
    """Fabric for these devices; under ``fabric run`` what was given there counts.

    Raises:
        ConfigError: if there is no such accelerator, strategy or number of devices here.
    """
    chosen: dict[str, Any] = {"accelerator": accelerator, "devices": devices, "strategy": strategy}
    if _LAUNCHED in os.environ:
        # Fabric reads these from the environment and refuses to be told twice.
        chosen = {}
    # It announces at length what the run's own summary says.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported")  # refused below
            fabric = Fabric(precision=precision, **chosen)
    except Exception as error:  # Fabric raises a dozen kinds of errors on a choice it cannot serve
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"cannot train with accelerator {accelerator!r}, devices {devices!r}, strategy {strategy!r}: "
            f"{reason}"
        ) from error
    if precision_of(fabric) != precision:
        raise ConfigError(
            f"training.precision is {precision}, which a {fabric.device.type} does not offer; "
            f"use {precision_of(fabric)} or 32-true"
        )
    return fabric


def launch(fabric: Fabric) -> None:
    """Start the other processes, unless ``fabric run`` has done so."""
    if _LAUNCHED not in os.environ:
        fabric.launch()


def expect_unused(fabric: Fabric) -> None:
    """Tell DDP that some parameters get no gradient, for which it would wait for ever; before set-up."""
    if isinstance(fabric.strategy, DDPStrategy):
        fabric.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


def precision_of(fabric: Fabric) -> str:
    """The precision that a Fabric was made with."""
    return str(fabric.strategy.precision.precision)
