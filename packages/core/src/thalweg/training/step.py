"""One training step, from top to bottom: batch, plan, network, objectives, backward, guard, update, EMA."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from thalweg.config import TrainingConfig
from thalweg.errors import ConfigError, DivergenceError, PluginError
from thalweg.network import FlowNetwork
from thalweg.planning import draw_plan
from thalweg.protocols import Averages, Objective, Planner, Split
from thalweg.randomness import generator
from thalweg.training.batches import BatchReader
from thalweg.training.launch.distributed import whole
from thalweg.training.launch.signals import Interruption
from thalweg.training.objectives import StepNetwork, check_objectives, mean_loss
from thalweg.training.optimizer import LearningRates
from thalweg.training.token_routing import TokenRouting
from thalweg.types import AskedNetwork, Batch, Plan, Step


class TrainingStep:
    """One optimiser step.

    Args:
        fabric: a :class:`lightning_fabric.Fabric`, which places tensors, wraps precision, reduces gradients.
        losses: a :class:`Losses` set up by it, as the optimiser is.
        averages: the EMA weights.
        accumulate: micro-batches that one process takes before it updates.
        max_grad_norm: largest global norm of the gradient; None leaves it as it is.
        guard: called with the step's numbers before anything is changed; answers alike on all processes.
        rates: of learning, by step; None leaves them as they are.

    Attributes:
        replaced: samples of this process's last step that stood in for damaged ones.
    """

    def __init__(
        self,
        fabric: Any,
        losses: Any,
        optimizer: Any,
        averages: Averages,
        reader: BatchReader,
        *,
        accumulate: int,
        max_grad_norm: float | None,
        guard: Callable[[int, Mapping[str, Tensor]], bool],
        rates: LearningRates | None = None,
    ) -> None:
        self._fabric, self._losses, self._optimizer = fabric, losses, optimizer
        self._averages, self._reader, self._accumulate = averages, reader, accumulate
        self._max_grad_norm = float("inf") if max_grad_norm is None else max_grad_norm
        self._guard, self._rates, self.replaced = guard, rates, 0
        # Heads on detached tokens are clipped by themselves: the rest trains as it would without them.
        network: FlowNetwork = losses.network
        apart = {id(one) for one in network.velocity_heads.parameters()} if network.detach_heads else set()
        moved = [one for group in optimizer.param_groups for one in group["params"]]
        self._trunk = [one for one in moved if id(one) not in apart]
        self._heads = [one for one in moved if id(one) in apart]
        self._apart = bool(self._trunk and self._heads)

    def __call__(self, step: int) -> dict[str, Tensor] | None:
        """Do step ``step``, counted from 0.

        Returns:
            Its numbers on this process, on the device: the losses, and ``grad_norm`` before clipping, with
            ``grad_norm/heads`` where heads on detached tokens are clipped apart from the rest; None if the
            step was left out, and weights, optimiser and EMA weights are what they were.

        Raises:
            UnreadableError: if its data cannot be read, before anything is changed.
            DivergenceError: if loss or gradient is not finite and no step may be left out (any more).
        """
        self._losses.train()
        self.replaced, sums = 0, dict[str, Tensor]()
        for micro_batch in range(self._accumulate):
            # Batch: clean samples and what they are conditioned on; some conditions are dropped.
            batch = self._reader.batch(step, micro_batch).to(self._fabric.device)
            self.replaced += batch.replaced
            # Plan: noise, times, x_t and the target velocity.
            plan = self._reader.plan(batch, step, micro_batch)
            # Gradients are reduced over the processes once, after the last micro-batch.
            accumulating = micro_batch < self._accumulate - 1
            with self._fabric.no_backward_sync(self._losses, enabled=accumulating):
                # Network and objectives: Losses.forward below.
                numbers = self._losses(plan, batch, step)
                # Backward.
                self._fabric.backward(numbers["loss"] / self._accumulate)
            for name, number in numbers.items():
                sums[name] = sums[name] + number.detach() if name in sums else number.detach()
            del batch, plan, numbers  # their memory is free for the next micro-batch and the update
        # The gradient's norm, clipped; one that is not finite does not pass the guard.
        norms = self._clip()
        means = {name: number / self._accumulate for name, number in sums.items()} | norms
        # Guard: nothing is changed before loss and gradient of all processes are checked.
        passed = self._guard(step, means)
        if passed:
            # Update, at the learning rates of this step.
            if self._rates is not None:
                self._rates.set(step)
            self._optimizer.step()
            # EMA weights.
            self._averages.update(step)
        self._optimizer.zero_grad(set_to_none=True)
        return means if passed else None

    def _clip(self) -> dict[str, Tensor]:
        if self._apart:
            # Fabric knows one norm over all; what else it does is to unscale gradients of float16.
            self._fabric.strategy.precision.unscale_gradients(self._optimizer.optimizer)
            norms: dict[str, Any] = {
                "grad_norm": nn.utils.clip_grad_norm_(self._trunk, self._max_grad_norm),
                "grad_norm/heads": nn.utils.clip_grad_norm_(self._heads, self._max_grad_norm),
            }
        else:
            norms = {
                "grad_norm": self._fabric.clip_gradients(
                    self._losses, self._optimizer, max_norm=self._max_grad_norm, error_if_nonfinite=False
                )
            }
        return {name: whole(norm).detach().float() for name, norm in norms.items()}


class Losses(nn.Module):
    """Network and objectives in one ``forward``.

    A wrapper such as DDP needs one forward a module and tensors it can find in the output, so the
    prediction stays inside. Objectives that are modules are trained along.

    Args:
        network: what is trained.
        objectives: by the name that their numbers bear.
        frames: clean samples as images 0..255 for objectives that look at images; None where they are none.
        steps: of the whole run, which objectives may follow.
        routing: draws the tokens that go round blocks in training; None lets all pass.

    Raises:
        ConfigError: if an objective has the name of another number; when it is called, if none is left.
        PluginError: if a weight is no number; when it is called, if an objective answers something else than
            it should.

    Attributes:
        averaged: evaluates the network with its EMA weights, for objectives in training; while it is None,
            and in validation, where the network has them, the network itself is evaluated.
    """

    def __init__(
        self,
        network: FlowNetwork,
        objectives: Mapping[str, Objective],
        frames: Callable[[Tensor], Tensor | None] = lambda _: None,
        *,
        steps: int = 1,
        routing: TokenRouting | None = None,
    ) -> None:
        super().__init__()
        check_objectives(objectives)
        self.network, self._steps, self._routing = network, steps, routing
        self.averaged: AskedNetwork | None = None
        self.named, self._frames = dict(objectives), frames
        self.objectives = nn.ModuleDict(
            {name: objective for name, objective in objectives.items() if isinstance(objective, nn.Module)}
        )

    def train(self, mode: bool = True) -> "Losses":
        """As of any module; a part of the network that is frozen computes as in sampling all the same."""
        super().train(mode)
        for part in self.network.children():
            if not any(one.requires_grad for one in part.parameters()):
                part.eval()
        return self

    def forward(self, plan: Plan, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """The numbers of one batch, each a mean over its samples.

        Args:
            plan: the network's query.
            batch: the same samples.
            step: counted from 0; objectives that have stopped by then are left out, teachers and all.

        ``loss`` is the weighted sum, to be differentiated; ``<objective>`` an objective's unweighted
        total; ``<objective>/<part>`` what it reports beside it.
        """
        active = {name: one for name, one in self.named.items() if not _stopped(one, step)}
        if not active:
            raise ConfigError(
                f"no objective is left at step {step}, so there is no loss; name one that continues"
            )
        # The network: velocities of all branches, read-outs, and the hidden states that objectives need; no
        # further than the last of them reads, where all say how far that is.
        hidden = {depth for one in active.values() for depth in getattr(one, "hidden", ())}
        depths: list[Any] = [getattr(one, "until", None) for one in active.values()]
        until = None if None in depths else max(depths)
        routed = None
        if self._routing is not None and self.training and not _stopped(self._routing, step):
            routed = self._routing.draw(len(plan.x_t), plan.seed, plan.x_t.device)
        prediction = self.network(
            plan.x_t, plan.times, batch.condition, hidden=tuple(sorted(hidden)), until=until, routed=routed
        )
        network = StepNetwork(self.network, _precision(plan.x_t.device.type), routed)
        # The objectives, in float32 for their sums of squares: bfloat16 keeps three digits.
        with torch.autocast(plan.x_t.device.type, enabled=False):
            if any(getattr(one, "needs_images", False) for one in active.values()):
                batch = attrs.evolve(batch, images=self._frames(batch.clean))
            averaged = self.averaged if self.training and self.averaged is not None else network.frozen
            shown = Step(plan, prediction, batch, network, averaged, step, self._steps)
            numbers, losses = dict[str, Tensor](), []
            for name, objective in active.items():
                value = objective(shown)
                total = mean_loss(name, objective, value, plan.clean)
                losses.append(objective.weight * total)
                numbers[name] = total.detach()
                numbers.update({f"{name}/{part}": number.detach() for part, number in value.parts.items()})
            # Data-parallel wrappers wait for a gradient of every parameter each step, so those of objectives
            # that have stopped get zeros.
            stopped = [one for name, one in self.objectives.items() if name not in active]
            zeros = (0 * parameter.float().sum() for one in stopped for parameter in one.parameters())
            loss = torch.stack(losses).sum() + sum(zeros)
            if torch.is_grad_enabled() and not loss.requires_grad:
                raise PluginError(
                    f"no loss depends on what is trained ({', '.join(active)}); compute one from the "
                    "prediction, without detaching it, and freeze not all of the network"
                )
            return {"loss": loss, **numbers}


class Guard:
    """Decides before each update, alike on all processes, whether it may change the weights.

    Loss, gradient, signals and faults of the data are reduced over the processes in one small exchange a
    step, so a signal to one of them stops all after the same step, and a loss that is not finite on one is
    not finite for all. The device is waited for, which costs far less than a step: only so is it known before
    the optimiser runs.

    Args:
        skipped: steps that the run has left out already.
        last_saved: finds the newest checkpoint, to be named.

    Attributes:
        stopped_by: the signal to stop for after this step; 0 for none.
        skipped: steps left out so far.
    """

    def __init__(
        self,
        training: TrainingConfig,
        fabric: Any,
        reader: BatchReader,
        interruption: Interruption,
        *,
        skipped: int,
        last_saved: Callable[[], Path | None],
    ) -> None:
        self._training, self._fabric, self._reader = training, fabric, reader
        self._interruption, self._last_saved = interruption, last_saved
        self.stopped_by, self.skipped = 0, skipped

    def __call__(self, step: int, numbers: Mapping[str, Tensor]) -> bool:
        """Whether step ``step``, counted from 0, may change the weights.

        Raises:
            UnreadableError: if a process could not read its share.
            DivergenceError: if its loss or gradient is not finite and no step may be left out (any more).
        """
        bad = ~torch.isfinite(numbers["loss"])
        if self._training.precision != "16-mixed":
            # In float16 gradients are scaled, and the scaler leaves out those that overflow.
            for name in ("grad_norm", "grad_norm/heads"):
                bad = bad | ~torch.isfinite(numbers.get(name, numbers["loss"]))
        own = (self._interruption.signal, int(self._reader.fault is not None))
        flags = torch.stack([bad.long(), *(torch.full_like(bad, one, dtype=torch.long) for one in own)])
        if self._fabric.world_size > 1:
            flags = self._fabric.all_reduce(flags, reduce_op="max")
        bad_anywhere, self.stopped_by, unreadable_anywhere = flags.tolist()
        if unreadable_anywhere:
            self._reader.agree()
        if not bad_anywhere:
            return True
        if self._training.nonfinite == "stop" or self.skipped == self._training.max_skips:
            raise self._diverged(step + 1, numbers)
        self.skipped += 1
        return False

    def _diverged(self, step: int, numbers: Mapping[str, Tensor]) -> DivergenceError:
        pair = torch.stack([numbers["loss"].float(), numbers["grad_norm"].float()])
        if self._fabric.world_size > 1:
            pair = self._fabric.all_reduce(pair, reduce_op="mean")
        loss, norm = pair.tolist()
        saved = self._last_saved()
        last = "no checkpoint had been saved yet" if saved is None else f"the last good checkpoint is {saved}"
        left_out = f" after {self.skipped} steps were left out" if self.skipped else ""
        exact = "" if self._training.precision == "32-true" else " or training.precision=32-true"
        return DivergenceError(
            f"training diverged at step {step}{left_out}: the loss is {loss:.4g} and the gradient norm "
            f"{norm:.4g}; {last}; try a lower training.optimizer.lr, a smaller training.max_grad_norm{exact} "
            f"in a new run directory"
        )


def _precision(device: str) -> Callable[[], torch.autocast]:
    """Makes autocast as it is now, for evaluations while it is off."""
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype, enabled=enabled)


def _stopped(what: Objective | TokenRouting, step: int) -> bool:
    stop: int | None = getattr(what, "stop_after", None)
    return stop is not None and step >= stop


def has_unused(losses: Losses, planner: Planner, split: Split, seed: int, steps: int = 1) -> bool:
    """Whether the loss leaves a parameter without a gradient in a run of so many steps, by two samples.

    That depends on the objectives: without the acceleration loss, say, its layer gets none. The first step
    has all that begin with the run, the last one those that have not stopped. Nothing of it remains: buffers
    are what they were.
    """
    losses.train()
    kept = {name: buffer.clone() for name, buffer in losses.named_buffers()}
    # Two, for some objectives compare samples.
    batch = split.batch([0, min(1, len(split) - 1)], generator(seed, "probe data"))
    plan = draw_plan(planner, batch, generator(seed, "probe plan"), losses.network.interpolant)
    for step in sorted({0, steps - 1}):
        losses(plan, batch, step)["loss"].backward()
        unused = any(one.grad is None for one in losses.parameters() if one.requires_grad)
        losses.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, buffer in losses.named_buffers():
                buffer.copy_(kept[name])
        if unused:
            return True
    return False
