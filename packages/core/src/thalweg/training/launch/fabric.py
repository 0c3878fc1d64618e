"""Lightning Fabric, set up for a run."""

import atexit
import inspect
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from thalweg.arguments import PROCESSES
from thalweg.errors import ConfigError
from thalweg.machine import Precision, native_precision
from thalweg.training.launch.distributed import shard
from thalweg.training.launch.workers import Workers, follow_parent, unmet

_STRATEGIES = ("auto", "ddp", "fsdp")
_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
_SENDING_BUFFERS = ("forward_sync_buffers", "broadcast_buffers")
_LAUNCHED = "LT_CLI_USED"
_GIVEN = ("accelerator", "devices", "num_nodes", "strategy")


def is_first_process() -> bool:
    """Whether this process leads, known before processes are launched."""
    name = next((one for one in _RANK_VARIABLES if one in os.environ), None)
    # The local rank counts anew on every node.
    node = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")) if name == "LOCAL_RANK" else "0"
    return name is None or (int(os.environ[name]) == 0 and int(node) == 0)


def make_fabric(
    *, accelerator: str, devices: str, nodes: int, strategy: str, precision: Precision | None, timeout: float
) -> Fabric:
    """Fabric for these devices; what a launcher such as ``fabric run`` or ``torchrun`` chose counts.

    Arguments are as of :class:`thalweg.Trainer`; without a precision it is the device's native one.

    Raises:
        ConfigError: if there is no such accelerator, strategy or number of devices here.
    """
    if devices.isdecimal():
        PROCESSES.check("devices", int(devices))
    # It announces at length what the run's own summary says.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    with _from_fabric_run() as given:
        accelerator, strategy = given.get("accelerator", accelerator), given.get("strategy", strategy)
        precision = native_precision(_device_type(accelerator)) if precision is None else precision
        devices, nodes, world = _placed(
            given.get("devices", devices), int(given.get("num_nodes", nodes)), explicit=not given
        )
        try:
            chosen = _strategy(strategy, world, timedelta(seconds=timeout))
            mixed = strategy == "fsdp" and precision == "bf16-mixed"
            if strategy == "fsdp" and precision == "16-mixed":
                raise ValueError("fsdp does not scale losses for float16; use bf16-mixed, or ddp")
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported")  # refused below
                fabric = Fabric(
                    accelerator=accelerator,
                    devices=devices,
                    num_nodes=nodes,
                    strategy=chosen,
                    precision=None if mixed else precision,
                    plugins=[MixedPrecision("bf16-mixed", _device_type(accelerator))] if mixed else None,
                )
        except Exception as error:  # Fabric raises a dozen kinds of errors on a choice it cannot serve
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ConfigError(
                f"cannot train with accelerator {accelerator!r}, devices {devices!r}, strategy "
                f"{strategy!r}: {reason}"
            ) from error
    if precision_of(fabric) != precision:
        raise ConfigError(
            f"training.precision is {precision}, which a {fabric.device.type} does not offer; "
            f"use {precision_of(fabric)} or 32-true"
        )
    if isinstance(fabric.strategy, DDPStrategy):
        fabric.strategy._timeout = timedelta(seconds=timeout)  # also where Fabric chose it
    return fabric


def launched(fabric: Fabric) -> bool:
    """Whether all processes are there already, started by something else."""
    environment = getattr(fabric.strategy, "cluster_environment", None)
    return _LAUNCHED in os.environ or (environment is not None and environment.creates_processes_externally)


