"""What a training step is made of."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.interpolant import Interpolant
from thalweg.types import (
    Batch,
    ObjectiveValue,
    Plan,
    Step,
)


@runtime_checkable
class Objective(Protocol):
    """One term of the training loss.

    An objective that is a ``torch.nn.Module`` is trained along, and its buffers are saved with a run; they
    must be alike on all processes. It may state eight things besides: ``hidden``, numbers of blocks after
    which it wants the network's hidden states; ``needs_images``, whether batches must bring the clean images;
    ``stop_after``, the steps after which it is left out; ``of_batch``, true of a loss in which the samples of
    a batch meet, of those that a process holds at once; ``of_length``, true of one that depends on the run's
    length, so that ``training.steps`` cannot change when the run is resumed; ``needs_gradients``, true of one
    that calls ``step.network.gradients``, which sharded weights do not allow; ``until``, the depth of the
    head behind which it reads nothing: where all objectives state one, the blocks behind the deepest are not
    evaluated; and ``flow_map``, true of one that trains the last branch as the average velocity between the
    times of both branches: it needs a planner that states ``ordered``, and the network's facts say so.

    Attributes:
        weight: its coefficient in the sum.
    """

    weight: float

    def __call__(self, step: Step) -> ObjectiveValue:
        """The loss of every sample, or of the batch, unweighted.

        Args:
            step: question and answer, the batch, and the network to ask again.
        """
        ...


@runtime_checkable
class Planner(Protocol):
    """Decides the network's query in a training step.

    One that never draws a later time for a branch than for the one before it states ``ordered = True``.
    """

    def __call__(
        self,
        batch: Batch,
        noise: Float[Tensor, "N *shape"],
        generator: torch.Generator,
        interpolant: Interpolant,
    ) -> Plan:
        """The batch at drawn times, along with the noise, or with it in another order.

        Args:
            batch: clean samples, and what they are conditioned on.
            noise: N(0, I) draws of the samples' shape, on their device, one for each.
            generator: of everything else that is drawn, such as times; on the CPU.
            interpolant: the path from data to noise. ``Plan.at`` makes a plan of samples, noise and times.
        """
        ...


@runtime_checkable
class TimeSampler(Protocol):
    """The distribution of training times."""

    def __call__(
        self, count: int, generator: torch.Generator, interpolant: Interpolant
    ) -> Float[Tensor, " N"]:
        """``count`` times in [0, 1]."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """Makes the optimiser of a run.

    Whatever is derived from ``torch.optim.Optimizer`` is saved and resumed, be its state tensors or numbers,
    and so are numbers of its parameter groups that change; each group must have its ``lr``, which the
    schedule sets. One may state ``state_per_weight``, the numbers of state that it keeps for each weight, by
    which memory is estimated; without it 2 are counted.
    """

    def __call__(self, parameters: Mapping[str, nn.Parameter], fused: bool) -> torch.optim.Optimizer:
        """An optimiser over these.

        Args:
            parameters: those that are trained, by name, such as
                ``network.backbone.blocks.0.mlp.layers.0.weight``; DTensors where FSDP2 shards them.
            fused: whether fused kernels may be used; not where they would unscale gradients of float16.
        """
        ...


@runtime_checkable
class RateSchedule(Protocol):
    """The learning rate over a run; a function of a step and their number will do.

    One that depends on the run's length states ``of_length = True``; ``training.steps`` cannot change then
    when the run is resumed.
    """

    def __call__(self, step: int, total: int) -> float:
        """What the learning rate of every group is multiplied with, at least 0.

        It must depend on its arguments alone, so that a resumed run continues exactly.

        Args:
            step: counted from 0.
            total: steps of the run.
        """
        ...


@runtime_checkable
class Averages(Protocol):
    """Averages of one network's weights; :class:`thalweg.averages.moving.MovingAverages` is one.

    Attributes:
        names: of the averages; the first is the main one, which samples are generated with. They name files:
            letters, digits, dots, underscores and dashes.
    """

    names: tuple[str, ...]

    def update(self, step: int) -> None:
        """Take in the weights as they are after ``step``, counted from 0."""
        ...

    def applied(self, name: str) -> AbstractContextManager[None]:
        """Inside, the network computes with an average; afterwards it has its weights again, to the bit.

        Weights are to be exchanged by value and through ``.data``: compiled code and wrappers hold references
        to their tensors, and objectives ask the averaged network while a graph of the trained one is held.
        """
        ...

    def state_dict(self, name: str) -> Mapping[str, Tensor]:
        """The network's state with an average in place of its weights. Its tensors are the average's own."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor], name: str) -> None:
        """Take an average from such a state."""
        ...


@runtime_checkable
class Average(Protocol):
    """How weights are averaged over training.

    One may offer two things besides: ``described(steps)``, over what a run of so many steps averages, in a
    few words; and ``warning(steps)``, what is wrong with that, or None.

    Attributes:
        names: of the averages, as :class:`Averages` has them.
    """

    names: tuple[str, ...]

    def __call__(self, network: nn.Module) -> Averages:
        """The averages of a network, placed on its device and sharded if it is to be."""
        ...


@runtime_checkable
class Logger(Protocol):
    """Follows the numbers of a run beside metrics.jsonl.

    It may have ``sync()`` as well, which is called at each checkpoint: make what was taken outlive a power
    cut.
    """

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of one step."""
        ...

    def image(self, step: int, name: str, path: Path) -> None:
        """Take a picture that was written."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...
