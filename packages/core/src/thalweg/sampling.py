"""Draws samples: noise by index, guidance around the network, a sampler along the field."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import attrs
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from thalweg.config import component
from thalweg.errors import ConfigError, ThalwegError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.machine import FLOP_PER_WEIGHT_FORWARD, compiler, compiling_pays, native_precision
from thalweg.network import FlowNetwork
from thalweg.protocols import Guidance, Sampler
from thalweg.randomness import SampleNoise
from thalweg.types import Condition, ConditionalVelocity, VelocityField

SamplingPrecision = Literal["auto", "32-true", "bf16-mixed"]
Compile = Literal["auto", "on", "off"]


@runtime_checkable
class VelocityNetwork(Protocol):
    """What samples can be drawn from: a :class:`thalweg.network.FlowNetwork` or anything like it.

    Attributes:
        facts: shape and classes of the data.
    """

    facts: Facts

    def velocity(
        self, x: Float[Tensor, "N C H W"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N C H W"]:
        """The velocity at x and t; x is float32, t float64 on the CPU."""
        ...


@attrs.frozen(eq=False)
class Samples:
    """What was drawn.

    Attributes:
        x: the samples in the order of their indices, float32 on the CPU.
        evaluated: images the network was evaluated on, both halves of guidance counted.
        seconds: wall-clock time of the drawing.
        precision: that the network was evaluated in.
    """

    x: Float32[Tensor, "N C H W"]
    evaluated: int
    seconds: float
    precision: str

    @property
    def evaluations(self) -> float:
        """Network evaluations per sample, on average."""
        return self.evaluated / len(self.x)


@attrs.frozen(eq=False)
class ConditionedField:
    """The velocity field of a network under one condition, without guidance."""

    network: ConditionalVelocity
    condition: Condition

    def __call__(self, x: Float[Tensor, "N C H W"], t: Float[Tensor, " N"]) -> Float[Tensor, "N C H W"]:
        """The velocity at x and t."""
        return self.network(x, t, self.condition)

    def select(self, index: Tensor) -> "ConditionedField":
        """The field of the samples at ``index`` alone."""
        return ConditionedField(self.network, self.condition.select(index))


@attrs.define(eq=False)
class Boundary:
    """Where a sampler's float64 state meets the network's float32, and evaluations are counted."""

    network: VelocityNetwork
    device: torch.device
    mixed: bool
    evaluated: int = 0

    def __call__(
        self, x: Float[Tensor, "N C H W"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N C H W"]:
        """The network's velocity in the dtype and on the device of x."""
        self.evaluated += len(x)
        mixed = torch.autocast(self.device.type, torch.bfloat16)
        with mixed if self.mixed else nullcontext():
            velocity = self.network.velocity(x.to(self.device, torch.float32), t, condition)
        return velocity.to(x)


