"""What composing costs: a composed network against the same layers called by hand in one function.

The cost is Python's alone and does not depend on the size of the network, so it is measured where
everything else is small, and then put beside a real step.
"""

from common import Verdict, awake, deepflow_s  # isort: skip

import statistics
import time

import torch
from torch import Tensor

import thalweg
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.types import Condition

ROUNDS, SHARE = 400, 0.01
LOOKUPS, OF_A_STEP = 10_000, 0.001


def by_hand(network: FlowNetwork, x_t: Tensor, times_kN: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """A forward pass of two branches of DiT with VeRA between them, without any of our interfaces."""
    dit, vera = network.backbone, network.refiner
    patches = tokens = dit.patches(x_t)
    half = len(dit.blocks) // 2
    c = dit.time(times_kN[0]) + dit.classes(labels)
    for block in dit.blocks[:half]:
        tokens = block(tokens, c)
    first = network.intermediate_velocity(tokens, c)
    gap = vera.time_gap(times_kN[1] - times_kN[0])
    tokens, features = vera.blocks[0](tokens, patches, gap)
    acceleration = network.acceleration_readout(features, c)
    c = dit.time(times_kN[1]) + dit.classes(labels)
    for block in dit.blocks[half:]:
        tokens = block(tokens, c)
    return first, network.velocity_readout(tokens, c), acceleration


def lookup() -> float:
    """Seconds of finding a component's class by its name, and of calling a hook that nobody implements."""
    known = thalweg.registry()
    known.config_class("refiner", "vera")
    begun = time.perf_counter()
    for _ in range(LOOKUPS):
        thalweg.registry().config_class("refiner", "vera")
        known.hook.thalweg_step_finished(run_dir=None, step=1, numbers={})
    return (time.perf_counter() - begun) / LOOKUPS


def inputs(network: FlowNetwork, count: int) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    x_t = torch.randn(count, *network.facts.shape, generator=draws)
    return x_t, torch.rand(2, count, generator=draws), torch.arange(count)


def main() -> None:
    verdict = Verdict()
    backbone = {"type": "dit", "width": 16, "heads": 2, "depth": 12, "patch": 2}
    tiny = awake(
        thalweg.compose(
            backbone=backbone,
            refiner={"type": "vera", "channels": [16]},
            branches=2,
            facts=Facts(shape=(4, 4, 4), classes=10),
        )
    )
    x_t, times_kN, labels = inputs(tiny, 1)
    composed = tiny(x_t, times_kN, Condition(labels))
    direct = by_hand(tiny, x_t, times_kN, labels)
    assert all(map(torch.equal, (*composed.velocities, *composed.readouts["acceleration"]), direct))
    differences = []
    with torch.no_grad():
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            by_hand(tiny, x_t, times_kN, labels)
            between = time.perf_counter()
            tiny(x_t, times_kN, Condition(labels))
            differences.append((time.perf_counter() - between) - (between - begun))
    cost = statistics.median(differences)
    network = deepflow_s()
    x_t, times_kN, labels = inputs(network, 16)
    with torch.no_grad():
        network(x_t, times_kN, Condition(labels))
        begun = time.perf_counter()
        network(x_t, times_kN, Condition(labels))
    forward = time.perf_counter() - begun
    print(f"composing costs {cost * 1e6:.0f} us a forward pass; DeepFlow-S/2-2T, batch 16: {forward:.3f} s")
    verdict.at_most("share of a forward pass", cost / forward, SHARE)
    # A step makes none: names are resolved before training, and hooks are called once a line of numbers.
    one = lookup()
    print(f"a look-up in the registry and a hook that nobody implements: {one * 1e6:.1f} us")
    verdict.at_most("share of a forward pass if each made one", one / forward, OF_A_STEP)
    verdict.exit()


if __name__ == "__main__":
    main()
