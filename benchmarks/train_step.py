"""A training step of DeepFlow-S/2-2T: latents 4x32x32, batch 16, forward to averaged weights.

Ours: bfloat16 autocast, compiled regions, fused AdamW, huge pages, as ``thalweg train`` has them by default.
Against it the same network, eager in float32, in the same process (so with huge pages too).
"""

from common import IMAGENET, Verdict, alternately, awake, deepflow_s  # isort: skip

import copy
import statistics
import time

import torch
from torch import nn

from thalweg.averages.ema import EMA
from thalweg.config import component
from thalweg.network import FlowNetwork
from thalweg.optimizers.adamw import AdamW
from thalweg.planning import draw_plan
from thalweg.randomness import generator
from thalweg.summary import summarise
from thalweg.training.optimizer import make_optimizer
from thalweg.training.step import Losses
from thalweg.types import Batch, Condition, Plan

BATCH, ROUNDS = 16, 7
FASTER, SHARE_OF_RATE = 3.5, 0.8


class Step:
    """Everything that one step does: with our defaults, or eager in float32."""

    def __init__(self, network: FlowNetwork, condition: Condition, ours: bool) -> None:
        if ours:
            network.compile_regions()
        names = ("velocity", "acceleration") if network.branches > 1 else ("velocity",)
        objectives = {name: component("objective", name).build(network.facts) for name in names}
        self._losses, self._ours = Losses(network, objectives), ours
        self._optimizer = make_optimizer(AdamW(1e-4, (0.9, 0.999), 0.0), self._losses, fused=ours)
        self._ema = EMA(network, 0.9999)
        self._planner = component("planner", "branch_times").build(network.facts)
        count = len(condition.hidden())
        self._batch = Batch(
            torch.randn(count, *network.facts.shape, generator=generator(0, "data")), condition
        )
        self._count = 0

    def _plan(self, purpose: str, *address: int) -> Plan:
        path = self._losses.network.interpolant
        return draw_plan(self._planner, self._batch, generator(0, purpose, *address), path)

    def velocities(self) -> torch.Tensor:
        plan = self._plan("check")
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self._ours):
            prediction = self._losses.network(plan.x_t, plan.times, self._batch.condition)
        return torch.stack([*prediction.velocities, *prediction.readouts.get("acceleration", ())]).float()

    def loss(self) -> torch.Tensor:
        plan = self._plan("plan", self._count)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._ours):
            return self._losses(plan, self._batch)["loss"]

    def __call__(self) -> None:
        self.loss().backward()
        nn.utils.clip_grad_norm_(self._losses.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._ema.update(0)
        self._count += 1


def compared(verdict: Verdict, network: FlowNetwork, condition: Condition, faster: float) -> float:
    """Compare a step of ours with the eager one, which does the same; gives the seconds of ours."""
    eager, ours = (
        Step(one, condition, ours) for one, ours in ((copy.deepcopy(network), False), (network, True))
    )
    begun = time.perf_counter()
    ours()
    print(f"first step, compiling: {time.perf_counter() - begun:.1f} s")
    eager()
    # Both have made the same step from the same weights; bfloat16 keeps three digits.
    one, other = eager.velocities(), ours.velocities()
    difference = float((one - other).norm() / one.norm())
    verdict.at_most("relative difference of velocities and accelerations after a step", difference, 2e-2)
    for _ in range(2):
        ours()
    # Ours is soon done, so it is asked more than once a turn; its first step finds cold caches.
    turns = {"eager": eager, "cold": ours, "ours": ours, "ours again": ours}
    seconds = alternately(turns, ROUNDS)
    step = statistics.mean([seconds["ours"], seconds["ours again"]])
    print(f"eager float32 {seconds['eager']:.3f} s, ours {step:.3f} s")
    verdict.at_least("times faster than eager float32", seconds["eager"] / step, faster)
    return step


def matmul_seconds(network: FlowNetwork) -> tuple[float, float]:
    """Seconds and operations of all linear layers' products on tokens, forward and backward, in bfloat16."""
    tokens = BATCH * network.facts.grid[0] * network.facts.grid[1]
    # Modulations and embedders read one vector a sample; what reads every token is what costs.
    shapes = [
        tuple(layer.weight.shape)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and "modulation" not in name and "time" not in name
    ]
    seconds = operations = 0.0
    for outputs, inputs in sorted(set(shapes)):
        count = shapes.count((outputs, inputs))
        x, w = torch.randn(tokens, inputs).bfloat16(), torch.randn(outputs, inputs).bfloat16()
        g = torch.randn(tokens, outputs).bfloat16()
        products = {
            "forward": lambda x=x, w=w: nn.functional.linear(x, w),
            "inputs": lambda g=g, w=w: g @ w,
            "weights": lambda g=g, x=x: g.t() @ x,
        }
        for product in products.values():
            product()
        seconds += count * sum(alternately(products, 9).values())
        operations += count * 3 * 2 * tokens * inputs * outputs
    return seconds, operations


def main() -> None:
    verdict = Verdict()
    network = awake(deepflow_s())
    labels = torch.randint(1000, (BATCH,), generator=generator(0, "labels"))
    step = compared(verdict, network, Condition(labels), FASTER)
    matmul, operations = matmul_seconds(network)
    rate = operations / matmul
    attained = 3 * summarise(network.composition, IMAGENET).gflop_forward * 1e9 * BATCH / step
    print(f"bfloat16 products on these shapes: {rate / 1e9:.0f} GFLOP/s")
    print(f"the whole step: {attained / 1e9:.0f} GFLOP/s")
    verdict.at_least("share of the bfloat16 matrix-product rate", attained / rate, SHARE_OF_RATE)
    verdict.exit()


if __name__ == "__main__":
    main()
