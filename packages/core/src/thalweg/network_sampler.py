"""Samples of one network: noise by index, guidance around the network, and a sampler along the field."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import torch
from jaxtyping import Float32
from torch import Tensor

from thalweg.arguments import SEED
from thalweg.composition import interpolant_of
from thalweg.config import component, listed
from thalweg.config.run import SamplingPrecision
from thalweg.errors import ThalwegError
from thalweg.guidance import ConditionedField, check_average, composed
from thalweg.machine import FLOP_PER_WEIGHT_FORWARD, compiler, compiling_pays, native_precision
from thalweg.network import FlowNetwork
from thalweg.network_field import NetworkField, VelocityNetwork, evaluating, placed
from thalweg.plugins import build_component
from thalweg.protocols import Guidance, Sampler
from thalweg.randomness import SampleNoise
from thalweg.types import Condition, VelocityField

Compile = Literal["auto", "on", "off"]

GuidanceChoice = str | Mapping[str, Any] | Guidance | Sequence[Any] | Any | None
"""Nothing, one guidance, or several from the network outwards: names, tables, configs or built ones."""


class NetworkSampler:
    """Samples of one network under one seed, batch after batch; arguments as of :func:`thalweg.sample`.

    Args:
        count: how many samples there are going to be in all, which decides whether compiling pays for
            ``auto``.

    Attributes:
        sampler: built.
        guidances: those around the network, built, from it outwards.
        precision: that the network is evaluated in.
    """

    def __init__(
        self,
        network: VelocityNetwork,
        *,
        count: int,
        sampler: str | Mapping[str, Any] | Sampler | Any,
        guidance: GuidanceChoice,
        seed: int,
        interpolant: Any,
        device: torch.device | str | None,
        precision: SamplingPrecision,
        compile: Compile,
    ) -> None:
        SEED.check("seed", seed)
        path = getattr(network, "interpolant", "linear") if interpolant is None else interpolant
        self._path = interpolant_of(path, network.facts)
        self.sampler: Sampler = build_component(component("sampler", sampler), network.facts)
        self.guidances: tuple[Guidance, ...] = tuple(
            build_component(component("guidance", one), network.facts) for one in listed(guidance)
        )
        check_average(self.sampler, self.guidances)
        self._network, self._seed = network, seed
        self._home = placed(network, device)
        self.precision = native_precision(self._home.type) if precision == "auto" else precision
        innermost = NetworkField(network, self._home, self.precision == "bf16-mixed")
        self._tally = innermost.tally
        self._field = composed(innermost, self.guidances)
        if isinstance(network, FlowNetwork) and (
            compile == "on" or (compile == "auto" and self._compiling_pays(network, count))
        ):
            for one in self._tally.networks:
                if isinstance(one, FlowNetwork):
                    one.compile_regions()

    @property
    def total_nfe(self) -> Fraction:
        """Network evaluations so far, of all samples, as :class:`thalweg.sampling.Samples` counts them."""
        return self._tally.total_nfe

    @torch.no_grad()
    def __call__(self, indices: Sequence[int], condition: Condition) -> Float32[Tensor, "N *shape"]:
        """The samples at these indices, stepped together; float32 on the CPU.

        Raises:
            ThalwegError: naming the first sample that is not finite.
        """
        # Metal has no float64, so there the state stays on the CPU.
        state_device = torch.device("cpu") if self._home.type == "mps" else self._home
        noise = SampleNoise(self._seed, indices, self._network.facts.shape)
        with evaluating(self._tally.networks):
            field: VelocityField = ConditionedField(self._field, condition.to(self._home))
            x_0 = self.sampler(field, noise.initial().to(state_device), noise.increments, self._path)
        x = x_0.to("cpu", torch.float32)
        _check_finite(x, indices)
        return x

    def _compiling_pays(self, network: FlowNetwork, count: int) -> bool:
        # An adaptive sampler states no steps; it takes some dozens.
        evaluations = getattr(self.sampler, "steps", 50) * (2 if self.guidances else 1)
        pays = compiling_pays(network, evaluations * count, FLOP_PER_WEIGHT_FORWARD, self._home.type)
        return pays and compiler() is not None


def _check_finite(x: Tensor, indices: Sequence[int]) -> None:
    bad = (~x.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    if bad:
        raise ThalwegError(
            f"sample {indices[bad[0]]} is not finite; the network's weights are damaged, have diverged or "
            "overflow in this precision: take an earlier checkpoint or precision '32-true'"
        )
