"""FSDP2: parameters, gradients, optimiser state and averages shared out over all processes."""

import warnings
from datetime import timedelta
from functools import partial

import torch
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from thalweg.training.losses import Losses


def fsdp(timeout: timedelta) -> ModelParallelStrategy:
    """The strategy ``fsdp``; :func:`spread` it over all processes once their number is known."""
    return ModelParallelStrategy(_shard, tensor_parallel_size=1, timeout=timeout)


def spread(strategy: ModelParallelStrategy, processes: int) -> None:
    """Data parallelism over all processes: Fabric's default would be one tensor-parallel group a node."""
    strategy._data_parallel_size = processes


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _shard(losses: Losses, mesh: DeviceMesh) -> Losses:
    network = losses.network
    # Read-outs hand on views, which nothing here writes to.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    # Gathered again for each pass: what stayed gathered would not see the optimiser or the averages.
    # Gathered in float32, with autocast inside as elsewhere, so that a network trains as under DDP.
    shard = partial(fully_shard, mesh=mesh["data_parallel"], reshard_after_forward=True)
    for block in _blocks(network.backbone, network.refiner):
        shard(block)
    # A group of its own, since samples are drawn by the network without the losses around it.
    shard(network)
    shard(losses)
    return losses


def _blocks(*owners: nn.Module | None) -> list[nn.Module]:
    """Members of the lists that the owners have, each once, however often it stands there."""
    children = [child for owner in owners if owner is not None for child in owner.children()]
    lists = [child for child in children if isinstance(child, nn.ModuleList)]
    return list(dict.fromkeys(block for blocks in lists for block in blocks))


def norm_of(total: Tensor) -> Tensor:
    """A gradient norm as a plain number on this process's device."""
    return whole(total).detach().to(torch.float32)