def launch(fabric: Fabric) -> Workers | None:
    """Start the other processes, unless something else has, and connect all; those that were started.

    Raises:
        ProcessLostError: if they do not all meet within the time that was given.
    """
    strategy, workers = fabric.strategy, None
    if isinstance(strategy, ModelParallelStrategy):
        # Data parallelism over all processes: Fabric's default would be one tensor-parallel group a node.
        strategy._data_parallel_size = fabric.world_size
    if isinstance(strategy.launcher, _SubprocessScriptLauncher) and not launched(fabric):
        environment: Any = strategy.cluster_environment  # type: ignore[attr-defined]
        workers = Workers(environment, strategy.num_processes, strategy.num_nodes)  # type: ignore[attr-defined]
        strategy._launcher = workers
    follow_parent()
    if _LAUNCHED not in os.environ:
        try:
            fabric.launch()
        except BaseException as error:
            if workers is not None:
                workers.end(0.0)
            fault = unmet(error, getattr(strategy, "_timeout", timedelta()).total_seconds())
            if fault is not None:
                raise fault from error
            raise
    # Fabric does so for NCCL alone, and leaves gloo's threads to the end of the interpreter.
    atexit.register(_leave_group)
    return workers


def prepare_ddp(fabric: Fabric, module: nn.Module, *, unused: bool) -> None:
    """Configure DDP before set-up."""
    if isinstance(fabric.strategy, DDPStrategy):
        # Fixed tables are the same everywhere; what is saved with the weights may change on the way.
        changing = {name for name, _ in module.named_buffers()} & module.state_dict().keys()
        known = inspect.signature(DistributedDataParallel).parameters
        fabric.strategy._ddp_kwargs |= {
            "find_unused_parameters": unused,
            # As it is called since torch 2.14, or was before.
            next(one for one in _SENDING_BUFFERS if one in known): bool(changing),
            "gradient_as_bucket_view": True,  # else gradients take their memory twice
        }


def precision_of(fabric: Fabric) -> str:
    """The precision that a Fabric was made with."""
    return str(fabric.strategy.precision.precision)


def _leave_group() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _strategy(name: str, world: int | None, timeout: timedelta) -> Any:
    if name not in _STRATEGIES:
        raise ValueError(f"there are {', '.join(_STRATEGIES)}")
    if name == "fsdp":
        return ModelParallelStrategy(shard, world or "auto", tensor_parallel_size=1, timeout=timeout)
    # Fabric's own choice knows of no launcher; under ``fabric run`` it connects as soon as it is made.
    many = world is not None and world > 1
    return DDPStrategy(timeout=timeout) if name == "ddp" or many else "auto"


def _placed(devices: str, nodes: int, *, explicit: bool) -> tuple[str, int, int | None]:
    """Processes per machine, machines, and their product where a launcher started them all."""
    if TorchElasticEnvironment.detect():
        launcher, world, here = "torchrun", int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    elif SLURMEnvironment.detect():
        launcher, world = "srun", int(os.environ["SLURM_NTASKS"])
        here = world // int(os.environ.get("SLURM_NNODES", "1"))
    else:
        return devices, nodes, None
    if explicit and ((devices.isdigit() and int(devices) != here) or nodes not in (1, world // here)):
        raise ConfigError(
            f"{launcher} started {here} processes on each of {world // here} machines, and --devices is "
            f"{devices}, --nodes {nodes}; leave these out, or start as many"
        )
    return str(here) if devices == "auto" or devices.isdigit() else devices, world // here, world


@contextmanager
def _from_fabric_run() -> Iterator[dict[str, str]]:
    """Options of ``fabric run``, hidden from Fabric inside, which refuses to get them twice."""
    if _LAUNCHED not in os.environ:
        yield {}
        return
    names = {name: f"LT_{name.upper()}" for name in _GIVEN}
    given = {name: os.environ.pop(variable) for name, variable in names.items() if variable in os.environ}
    try:
        yield given
    finally:
        os.environ |= {names[name]: value for name, value in given.items()}


def _device_type(accelerator: str) -> str:
    if accelerator in ("cuda", "gpu", "auto") and torch.cuda.is_available():
        return "cuda"
    if accelerator in ("mps", "gpu", "auto") and torch.backends.mps.is_available():
        return "mps"
    return "cpu"
