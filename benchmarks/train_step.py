"""A training step of DeepFlow-S/2-2T: latents 4x32x32, batch 16, forward to averaged weights.

Ours: bfloat16 autocast, compiled regions, fused AdamW, huge pages, as ``thalweg train`` has them by default.
Against it the same network in plain PyTorch, eager in float32.
"""

from common import IMAGENET, Verdict, alternately, awake, deepflow_s  # isort: skip

import os
import statistics
import subprocess
import sys
import time

import torch
from torch import nn

from thalweg.config import component
from thalweg.interpolant import Interpolant
from thalweg.network import FlowNetwork
from thalweg.planner import Planner
from thalweg.randomness import generator
from thalweg.summary import summarise
from thalweg.training.ema import EMA
from thalweg.training.losses import Losses
from thalweg.training.optimizer import adamw
from thalweg.types import Batch, Condition

BATCH, ROUNDS = 16, 7
FASTER, SHARE_OF_RATE = 3.5, 0.8


class Step:
    """Everything that one step does."""

    def __init__(self, network: FlowNetwork, ours: bool) -> None:
        if ours:
            network.compile_regions()
        objectives = {
            name: component("objective", name).build(network.facts) for name in ("velocity", "acceleration")
        }
        self._losses, self._ours = Losses(network, objectives), ours
        self._optimizer = adamw(self._losses, lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0, fused=ours)
        self._ema = EMA(network, 0.9999)
        time_sampler = component("time_sampler", "lognormal").build(network.facts)
        self._planner = Planner(Interpolant.named("linear"), time_sampler, 2, 0.01)
        draws = generator(0, "data")
        clean = torch.randn(BATCH, *IMAGENET.shape, generator=draws)
        self._batch = Batch(clean, Condition(torch.randint(1000, (BATCH,), generator=draws)))
        self._count = 0

    def loss(self) -> torch.Tensor:
        plan = self._planner(self._batch.clean, generator(0, "plan", self._count))
        with torch.autocast("cpu", torch.bfloat16, enabled=self._ours):
            return self._losses(plan, self._batch)["loss"]

    def __call__(self) -> None:
        self.loss().backward()
        nn.utils.clip_grad_norm_(self._losses.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._ema.update()
        self._count += 1


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


class Apart:
    """A step in a process of its own: huge pages are chosen when torch is imported."""

    def __init__(self, role: str, huge_pages: bool) -> None:
        environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": str(int(huge_pages))}
        command = [sys.executable, __file__, role]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self) -> float:
        """One answer: seconds of the first step, then the loss after it, then seconds of a step each."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def answer(ours: bool) -> None:
    """The other side: an answer a line asked for."""
    step = Step(awake(deepflow_s()), ours)
    for count, _ in enumerate(sys.stdin):
        begun = time.perf_counter()
        loss = step.loss().item() if count == 1 else step()
        print(loss if count == 1 else time.perf_counter() - begun, flush=True)


def main() -> None:
    if len(sys.argv) > 1:
        answer(ours=sys.argv[1] == "ours")
        return
    verdict = Verdict()
    sides = {
        "eager": Apart("eager", huge_pages=False),
        "eager, huge pages": Apart("eager", huge_pages=True),
        "ours": Apart("ours", huge_pages=True),
    }
    first = {name: side.ask() for name, side in sides.items()}
    losses = {name: side.ask() for name, side in sides.items()}
    difference = abs(losses["ours"] - losses["eager"]) / losses["eager"]
    verdict.at_most("relative difference of the losses after a step", difference, 1e-2)
    for side in sides.values():
        side.ask()
    # They take turns, and ours is asked more than once a turn since it is soon done.
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            seconds[name] += [side.ask() for _ in range(3 if name == "ours" else 1)]
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    for side in sides.values():
        side.close()
    print(f"first step, compiling: {first['ours']:.1f} s")
    print(", ".join(f"{name} {taken:.3f} s" for name, taken in median.items()))
    network = deepflow_s()
    matmul, operations = matmul_seconds(network)
    rate = operations / matmul
    attained = 3 * summarise(network.composition, IMAGENET).gflop_forward * 1e9 * BATCH / median["ours"]
    print(f"bfloat16 products on these shapes: {rate / 1e9:.0f} GFLOP/s")
    print(f"the whole step: {attained / 1e9:.0f} GFLOP/s")
    verdict.at_least("times faster than eager float32", median["eager"] / median["ours"], FASTER)
    verdict.at_least("share of the bfloat16 matrix-product rate", attained / rate, SHARE_OF_RATE)
    verdict.exit()


if __name__ == "__main__":
    main()
