"""What an optimiser keeps: it moves what it is given, by its groups' rates, and a saved state resumes."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from thalweg.checkpoint import TensorGroup, TensorSlice, write_manifest, write_slices
from thalweg.training.optimizer import LearningRates, OptimizerState, make_optimizer
from thalweg_authoring.numbers import draws, same, weights
from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject


class Line(nn.Module):
    """Two matrices in a row, as the blocks of a backbone are named, a vector, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.blocks = nn.ModuleList([_layer(draws(4, 6, seed=1)), _layer(draws(3, 4, seed=2))])
        self.offset = nn.Parameter(draws(3, seed=3))
        self.register_buffer("table", draws(2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) to (N, 3)."""
        for layer in self.backbone.blocks:  # type: ignore[union-attr]
            x = x @ layer.weight.T
        return x + self.offset


def _layer(weight: Tensor) -> nn.Module:
    layer = nn.Module()
    layer.weight = nn.Parameter(weight)
    return layer


def made(subject: Subject) -> tuple[Line, torch.optim.Optimizer]:
    """A small module and its optimiser."""
    line = Line()
    return line, make_optimizer(subject.build(), line, fused=False)


def stepped(line: Line, optimizer: torch.optim.Optimizer, step: int) -> float:
    """One step towards zero outputs; the loss before."""
    loss = line(draws(8, 6, seed=step % 3)).square().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@rule("optimizer")
def steps_lower_the_loss(subject: Subject) -> None:
    """A hundred steps on a small quartic lower it, and every weight that has a gradient moves."""
    line, optimizer = made(subject)
    before = weights(line)
    losses = [stepped(line, optimizer, step) for step in range(102)]
    require(
        sum(losses[-3:]) < sum(losses[:3]),
        f"the loss goes from {losses[0]:.3g} to {losses[-1]:.3g}; step against the gradient",
    )
    moved = all(not torch.equal(before[name], weight) for name, weight in weights(line).items())
    require(moved, "a weight with a gradient never moves; take all parameters that are handed in")


@rule("optimizer")
def the_rates_of_its_groups_count(subject: Subject) -> None:
    """With all learning rates set to 0 a step moves nothing, decay and all."""
    line, optimizer = made(subject)
    stepped(line, optimizer, 0)
    LearningRates(optimizer, _Nothing(), 1).set(0)
    before = weights(line)
    stepped(line, optimizer, 1)
    require(
        same(before, weights(line)),
        "weights move though group['lr'] is 0, which the schedule sets; step by group['lr'] alone",
    )


@rule("optimizer")
def a_weight_without_a_gradient_stays(subject: Subject) -> None:
    """Where there is no gradient, nothing is done."""
    line, optimizer = made(subject)
    stepped(line, optimizer, 0)
    held = line.offset.detach().clone()
    loss = (line(draws(8, 6)) - line.offset.detach()).square().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    line.offset.grad = None
    optimizer.step()
    require(
        torch.equal(line.offset.detach(), held),
        "a weight whose gradient is None moves; leave it and its state as they are",
    )


@rule("optimizer")
def a_saved_state_resumes(subject: Subject) -> None:
    """Saved after some steps and loaded by a new one, it takes the very steps it would have taken."""
    line, optimizer = made(subject)
    moments = OptimizerState(line, optimizer)
    for step in range(4):
        stepped(line, optimizer, step)
    again, other = made(subject)
    loaded = OptimizerState(again, other)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        pieces = {key: TensorSlice.whole(one) for key, one in moments.tensors().items()}
        seal = write_slices(place / "optimizer.safetensors", pieces, whole=True)
        write_manifest(place, {"optimizer.safetensors": seal})
        group = TensorGroup(place, "optimizer")
        tensors = loaded.allocate(group)
        for key, tensor in tensors.items():
            group.read_into(key, tensor, [0] * tensor.dim())
        loaded.load(tensors, moments.numbers())
    again.load_state_dict(line.state_dict())
    for step in range(4, 8):
        stepped(line, optimizer, step)
        stepped(again, other, step)
    require(
        same(weights(line), weights(again)),
        "it steps otherwise once its state was saved and loaded; keep all of it as tensors and numbers in "
        "self.state[parameter], or as numbers in the parameter groups",
    )


class _Nothing:
    def __call__(self, *_: int, **__: int) -> float:
        return 0.0
