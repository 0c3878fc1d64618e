"""The innermost field: a network, or several, where a sampler's float64 state meets their float32."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import attrs
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from thalweg.arguments import check_instance
from thalweg.devices import usable_device
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Condition, Head, Query

_FINEST = 1_000_000
"""Shares of a pass are fractions of blocks, of which no network has as many."""


@runtime_checkable
class VelocityNetwork(Protocol):
    """What can be sampled from: a :class:`thalweg.network.FlowNetwork` or anything like it.

    It may offer ``heads(x, t, condition, wanted)``, the velocities of some of its heads in one pass,
    ``share(wanted)``, the share of its blocks which that passes, ``cost``, the same of its velocity if that
    is not 1, and of a flow map, which ``facts.flow_map`` says, ``average(x, t, r, condition)``, the average
    velocity over [r, t].

    Attributes:
        facts: shape and classes of the data.
    """

    facts: Facts

    def velocity(
        self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N *shape"]:
        """The velocity at x and t; x is float32, t float64 on the CPU."""
        ...


@attrs.define(eq=False)
class Tally:
    """The NFE so far, of all networks of a sampler.

    Attributes:
        networks: all that are evaluated, the main one first.
        total_nfe: NFE of all samples; a pass that ends early counts the share of its blocks.
    """

    networks: list[VelocityNetwork] = attrs.field(factory=list)
    total_nfe: Fraction = Fraction(0)

    def add(self, count: int, share: float) -> None:
        """Take ``count`` images."""
        self.total_nfe += count * Fraction(share).limit_denominator(_FINEST)


@attrs.frozen(eq=False)
class NetworkField:
    """The conditional field of a network, and of other networks beside it.

    Attributes:
        network: what is evaluated.
        device: where.
        mixed: whether under bfloat16 autocast.
        tally: counts it.
    """

    network: VelocityNetwork
    device: torch.device
    mixed: bool
    tally: Tally = attrs.field(factory=Tally)

    def __attrs_post_init__(self) -> None:
        self.tally.networks.append(self.network)

    def __call__(self, query: Query) -> Tensor:
        """The network's velocity in the dtype and on the device of x.

        Raises:
            ConfigError: a velocity without a condition is requested, and it was trained with every one shown.
        """
        self._count(query, float(getattr(self.network, "cost", 1.0)))
        with self._precision():
            velocity = self.network.velocity(query.x.to(self.device, torch.float32), query.t, query.condition)
        return velocity.to(query.x)

    @property
    def facts(self) -> Facts:
        """Of the network."""
        return self.network.facts

    @property
    def calibration(self) -> Any:
        """Of the network's heads; None if nobody measured them."""
        return getattr(self.network, "calibration", None)

    def heads(self, query: Query, wanted: Sequence[Head | int]) -> tuple[Tensor, ...]:
        """The velocities of some heads in one pass, which ends with the deepest of them.

        Raises:
            ConfigError: the network offers no heads, or not these.
        """
        network: Any = self.network
        if not callable(getattr(network, "heads", None)):
            raise ConfigError(
                f"guidance by heads within the network needs a FlowNetwork, and {type(network).__name__} "
                "offers none; remove it from the guidance"
            )
        self._count(query, float(network.share(wanted)) if hasattr(network, "share") else 1.0)
        with self._precision():
            found = network.heads(
                query.x.to(self.device, torch.float32), query.t, query.condition, tuple(wanted)
            )
        return tuple(velocity.to(query.x) for velocity in found)

    def early(
        self,
        query: Query,
        first: Sequence[Head | int],
        go_on: Callable[[tuple[Tensor, ...]], Tensor],
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """As :meth:`thalweg.network.FlowNetwork.early`; blocks count for those alone that pass them.

        Raises:
            ConfigError: the network's passes cannot end early, or it has not these heads.
        """
        network: Any = self.network
        if not callable(getattr(network, "early", None)):
            raise ConfigError(
                f"a pass that may end early needs a FlowNetwork, and {type(network).__name__} offers none; "
                "remove it from the guidance"
            )
        share = float(network.share(first))
        self._count(query, share)
        with self._precision():
            found, index_n, last = network.early(
                query.x.to(self.device, torch.float32),
                query.t,
                query.condition,
                tuple(first),
                lambda velocities: go_on(tuple(one.to(query.x) for one in velocities)).to(self.device),
            )
        self.tally.add(len(index_n), 1 - share)
        return tuple(one.to(query.x) for one in found), index_n.to(query.x.device), last.to(query.x)

    def average(self, query: Query, r: Float64[Tensor, " N"]) -> Tensor:
        """The average velocity over [r, t] of a flow map, in one evaluation.

        Args:
            query: where, when (t) and under what.
            r: the times that the average begins at, float64 on the CPU.

        Raises:
            ConfigError: the network was not trained as a flow map, or as of calling the field.
        """
        network: Any = self.network
        if not self.network.facts.flow_map or not callable(getattr(network, "average", None)):
            raise ConfigError(
                f"an average velocity is read off a flow map, a network of two branches that the objective "
                f"flow_map has trained, and this {type(network).__name__} is none; take a sampler of "
                "velocities, such as euler"
            )
        self._count(query, float(getattr(network, "cost", 1.0)))
        with self._precision():
            found = network.average(query.x.to(self.device, torch.float32), query.t, r, query.condition)
        velocity: Tensor = found.to(query.x)
        return velocity

    def without(self, start: int, stop: int) -> "NetworkField":
        """The field of the same network without its blocks start..stop-1, counted with it.

        Raises:
            ConfigError: the network offers no such thing.
        """
        skipping = getattr(self.network, "without", None)
        if skipping is None:
            raise ConfigError(
                f"guidance by skipped blocks needs a FlowNetwork, and {type(self.network).__name__} cannot "
                "skip any; remove it from the guidance"
            )
        return NetworkField(skipping(start, stop), self.device, self.mixed, self.tally)

    def beside(self, network: VelocityNetwork) -> "NetworkField":
        """Another network on the same device and in the same precision, counted with this one.

        Raises:
            ConfigError: it is no network, or of other data or another path.
        """
        check_instance("network", network, VelocityNetwork, "a network, or where one is saved")
        check_alike(network, self.network.facts)
        ours, theirs = (getattr(one, "interpolant", None) for one in (self.network, network))
        if isinstance(ours, Interpolant) and isinstance(theirs, Interpolant) and not ours.agrees(theirs):
            raise ConfigError(
                f"the second network's interpolant is {theirs} and the main one's is {ours}; velocities of "
                "two paths cannot be mixed, so take one that was trained on the same path"
            )
        placed(network, self.device)
        return NetworkField(network, self.device, self.mixed, self.tally)

    def _count(self, query: Query, share: float) -> None:
        if not self.network.facts.condition_dropout:
            _check_shown(self.network.facts, query.condition)
        self.tally.add(len(query.x), share)

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.mixed else nullcontext()


def check_alike(network: VelocityNetwork, facts: Facts) -> None:
    """Make sure that a second network is of the same data as the first.

    Args:
        network: the second one.
        facts: of the first.

    Raises:
        ConfigError: shape, classes, captions or normalisation differ.
    """
    for what in ("shape", "classes", "text", "normalisation"):
        theirs, ours = getattr(network.facts, what), getattr(facts, what)
        if theirs != ours:
            raise ConfigError(
                f"the second network's {what} is {theirs} and the main one's is {ours}; both must have been "
                "trained on the same data"
            )


def placed(network: VelocityNetwork, device: torch.device | str | None) -> torch.device:
    """Where a network is evaluated, and is moved if it is elsewhere: by default where it is."""
    home = None if device is None else usable_device(device)
    module = _module(network)
    if module is None:
        return torch.device("cpu") if home is None else home
    if home is not None:
        module.to(home)
        return home
    first = next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def evaluating(networks: Sequence[VelocityNetwork]) -> Iterator[None]:
    """Networks in evaluation mode, each module of which gets its former mode back."""
    whole = [module for one in networks if (module := _module(one)) is not None]
    modules = [module for one in whole for module in one.modules()]
    modes = [(module, module.training) for module in modules]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in reversed(modes):
            module.training = training


def _module(network: VelocityNetwork) -> nn.Module | None:
    """What of a network has weights and modes, which may be a function's."""
    found = network if isinstance(network, nn.Module) else getattr(network, "module", None)
    return found if isinstance(found, nn.Module) else None


def _check_shown(facts: Facts, condition: Condition) -> None:
    # Looking makes a device wait, which only such networks pay for.
    conditional = facts.classes is not None or facts.text is not None
    absent = condition.labels is None and condition.text is None
    if conditional and (absent or bool(condition.hidden().any())):
        raise ConfigError(
            "the network was trained with every condition shown, so it knows no velocity without one; leave "
            "the guidance out and give every sample its condition"
        )


class FunctionNetwork:
    """A plain function ``f(x, t)`` as a network; both arguments come in float32 on the function's device.

    Raises:
        ConfigError: it does not take two arguments.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], facts: Facts) -> None:
        called = getattr(function, "forward", function)
        try:
            inspect.signature(called).bind(None, None)
        except TypeError as error:
            raise ConfigError(
                f"the function does not take x and t ({error}); give a function of the two"
            ) from error
        except ValueError:
            pass  # not written in Python, which shows nothing
        self.function = self.module = function
        self.facts = facts

    def velocity(
        self,
        x: Float[Tensor, "N *shape"],
        t: Float[Tensor, " N"],
        condition: Condition,
    ) -> Float[Tensor, "N *shape"]:
        """What the function gives.

        Raises:
            DataError: that is of another shape than x.
        """
        del condition  # of which a plain function knows nothing
        velocity = self.function(x, t.to(x))
        if not isinstance(velocity, Tensor) or velocity.shape != x.shape:
            found = tuple(velocity.shape) if isinstance(velocity, Tensor) else type(velocity).__name__
            raise DataError(f"the function gives {found} for x of {tuple(x.shape)}; it must keep the shape")
        return velocity
