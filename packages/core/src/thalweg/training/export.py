"""The averaged networks of a finished run, in folders that :func:`thalweg.load` opens."""

from pathlib import Path

from lightning_fabric import Fabric

from thalweg.config import RunConfig, dump
from thalweg.network import FlowNetwork
from thalweg.protocols import Averages
from thalweg.saved_network import save
from thalweg.training.fully_sharded import whole
from thalweg.training.run_directory import RunDirectory


def export(
    run: RunDirectory, config: RunConfig, network: FlowNetwork, averages: Averages, step: int, fabric: Fabric
) -> Path:
    """Write them, with how the run draws; every process must call it.

    The main average's is written last, since its folder says that the run is complete.

    Args:
        run: its folder.
        config: the run.
        network: what was trained.
        averages: of its weights.
        step: steps done.
        fabric: launched.

    Returns:
        The folder of the main one, ``model``; another's is ``model-NAME`` beside it.

    Raises:
        ThalwegError: if it cannot be written.
    """
    for name in reversed(averages.names):
        place = run.model if name == averages.names[0] else run.model_of(name)
        # One tensor at a time is put together, and kept by the first process alone.
        tensors = {}
        for key, tensor in averages.state_dict(name).items():
            full = whole(tensor)
            if fabric.is_global_zero:
                tensors[key] = full.cpu()
        if fabric.is_global_zero:
            run.make_room_for_model(place)
            save(
                place,
                network,
                state_dict=tensors,
                run={"name": config.name, "seed": config.seed, "step": step, "average": name},
                sampling=dump(config.sampling),
            )
    return run.model
