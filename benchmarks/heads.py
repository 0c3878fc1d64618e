"""What heads on detached tokens cost: a training step of SiT-S/2 with three, a sampling step guided by one.

Against the same network without heads, and unguided: both in the same process, eager in float32.
"""

from common import IMAGENET, Verdict, alternately, awake  # isort: skip

import torch
from lightning_fabric import Fabric

import thalweg
from thalweg.averages.ema import EMA
from thalweg.config import component
from thalweg.network import FlowNetwork
from thalweg.optimizers.adamw import AdamW
from thalweg.planning import draw_plan
from thalweg.randomness import generator
from thalweg.training.optimizer import make_optimizer
from thalweg.training.step import Losses, TrainingStep
from thalweg.types import Batch, Condition, Plan

BATCH, ROUNDS, HEADS = 8, 9, [3, 6, 9]
MOST = 1.03


class Fixed:
    """The same batch each step, at other times and noise."""

    def __init__(self, network: FlowNetwork) -> None:
        self._network, self._planner = network, component("planner", "branch_times").build(network.facts)

    def batch(self, *_: int) -> Batch:
        clean = torch.randn(BATCH, *IMAGENET.shape, generator=generator(0, "data"))
        return Batch(clean, Condition(torch.arange(BATCH)))

    def plan(self, batch: Batch, step: int, _: int) -> Plan:
        return draw_plan(self._planner, batch, generator(0, "plan", step), self._network.interpolant)


def composed(heads: list[int]) -> FlowNetwork:
    backbone = {"type": "dit", "size": "S", "patch": 2}
    return awake(thalweg.compose(backbone=backbone, heads=heads, facts=IMAGENET))


def trained(network: FlowNetwork) -> TrainingStep:
    fabric = Fabric(accelerator="cpu", devices=1)
    losses = Losses(network, {"velocity": component("objective", "velocity").build(network.facts)})
    optimizer = make_optimizer(AdamW(1e-4, (0.9, 0.999), 0.0), losses, fused=True)
    wrapped, wrapped_optimizer = fabric.setup(losses, optimizer)
    return TrainingStep(
        fabric,
        wrapped,
        wrapped_optimizer,
        EMA(network, 0.9999),
        Fixed(network),  # type: ignore[arg-type]
        accumulate=1,
        max_grad_norm=1.0,
        guard=lambda *_: True,
    )


def main() -> None:
    verdict = Verdict()
    plain, headed = composed([]), composed(HEADS)
    steps = {"plain": trained(plain), "heads": trained(headed)}
    for step in steps.values():
        step(0)
    same = all(torch.equal(tensor, headed.state_dict()[name]) for name, tensor in plain.state_dict().items())
    verdict.at_least("the trunk is the same to the bit after a step (1: yes)", float(same), 1.0)
    seconds = alternately({name: lambda step=step: step(1) for name, step in steps.items()}, ROUNDS)  # type: ignore[misc]
    print(f"training step: plain {seconds['plain']:.3f} s, with {len(HEADS)} heads {seconds['heads']:.3f} s")
    verdict.at_most("training step with heads over one without", seconds["heads"] / seconds["plain"], MOST)

    def drawn(guidance: object) -> float:
        return thalweg.sample(
            headed,
            labels=[1] * BATCH,
            indices=range(BATCH),
            sampler={"type": "euler_maruyama", "steps": 4},
            guidance=guidance,
            precision="32-true",
            compile="off",
        ).nfe

    internal = {"type": "internal", "scale": [[0.0, 1.2], [1.0, 1.5]]}
    assert drawn("none") == drawn(internal) == 4
    seconds = alternately({"unguided": lambda: drawn("none"), "internal": lambda: drawn(internal)}, ROUNDS)
    ratio = seconds["internal"] / seconds["unguided"]
    verdict.at_most("sampling with internal guidance over unguided", ratio, MOST)
    verdict.exit()


if __name__ == "__main__":
    main()