def sample(
    network: VelocityNetwork,
    *,
    labels: Sequence[int] | None,
    indices: Sequence[int],
    sampler: str | Mapping[str, Any] | Sampler | Any,
    guidance: str | Mapping[str, Any] | Guidance | Any | None = None,
    seed: int = 0,
    batch_size: int = 64,
    interpolant: Interpolant | str | None = None,
    device: torch.device | str | None = None,
    precision: SamplingPrecision = "auto",
    compile: Compile = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Draw samples of a network.

    Sample ``indices[i]`` of a seed starts from the same noise and takes the same increments whatever
    else is drawn with it.

    Args:
        network: what is sampled from; put into evaluation mode while it is.
        labels: the class of each sample; None draws without a condition.
        indices: which samples of this seed, each from 0.
        sampler: a registered name, a mapping with ``type``, a config, or a sampler.
        guidance: the same for guidance; None and ``"none"`` are none.
        seed: the seed of all noise.
        batch_size: samples that are stepped together.
        interpolant: the path that the network was trained on, or its name, ``linear`` or ``cosine``; by
            default the network's own, and linear if it states none.
        device: where the network runs, and is moved if it is elsewhere; its own by default.
        precision: ``bf16-mixed`` evaluates the network under bfloat16 autocast, ``auto`` does where the
            processor has it; the state of the sampler stays float64.
        compile: whether the network is compiled first, in place; ``auto`` where that pays for so many
            samples and a C++ compiler is there.
        progress: called with (drawn, total) after each batch.

    Raises:
        ConfigError: labels, indices or another argument do not fit each other or the network, or there
            is no such sampler or guidance.
        PluginError: the sampler or guidance cannot be imported.
        ThalwegError: samples are not finite, or an adaptive sampler did not arrive.
    """
    _check(network.facts, labels, indices, batch_size)
    _check_choices(precision, compile)
    path = getattr(network, "interpolant", "linear") if interpolant is None else interpolant
    path = Interpolant.named(path) if isinstance(path, str) else path
    step: Sampler = _built("sampler", sampler, network.facts)
    guide: Guidance | None = _built("guidance", guidance, network.facts)
    guide = ConditionedField if guide is None else guide
    home = _place(network, device)
    # Metal has no float64, so there the state stays on the CPU.
    state_device = torch.device("cpu") if home.type == "mps" else home
    resolved = native_precision(home.type) if precision == "auto" else precision
    boundary = Boundary(network, home, resolved == "bf16-mixed")
    if isinstance(network, FlowNetwork) and (
        compile == "on" or (compile == "auto" and _compiling_pays(network, step, guide, len(indices), home))
    ):
        network.compile_regions()
    drawn: list[Tensor] = []
    begun = time.perf_counter()
    with torch.no_grad(), _evaluating(network):
        for start in range(0, len(indices), batch_size):
            chosen = slice(start, start + batch_size)
            noise = SampleNoise(seed, indices[chosen], network.facts.shape)
            condition = Condition(None if labels is None else torch.tensor(labels[chosen], device=home))
            field: VelocityField = guide(boundary, condition)
            x_0 = step(field, noise.initial().to(state_device), noise.increments, path)
            drawn.append(x_0.to("cpu", torch.float32))
            _check_finite(drawn[-1], indices[chosen])
            if progress is not None:
                progress(start + len(x_0), len(indices))
    return Samples(torch.cat(drawn), boundary.evaluated, time.perf_counter() - begun, resolved)


def _compiling_pays(
    network: FlowNetwork, sampler: Sampler, guide: Guidance, count: int, device: torch.device
) -> bool:
    # An adaptive sampler states no steps; it takes some dozens.
    evaluations = getattr(sampler, "steps", 50) * (1 if guide is ConditionedField else 2)
    pays = compiling_pays(network, evaluations * count, FLOP_PER_WEIGHT_FORWARD, device.type)
    return pays and compiler() is not None


def _built(kind: str, given: Any, facts: Facts) -> Any:
    named = isinstance(given, str | Mapping)
    config = component(kind, given, optional=kind == "guidance") if named else given
    return config.build(facts) if hasattr(config, "build") else config


def _check_choices(precision: str, compile: str) -> None:
    if precision not in get_args(SamplingPrecision):
        raise ConfigError(f"precision is {precision!r}; it must be 'auto', '32-true' or 'bf16-mixed'")
    if compile not in get_args(Compile):
        raise ConfigError(f"compile is {compile!r}; it must be 'auto', 'on' or 'off'")
    if compile == "on" and compiler() is None:
        raise ConfigError("compile is 'on' and there is no C++ compiler here; install g++ or use 'off'")


def _check(facts: Facts, labels: Sequence[int] | None, indices: Sequence[int], batch_size: int) -> None:
    if len(indices) == 0:
        raise ConfigError("indices is empty: there is nothing to draw; give at least one index")
    for position, index in enumerate(indices):
        if index < 0:
            raise ConfigError(f"indices[{position}] is {index}; samples are counted from 0")
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1")
    if labels is None:
        return
    if facts.classes is None:
        raise ConfigError("labels were given, but the network is unconditional; leave them out")
    if len(labels) != len(indices):
        raise ConfigError(f"{len(labels)} labels for {len(indices)} indices; give one label per sample")
    for position, label in enumerate(labels):
        if not 0 <= label < facts.classes:
            raise ConfigError(
                f"labels[{position}] is {label}; the network knows the classes 0 to {facts.classes - 1}"
            )


def _check_finite(x: Tensor, indices: Sequence[int]) -> None:
    bad = (~x.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    if bad:
        raise ThalwegError(
            f"sample {indices[bad[0]]} is not finite; the network's weights are damaged, have diverged or "
            "overflow in this precision: take an earlier checkpoint or precision '32-true'"
        )


def _place(network: VelocityNetwork, device: torch.device | str | None) -> torch.device:
    if not isinstance(network, nn.Module):
        return torch.device(device or "cpu")
    if device is not None:
        network.to(device)
        return torch.device(device)
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def _evaluating(network: VelocityNetwork) -> Iterator[None]:
    modes = (
        [(module, module.training) for module in network.modules()] if isinstance(network, nn.Module) else []
    )
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
