"""What an optimiser keeps: it moves what it is given, by its groups' rates, and its state goes on."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from thalweg.testing.numbers import draws
from thalweg.testing.rules import require, rule
from thalweg.testing.subject import Subject
from thalweg.training.checkpoint import Piece, TensorGroup, write_manifest, write_pieces
from thalweg.training.optimizer import Moments, Rates, make_optimizer


class Line(nn.Module):
    """Two matrices in a row, as the blocks of a backbone are named, and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.blocks = nn.ModuleList([_layer(draws(4, 6, seed=1)), _layer(draws(3, 4, seed=2))])
        self.offset = nn.Parameter(draws(3, seed=3))

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


def values(line: Line) -> list[Tensor]:
    """Copies of all weights."""
    return [one.detach().clone() for one in line.parameters()]


@rule("optimizer")
def steps_lower_the_loss(subject: Subject) -> None:
    """A hundred steps on a small quartic lower it, and every weight that has a gradient moves."""
    line, optimizer = made(subject)
    before = values(line)
    losses = [stepped(line, optimizer, step) for step in range(102)]
    require(
        sum(losses[-3:]) < sum(losses[:3]),
        f"the loss goes from {losses[0]:.3g} to {losses[-1]:.3g}; step against the gradient",
    )
    moved = [not torch.equal(old, new) for old, new in zip(before, values(line), strict=True)]
    require(all(moved), "a weight with a gradient never moves; take all parameters that are handed in")


@rule("optimizer")
def the_rates_of_its_groups_count(subject: Subject) -> None:
    """With all learning rates set to 0 a step moves nothing, decay and all."""
    line, optimizer = made(subject)
    stepped(line, optimizer, 0)
    Rates(optimizer, _Nothing(), 1).set(0)
    before = values(line)
    stepped(line, optimizer, 1)
    require(
        all(torch.equal(old, new) for old, new in zip(before, values(line), strict=True)),
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
def its_state_goes_on(subject: Subject) -> None:
    """Saved after some steps and loaded by a new one, it takes the very steps it would have taken."""
    line, optimizer = made(subject)
    moments = Moments(line, optimizer)
    for step in range(4):
        stepped(line, optimizer, step)
    again, other = made(subject)
    loaded = Moments(again, other)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        pieces = {key: Piece.whole(one) for key, one in moments.tensors().items()}
        seal = write_pieces(place / "optimizer.safetensors", pieces, whole=True)
        write_manifest(place, {"optimizer.safetensors": seal})
        group = TensorGroup(place, "optimizer")
        tensors = loaded.room(group)
        for key, tensor in tensors.items():
            group.read_into(key, tensor, [0] * tensor.dim())
        loaded.load(tensors, moments.numbers())
    again.load_state_dict(line.state_dict())
    for step in range(4, 8):
        stepped(line, optimizer, step)
        stepped(again, other, step)
    require(
        all(torch.equal(one, two) for one, two in zip(values(line), values(again), strict=True)),
        "it steps otherwise once its state was saved and loaded; keep all of it as tensors and numbers in "
        "self.state[parameter], or as numbers in the parameter groups",
    )


class _Nothing:
    def __call__(self, step: int, total: int) -> float:  # noqa: ARG002
        return 0.0
