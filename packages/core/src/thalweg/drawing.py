"""Where noise by index, guidance around the network and a sampler meet, batch after batch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Protocol, runtime_checkable

import attrs
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from thalweg.composition import interpolant_of
from thalweg.config import component
from thalweg.devices import usable_device
from thalweg.errors import ConfigError, ThalwegError
from thalweg.facts import Facts
from thalweg.integers import SEED
from thalweg.machine import FLOP_PER_WEIGHT_FORWARD, compiler, compiling_pays, native_precision
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component
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
        self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N *shape"]:
        """The velocity at x and t; x is float32, t float64 on the CPU."""
        ...


@attrs.frozen(eq=False)
class ConditionedField:
    """The velocity field of a network under one condition, without guidance."""

    network: ConditionalVelocity
    condition: Condition

    def __call__(self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]) -> Float[Tensor, "N *shape"]:
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
        self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N *shape"]:
        """The network's velocity in the dtype and on the device of x.

        Raises:
            ConfigError: it is asked for a velocity without a condition, and was trained with every one shown.
        """
        if not self.network.facts.condition_dropout:
            _check_shown(self.network.facts, condition)
        self.evaluated += len(x)
        mixed = torch.autocast(self.device.type, torch.bfloat16)
        with mixed if self.mixed else nullcontext():
            velocity = self.network.velocity(x.to(self.device, torch.float32), t, condition)
        return velocity.to(x)


class Drawer:
    """Draws samples of one network under one seed; arguments as of :func:`thalweg.sample`.

    Args:
        count: how many samples are going to be drawn in all, from which ``auto`` sees whether compiling
            pays.

    Attributes:
        evaluated: images that the network was evaluated on so far.
        precision: that the network is evaluated in.
    """

    def __init__(
        self,
        network: VelocityNetwork,
        *,
        count: int,
        sampler: str | Mapping[str, Any] | Sampler | Any,
        guidance: str | Mapping[str, Any] | Guidance | Any | None,
        seed: int,
        interpolant: Any,
        device: torch.device | str | None,
        precision: SamplingPrecision,
        compile: Compile,
    ) -> None:
        SEED.check("seed", seed)
        path = getattr(network, "interpolant", "linear") if interpolant is None else interpolant
        self._path = interpolant_of(path, network.facts)
        self._sampler: Sampler = _built("sampler", sampler, network.facts)
        guide: Guidance | None = _built("guidance", guidance, network.facts)
        self._guide: Guidance = ConditionedField if guide is None else guide
        self._network, self._seed = network, seed
        self._home = _place(network, device)
        self.precision = native_precision(self._home.type) if precision == "auto" else precision
        self._boundary = Boundary(network, self._home, self.precision == "bf16-mixed")
        if isinstance(network, FlowNetwork) and (
            compile == "on" or (compile == "auto" and self._compiling_pays(network, count))
        ):
            network.compile_regions()

    @property
    def evaluated(self) -> int:
        """Images that the network was evaluated on so far, both halves of guidance counted."""
        return self._boundary.evaluated

    @torch.no_grad()
    def __call__(self, indices: Sequence[int], condition: Condition) -> Float32[Tensor, "N *shape"]:
        """The samples at these indices, stepped together; float32 on the CPU.

        Raises:
            ThalwegError: naming the first sample that is not finite.
        """
        # Metal has no float64, so there the state stays on the CPU.
        state_device = torch.device("cpu") if self._home.type == "mps" else self._home
        noise = SampleNoise(self._seed, indices, self._network.facts.shape)
        with _evaluating(self._network):
            field: VelocityField = self._guide(self._boundary, condition.to(self._home))
            x_0 = self._sampler(field, noise.initial().to(state_device), noise.increments, self._path)
        x = x_0.to("cpu", torch.float32)
        _check_finite(x, indices)
        return x

    def _compiling_pays(self, network: FlowNetwork, count: int) -> bool:
        # An adaptive sampler states no steps; it takes some dozens.
        evaluations = getattr(self._sampler, "steps", 50) * (1 if self._guide is ConditionedField else 2)
        pays = compiling_pays(network, evaluations * count, FLOP_PER_WEIGHT_FORWARD, self._home.type)
        return pays and compiler() is not None


def _built(kind: str, given: Any, facts: Facts) -> Any:
    ready = callable(given) and not isinstance(given, type) and not hasattr(given, "build")
    config = given if ready else component(kind, given, optional=kind == "guidance")
    return build_component(config, facts) if hasattr(config, "build") else config


def _check_finite(x: Tensor, indices: Sequence[int]) -> None:
    bad = (~x.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    if bad:
        raise ThalwegError(
            f"sample {indices[bad[0]]} is not finite; the network's weights are damaged, have diverged or "
            "overflow in this precision: take an earlier checkpoint or precision '32-true'"
        )


def _check_shown(facts: Facts, condition: Condition) -> None:
    # Looking makes a device wait, which only such networks pay for.
    conditional = facts.classes is not None or facts.text is not None
    absent = condition.labels is None and condition.text is None
    if conditional and (absent or bool(condition.hidden().any())):
        raise ConfigError(
            "the network was trained with every condition shown, so it knows no velocity without one; leave "
            "the guidance out and give every sample its condition"
        )


def _place(network: VelocityNetwork, device: torch.device | str | None) -> torch.device:
    home = None if device is None else usable_device(device)
    if not isinstance(network, nn.Module):
        return torch.device("cpu") if home is None else home
    if home is not None:
        network.to(home)
        return home
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
