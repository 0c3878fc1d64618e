"""Heads that a network gets once it stands: read-outs after some of its blocks, with nothing else changed."""

from collections.abc import Sequence

import attrs
import torch
from torch import nn

from thalweg.branches import checked_heads, head_depths
from thalweg.composition import seeded
from thalweg.errors import ConfigError
from thalweg.network import FlowNetwork


def add_heads(network: FlowNetwork, depths: Sequence[int], *, seed: int = 0) -> None:
    """Give a network heads after these numbers of blocks, in place.

    They begin as the backbone's read-outs do, at zero for those of ours, and read detached tokens if the
    network's heads do. :func:`thalweg.fit_heads` trains them. Facts and composition follow, so the network
    is saved and loaded with them; everything that it computed before it computes still.

    Args:
        network: composed, loaded or put together by hand.
        depths: numbers of blocks passed.
        seed: of their weights, where these are drawn.

    Raises:
        ConfigError: there is no such depth before the last block, it is there twice, a branch ends there, or
            there is a head already.
    """
    new = checked_heads(depths)
    if not new:
        raise ConfigError("no head is named; say after how many blocks to read a velocity, as in [3]")
    for depth in new:
        if depth in network.facts.head_depths:
            raise ConfigError(f"the network has a head after {depth} blocks already; leave it out")
    whole = head_depths((*network.facts.head_depths, *new), network.facts.ends)
    beside, cpu = next(network.parameters()), torch.device("cpu")
    with cpu, seeded(seed, cpu):
        layers = {str(depth): network.backbone.readout().to(beside) for depth in new}
    layers |= network.velocity_heads.items()
    network.velocity_heads = nn.ModuleDict({str(depth): layers[str(depth)] for depth in whole})
    network.velocity_heads.train(network.training)
    network.facts = attrs.evolve(network.facts, head_depths=whole)
    network.composition = {**network.composition, "heads": list(whole)}
