"""The weighted sum of all objectives, as the one module that is wrapped for distribution."""

from collections.abc import Callable, Mapping

import attrs
import torch
from torch import Tensor, nn

from thalweg.errors import ConfigError, PluginError
from thalweg.network import FlowNetwork
from thalweg.planning import draw_plan
from thalweg.protocols import Objective, Planner, Split
from thalweg.randomness import generator
from thalweg.training.again import Again
from thalweg.training.terms import check_terms, total_of
from thalweg.types import AskedNetwork, Batch, Plan, Step

Frames = Callable[[Tensor], Tensor | None]
"""Clean samples as images 0..255; None where they are none."""


class Losses(nn.Module):
    """Network and objectives in one ``forward``.

    A wrapper such as DDP needs one forward a module and tensors it can find in the output, so the
    prediction stays inside. Objectives that are modules are trained along.

    Args:
        network: what is trained.
        objectives: by the name that their numbers bear.
        frames: shows the clean samples to objectives that look at images.
        steps: of the whole run, which objectives may follow.

    Raises:
        ConfigError: if an objective has the name of another number; when it is called, if none is left.
        PluginError: if a weight is no number; when it is called, if an objective answers something else than
            it should.

    Attributes:
        averaged: asks the network with its averaged weights, for objectives in training; while it is None,
            and in validation, where the network has them, the network itself is asked.
    """

    def __init__(
        self,
        network: FlowNetwork,
        objectives: Mapping[str, Objective],
        frames: Frames = lambda _: None,
        *,
        steps: int = 1,
    ) -> None:
        super().__init__()
        check_terms(objectives)
        self.network, self._steps = network, steps
        self.averaged: AskedNetwork | None = None
        self.named, self._frames = dict(objectives), frames
        self.objectives = nn.ModuleDict(
            {name: objective for name, objective in objectives.items() if isinstance(objective, nn.Module)}
        )

    def forward(self, plan: Plan, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """The numbers of one batch, each a mean over its samples.

        Args:
            plan: what the network is asked.
            batch: the same samples.
            step: counted from 0; objectives that have stopped by then are left out, teachers and all.

        ``loss`` is the weighted sum, to be differentiated; ``<objective>`` an objective's unweighted
        total; ``<objective>/<part>`` what it reports beside it.
        """
        taken = {name: one for name, one in self.named.items() if not _stopped(one, step)}
        if not taken:
            raise ConfigError(
                f"no objective is left at step {step}, so there is no loss; name one that goes on"
            )
        hidden = {depth for one in taken.values() for depth in getattr(one, "hidden", ())}
        prediction = self.network(plan.x_t, plan.times, batch.condition, hidden=tuple(sorted(hidden)))
        again = Again(self.network, _precision(plan.x_t.device.type))
        # Sums of squares in float32: bfloat16 keeps three digits.
        with torch.autocast(plan.x_t.device.type, enabled=False):
            if any(getattr(one, "needs_images", False) for one in taken.values()):
                batch = attrs.evolve(batch, images=self._frames(batch.clean))
            averaged = self.averaged if self.training and self.averaged is not None else again.frozen
            seen = Step(plan, prediction, batch, again, averaged, step, self._steps)
            numbers: dict[str, Tensor] = {}
            losses = []
            for name, objective in taken.items():
                value = objective(seen)
                total = total_of(name, objective, value, plan.clean)
                losses.append(objective.weight * total)
                numbers[name] = total.detach()
                numbers.update({f"{name}/{part}": number.detach() for part, number in value.parts.items()})
            stopped = [one for name, one in self.objectives.items() if name not in taken]
            loss = torch.stack(losses).sum() + sum(map(_nothing, stopped))
            if torch.is_grad_enabled() and not loss.requires_grad:
                raise PluginError(
                    f"no loss depends on what is trained ({', '.join(taken)}); compute one from the "
                    "prediction, without detaching it, and freeze not all of the network"
                )
            return {"loss": loss, **numbers}


def has_unused(losses: Losses, planner: Planner, split: Split, seed: int, steps: int = 1) -> bool:
    """Whether the loss leaves a parameter without a gradient in a run of so many steps, by one sample.

    That depends on the objectives: without the acceleration loss, say, its layer gets none. The first step
    has all that begin with the run, the last one those that have not stopped.
    """
    losses.train()
    batch = split.batch([0], generator(seed, "probe data"))
    plan = draw_plan(planner, batch, generator(seed, "probe plan"), losses.network.interpolant)
    return any(_leaves_out(losses, plan, batch, step) for step in sorted({0, steps - 1}))


def _leaves_out(losses: Losses, plan: Plan, batch: Batch, step: int) -> bool:
    losses(plan, batch, step)["loss"].backward()
    unused = any(parameter.grad is None for parameter in losses.parameters() if parameter.requires_grad)
    losses.zero_grad(set_to_none=True)
    return unused


def _precision(device: str) -> Callable[[], torch.autocast]:
    """Makes autocast as it is now, for what is asked while it is off."""
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype, enabled=enabled)


def _stopped(objective: Objective, step: int) -> bool:
    stop: int | None = getattr(objective, "stop_after", None)
    return stop is not None and step >= stop


def _nothing(module: nn.Module) -> Tensor | int:
    """Zero, with a zero gradient for every parameter, for which data-parallel wrappers wait each step."""
    return sum(0 * parameter.float().sum() for parameter in module.parameters())
