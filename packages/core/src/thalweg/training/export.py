"""The averaged network of a finished run, in a folder that :func:`thalweg.load` opens."""

from pathlib import Path

from lightning_fabric import Fabric

from thalweg.config import RunConfig, dump
from thalweg.network import FlowNetwork
from thalweg.saved_network import save
from thalweg.training.ema import EMA
from thalweg.training.fully_sharded import whole
from thalweg.training.run_directory import RunDirectory


def export(
    run: RunDirectory, config: RunConfig, network: FlowNetwork, ema: EMA, step: int, fabric: Fabric
) -> Path:
    """Write it, with how its run draws; every process must call it.

    Args:
        run: its folder.
        config: the run.
        network: what was trained.
        ema: its averaged weights.
        step: steps done.
        fabric: launched.

    Returns:
        The folder.

    Raises:
        ThalwegError: if it cannot be written.
    """
    # One tensor at a time is put together, and kept by the first process alone.
    tensors = {}
    for name, tensor in ema.state_dict().items():
        full = whole(tensor)
        if fabric.is_global_zero:
            tensors[name] = full.cpu()
    if fabric.is_global_zero:
        run.make_room_for_model()
        save(
            run.model,
            network,
            state_dict=tensors,
            run={"name": config.name, "seed": config.seed, "step": step},
            sampling=dump(config.sampling),
        )
    return run.model
