"""Objectives: checks on them and on what they answer, and the networks that a step hands to them."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.arguments import described
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.network import FlowNetwork
from thalweg.network_field import evaluating
from thalweg.protocols import Averages, Objective, Planner
from thalweg.suggestions import one_line
from thalweg.types import Condition, Prediction, Routed, Step

Precision = Callable[[], AbstractContextManager[object]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TAKEN = frozenset(
    ("loss", "grad_norm", "step", "lr", "seconds", "images_per_second", "skipped", "replaced", "validation")
)
"""Numbers that a line of metrics holds besides."""

_NO_DERIVATIVE = re.compile(r"forward[- ](?:mode )?AD|jvp", re.IGNORECASE)
"""What torch says where it has no rule for it."""

_SHARDED = (
    "differentiates by the network's weights, which the strategy fsdp shards over processes; use the "
    "strategy ddp, or leave the objective out"
)


def check_objectives(objectives: Mapping[str, Objective], steps: int | None = None) -> None:
    """Check that there is a loss to the end of a run of so many steps, and that its terms have names apart.

    Raises:
        ConfigError: if not.
        PluginError: if a weight is no number, or hidden states are requested otherwise than by depths.
    """
    if not objectives and steps is not None:
        raise ConfigError("there are no objectives, so nothing can be trained; name one, such as velocity")
    for name, objective in objectives.items():
        if name in _TAKEN or not _NAME.fullmatch(name):
            reason = (
                "which another number of metrics.jsonl is called" if name in _TAKEN else "which is no name"
            )
            raise ConfigError(
                f"an objective is called {name!r}, {reason}; call it by other letters, digits, dashes and "
                f"underscores, and state its kind by type"
            )
        weight: Any = objective.weight
        if isinstance(weight, bool) or not isinstance(weight, int | float | Tensor):
            raise PluginError(f"the weight of objectives.{name} is {described(weight)}; give it a number")
        hidden: Any = getattr(objective, "hidden", ())
        if not isinstance(hidden, Sequence) or not all(type(depth) is int for depth in hidden):
            raise PluginError(
                f"objectives.{name} wants hidden = {described(hidden)}; give it numbers of blocks, as in (2,)"
            )
    ends = [getattr(one, "stop_after", None) for one in objectives.values()]
    last = max((one for one in ends if one is not None), default=0)
    if steps is not None and None not in ends and last < steps:
        raise ConfigError(
            f"all objectives have stopped after step {last} and training.steps is {steps}, so nothing would "
            "be trained from there on; leave out one's stop_after, or do fewer steps"
        )


def check_planner(objectives: Mapping[str, Objective], planner: Planner) -> None:
    """Check that an objective which trains a flow map gets pairs of times r <= t.

    Raises:
        ConfigError: if the planner draws others.
    """
    trained = next((name for name, one in objectives.items() if getattr(one, "flow_map", False)), None)
    if trained is not None and not getattr(planner, "ordered", False):
        raise ConfigError(
            f"objectives.{trained} learns averages over [r, t], and {type(planner).__name__} draws no pairs "
            'of times r <= t; set plan = "flow_map"'
        )


def trains_flow_map(objectives: Iterable[Objective]) -> bool:
    """Whether the last branch of a network is an average velocity after these objectives have trained it."""
    return any(getattr(one, "flow_map", False) for one in objectives)


def check_unsharded(objectives: Mapping[str, Objective]) -> None:
    """Check that all of them can do with weights that are sharded over processes.

    Raises:
        ConfigError: if one differentiates by them.
    """
    for name, objective in objectives.items():
        if getattr(objective, "needs_gradients", False):
            raise ConfigError(f"objectives.{name} {_SHARDED}")


def mean_loss(name: str, objective: Objective, value: Any, like: Tensor) -> Tensor:
    """The loss of a batch, ``like``, that an objective answered, as one number.

    Raises:
        PluginError: if that is no loss of each sample, nor one of the batch where it may be.
    """
    count = len(like)
    total: Any = getattr(value, "total", None)
    parts: Any = getattr(value, "parts", {})
    if not isinstance(total, Tensor):
        found = described(value) if total is None else f"a total that is {described(total)}"
        raise PluginError(
            f"objectives.{name} answers {found}; return thalweg.ObjectiveValue(total) with a tensor of "
            f"{count} losses, one a sample"
        )
    of_batch = bool(getattr(objective, "of_batch", False))
    if tuple(total.shape) != (count,) and not (of_batch and total.dim() == 0):
        wanted = "one number, or one a sample" if of_batch else "a loss of each sample"
        advice = "" if of_batch else ", or state of_batch = True if it is a loss of the batch"
        raise PluginError(
            f"the total of objectives.{name} has shape {tuple(total.shape)}; give {wanted}, shape "
            f"({count},){advice}"
        )
    if total.device != like.device:
        raise PluginError(
            f"the total of objectives.{name} is on {total.device} and the batch on {like.device}; compute it "
            "where the batch is"
        )
    for part, number in parts.items():
        if not isinstance(number, Tensor) or number.dim():
            found = f"of shape {tuple(number.shape)}" if isinstance(number, Tensor) else described(number)
            raise PluginError(
                f"the part {part!r} of objectives.{name} is {found}; give a tensor with one number, such as "
                "a mean"
            )
    return total.float().mean()


class StepNetwork:
    """The network that is trained, as an objective may evaluate it within a step.

    It is evaluated in the precision of the step's own forward pass, since objectives compute in float32, and
    with all tokens, whichever are routed round blocks in that pass.
    """

    def __init__(
        self, network: FlowNetwork, precision: Precision = nullcontext, routed: Routed | None = None
    ) -> None:
        self._network, self._precision, self._routed = network, precision, routed

    def __call__(self, *question: Any, **options: Any) -> Prediction:
        """As :meth:`thalweg.network.FlowNetwork.forward`, with gradients."""
        with self._precision():
            prediction: Prediction = self._network(*question, **options)
        return prediction

    @torch.no_grad()
    def frozen(self, *question: Any, **options: Any) -> Prediction:
        """The same without gradients."""
        return self(*question, **options)

    @torch.no_grad()
    def precise(self, *question: Any, **options: Any) -> Prediction:
        """The same without gradients in the type of the weights, float32, in mixed precision too."""
        with torch.autocast(question[0].device.type, enabled=False):
            prediction: Prediction = self._network(*question, **options)
        return prediction

    @torch.no_grad()
    def jvp(
        self, x_t: Tensor, times: Tensor, condition: Condition | None, d_x: Tensor, d_times: Tensor
    ) -> Prediction:
        """The derivative of the answer along (d_x, d_times), without gradients.

        Forward-mode differentiation: one pass that costs about two. Fused attention has no such derivative,
        compiled code would lose it, and autocast mixes its types, so here attention is computed in full,
        nothing is compiled, and all is in the type of the weights, float32, in mixed precision too.

        Args:
            x_t: where.
            times: when, one a branch and sample.
            condition: held fixed.
            d_x: direction in x_t, and ``d_times`` in the times.

        Raises:
            ConfigError: if something in the network has no such derivative.
            DataError: if a direction has not the shape of what it is a direction in, or as of
                :meth:`thalweg.network.FlowNetwork.forward`.
        """
        for name, direction, of in (("d_x", d_x, x_t), ("d_times", d_times, times)):
            if direction.shape != of.shape:
                raise DataError(
                    f"{name} has shape {tuple(direction.shape)}; a direction has the shape of what it leads "
                    f"from, {tuple(of.shape)}"
                )
        with (
            torch.autocast(x_t.device.type, enabled=False),
            warnings.catch_warnings(),
            sdpa_kernel(SDPBackend.MATH),
            torch.compiler.set_stance("force_eager"),
            forward_ad.dual_level(),
        ):
            # Of torch's own code, when it prepares for the first time.
            warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated")
            dual_x = forward_ad.make_dual(x_t, d_x.to(x_t))
            dual_times = forward_ad.make_dual(times, d_times.to(times))
            prediction = self._differentiated(dual_x, dual_times, condition)
            return Prediction(
                tuple(map(_tangent, prediction.velocities)),
                {name: tuple(map(_tangent, found)) for name, found in prediction.readouts.items()},
                heads={depth: _tangent(found) for depth, found in prediction.heads.items()},
            )

    def _differentiated(self, x: Tensor, times: Tensor, condition: Condition | None) -> Prediction:
        try:
            prediction: Prediction = self._network(x, times, condition)
        except RuntimeError as error:
            if not _NO_DERIVATIVE.search(str(error)):
                raise
            raise ConfigError(
                f"something in the network has no forward-mode derivative ({one_line(error)}); replace it, "
                'or take finite differences, as by objectives.flow_map.derivative = "difference"'
            ) from error
        return prediction

    @torch.enable_grad()
    def gradients(
        self, step: Step, losses: Callable[[Prediction], Iterable[Tensor]]
    ) -> Iterator[dict[str, Tensor]]:
        """The gradient of each of several losses of the step's answer, by the names of the trained weights.

        Args:
            step: whose question and answer.
            losses: of the answer, each a number.

        Raises:
            ConfigError: if the weights are sharded over processes.
        """
        trained = {name: one for name, one in self._network.named_parameters() if one.requires_grad}
        if any(hasattr(one, "device_mesh") for one in trained.values()):
            raise ConfigError(f"an objective {_SHARDED}")
        prediction = step.prediction
        if any(one._compiled_call_impl is not None for one in self._network.modules()):
            # Compiled backward passes write into what was saved for them, so that they run but once.
            with torch.compiler.set_stance("force_eager"):
                prediction = self(step.plan.x_t, step.plan.times, step.batch.condition, routed=self._routed)
        for loss in losses(prediction):
            found = torch.autograd.grad(loss, tuple(trained.values()), retain_graph=True, allow_unused=True)
            yield {name: one for name, one in zip(trained, found, strict=True) if one is not None}


class AveragedNetwork:
    """The network with EMA weights, which are exchanged with the trained ones for as long.

    It is one network still, so this costs no memory, and sharded and compiled networks serve as they are.
    ``settle`` waits until weights may change: a checkpoint may still be copied from them.
    """

    def __init__(
        self,
        network: FlowNetwork,
        averages: Averages,
        settle: Callable[[], None],
        precision: Precision,
    ) -> None:
        self._network, self._averages = network, averages
        self._settle, self._precision = settle, precision
        self._current: str | None = None

    @contextmanager
    def applied(self, name: str) -> Iterator[None]:
        """Inside, the network computes with the EMA weights of this name."""
        if name == self._current:
            yield
            return
        self._settle()
        before, self._current = self._current, name
        try:
            with self._averages.applied(name):
                yield
        finally:
            self._current = before

    @torch.no_grad()
    def __call__(self, *question: Any, **options: Any) -> Prediction:
        """As :meth:`thalweg.network.FlowNetwork.forward` with the main EMA weights, without gradients.

        What autograd has recorded of the trained weights stays valid. The main ones count where others are
        applied, too.
        """
        with (
            self.applied(self._averages.names[0]),
            evaluating([self._network]),
            self._precision(),
            _uncached(),
        ):
            prediction: Prediction = self._network(*question, **options)
        return prediction


def _tangent(dual: Tensor) -> Tensor:
    value, tangent = forward_ad.unpack_dual(dual)
    return torch.zeros_like(value) if tangent is None else tangent


@contextmanager
def _uncached() -> Iterator[None]:
    """Inside, autocast does not take a weight for what it was in this step's other passes."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)
