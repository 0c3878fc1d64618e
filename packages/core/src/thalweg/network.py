"""FlowNetwork: a backbone cut into branches, a refiner between them, read-outs at their ends and elsewhere.

It alone knows how these meet, so any refiner works between the branches of any backbone.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from thalweg import network_inputs, network_parts
from thalweg.branches import Branches, as_heads, ends_of, head_depths
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.network_hub import OnTheHub
from thalweg.network_parts import check_parts, check_whole, made_of, names_of
from thalweg.network_pass import Pass
from thalweg.network_skipping import SkippingNetwork
from thalweg.types import Condition, Head, Prediction, Routed

_Answer = TypeVar("_Answer")


class FlowNetwork(OnTheHub, nn.Module):
    """Predicts a velocity at the end of each of k branches (DeepFlow, section 3.2).

    Args:
        backbone: fulfils :class:`thalweg.protocols.Backbone`; its depth, width, heads and grid are read off.
        refiner: fulfils :class:`thalweg.protocols.Refiner`; None with one branch.
        branches: how many equal ones, or the depths at which they end, the last one the backbone's depth.
        facts: shape and classes of the data; what the parts state is filled in.
        interpolant: the path whose velocity it predicts, or its name.
        intermediate_readouts: whether the branches before the last share one read-out, as in the paper, or
            have each its own.
        heads: numbers of blocks after which velocities are read besides, each by a read-out of its own.
        detach_heads: whether these read detached tokens and conditions: then the rest is trained as it would
            be without them. Else they supervise it.
        prediction: what the read-outs of velocities give: a ``velocity``, or the ``clean`` data, from which
            the velocity follows (x-prediction; JiT, 2025). On the linear path that is
            (x_t - x) / max(t, 0.05), and on any path what
            :meth:`thalweg.interpolant.Interpolant.velocity_of_clean` says. All that reads the network's
            velocities reads velocities in either case.
        composition: what :func:`thalweg.compose` takes to build it again; of a network that was put together
            by hand, what its parts are.

    Raises:
        ConfigError: if the parts do not go together.
        PluginError: if the refiner's ``readouts`` are no names.

    Attributes:
        facts: of data, backbone, branches and refiner.
        sampling: how its run samples, a recipe's ``[sampling]`` in plain values; empty where none is known.
            :func:`thalweg.load` sets it, and :func:`thalweg.sample` takes of it what is not given.
        calibration: what :func:`thalweg.calibrate` measured of its heads; None if nobody did. It holds for
            the weights at that time.
        owners: who brought backbone and refiner, in words, for messages.
    """

    def __init__(
        self,
        backbone: Any,
        refiner: Any = None,
        branches: Branches = 1,
        *,
        facts: Facts,
        interpolant: Interpolant | str = "linear",
        intermediate_readouts: str = "shared",
        heads: Sequence[int] = (),
        detach_heads: bool = True,
        prediction: str = "velocity",
        composition: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_parts(backbone, facts)
        network_parts.check_prediction(prediction)
        ends = ends_of(branches, backbone.depth, refined=refiner is not None)
        if len(ends) > 1 and getattr(backbone, "noise", None) is not None:
            raise ConfigError("a backbone that predicts noise has one branch; set branches to 1")
        if prediction != "velocity" and getattr(backbone, "noise", None) is not None:
            raise ConfigError(
                f"a backbone that predicts noise reads no {prediction} data; set prediction to velocity"
            )
        names = () if refiner is None else names_of(refiner)
        depths = head_depths(heads, ends)
        self.facts = attrs.evolve(
            facts,
            branches=len(ends),
            ends=ends,
            depth=backbone.depth,
            width=backbone.width,
            heads=backbone.heads,
            grid=tuple(backbone.grid),
            readouts=names,
            head_depths=depths,
        )
        path = interpolant if isinstance(interpolant, Interpolant) else Interpolant.named(interpolant)
        self.interpolant = path
        by_hand = network_parts.composition(
            made_of(backbone),
            made_of(refiner),
            branches,
            path.stated,
            intermediate_readouts,
            depths,
            detach_heads,
            prediction,
        )
        self.composition: dict[str, Any] = by_hand if composition is None else dict(composition)
        check_whole(self.composition)
        self.sampling: Mapping[str, Any] = {}
        self.calibration: Any = None
        self.owners: Mapping[str, str] = {}
        self.backbone, self.refiner = backbone, refiner
        self.intermediate_velocity: nn.Module | None = None
        self.intermediate_velocities: nn.ModuleList | None = None
        if intermediate_readouts not in ("shared", "own"):
            raise ConfigError(
                f"intermediate_readouts is {intermediate_readouts!r}; it must be 'shared' or 'own'"
            )
        if intermediate_readouts == "own" and refiner is not None:
            self.intermediate_velocities = nn.ModuleList(backbone.readout() for _ in ends[:-1])
        elif refiner is not None:
            self.intermediate_velocity = backbone.readout()
        self.velocity_readout = backbone.readout()
        for name in names:
            self.add_module(_layer(name), backbone.readout())
        # The last ones, so that all others begin with the weights that they would have without them.
        self.velocity_heads = nn.ModuleDict({str(depth): backbone.readout() for depth in depths})
        self.detach_heads = detach_heads
        self.prediction = prediction

    def load_state_dict(self, *args: Any, **options: Any) -> Any:
        """As of any module; what was measured of the heads was measured of other weights."""
        self.calibration = None
        return super().load_state_dict(*args, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        """Another part in place of the first one is what the network is made of from then on."""
        known = name in ("backbone", "refiner", "interpolant") and hasattr(self, name)
        another = known and getattr(self, name) is not value
        super().__setattr__(name, value)
        if another:
            self.composition[name] = made_of(value)
            self.owners = {kind: owner for kind, owner in self.owners.items() if kind != name}

    @property
    def branches(self) -> int:
        """k."""
        return self.facts.branches

    def forward(
        self,
        x_t: Float[Tensor, "N *shape"],
        times: Float[Tensor, "k N"] | Float[Tensor, " N"],
        condition: Condition | None = None,
        *,
        last_only: bool = False,
        hidden: tuple[int, ...] = (),
        until: int | None = None,
        routed: Routed | None = None,
    ) -> Prediction:
        """Velocities of all branches, and what the refiner's features read.

        Args:
            x_t: the noisy data at the first branch's time.
            times: a time per branch and sample, 0 (data) to 1 (noise); one a sample stands for all branches.
            condition: labels; None means unconditional.
            last_only: skip what only the training loss reads.
            hidden: depths after which to keep the tokens; at a boundary, what the next branch reads.
            until: the depth of an intermediate head with which the pass ends: what is behind it is not read,
                and the prediction has the velocities of those branches alone that end by then.
            routed: blocks that only some of the tokens pass, as in training with token routing. Where
                something is read among them, refiners included, all tokens are there, those that go round
                as they were before.

        Raises:
            DataError: if a shape or type does not fit, or a label or time on the CPU lies outside its range.
                (Those on a device are checked where they enter, since reading them back would stall it.)
            ConfigError: if a depth lies outside 1..depth, or there is no head to end with.
        """
        condition = Condition() if condition is None else condition
        if torch.compiler.is_compiling():
            depths = tuple(sorted(set(hidden)))
            return self._flow(x_t, self._all(times), condition, last_only, depths, until, routed)
        network_inputs.check_samples("x_t", x_t, self.facts)
        network_inputs.check_times("times", times, len(x_t), self.branches)
        network_inputs.check_condition(condition, self.facts, x_t)
        depths = network_inputs.check_hidden(hidden, self.facts.depth)
        return self._checked(
            lambda: self._flow(x_t, self._all(times), condition, last_only, depths, until, routed),
            x_t,
            times,
            condition,
        )

    def velocity(
        self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N *shape"]:
        """The last branch's velocity with all branches at the same time, as in sampling.

        Raises:
            DataError: if an argument does not fit, as of :meth:`forward`.
        """
        if not torch.compiler.is_compiling():
            network_inputs.check_samples("x", x, self.facts)
            network_inputs.check_times("t", t, len(x))
        t = t.to(device=x.device, dtype=x.dtype)
        prediction: Prediction = self(x, t, condition, last_only=True)
        return prediction.velocities[-1]

    def average(
        self,
        x: Float[Tensor, "N *shape"],
        t: Float[Tensor, " N"],
        r: Float[Tensor, " N"],
        condition: Condition,
    ) -> Float[Tensor, "N *shape"]:
        """Of a flow map, the average velocity u over [r, t]: the last branch at r, the first one at t.

        x - (t - r) u is where the probability flow carries x from time t to r. Of a network that was trained
        otherwise (``facts.flow_map`` is false) it is no such thing.

        Args:
            x: the noisy data at t.
            t: their times.
            r: the times that the average begins at.
            condition: what they are conditioned on.

        Raises:
            ConfigError: if the network has not two branches.
            DataError: if an argument does not fit, as of :meth:`forward`.
        """
        if self.branches != 2:
            raise ConfigError(
                f"an average velocity is read at the second of two branches and the network has "
                f"{self.branches}; set branches = 2 and train it by the objective flow_map"
            )
        network_inputs.check_samples("x", x, self.facts)
        for name, times in (("t", t), ("r", r)):
            network_inputs.check_times(name, times, len(x))
        times_kN = torch.stack([t, r]).to(device=x.device, dtype=x.dtype)
        prediction: Prediction = self(x, times_kN, condition, last_only=True)
        return prediction.velocities[-1]

    def heads(
        self,
        x: Float[Tensor, "N *shape"],
        t: Float[Tensor, " N"],
        condition: Condition | None,
        wanted: Sequence[Head | int],
        *,
        skipped: tuple[int, int] = (0, 0),
    ) -> tuple[Float[Tensor, "N *shape"], ...]:
        """The velocities that some of its heads read in one pass, which ends with the deepest of them.

        Args:
            x: the noisy data.
            t: their times, which all branches take.
            condition: what they are conditioned on.
            wanted: which heads; a bare number is that of the blocks passed, and -1 is the last one.
            skipped: first and behind the last of the blocks that are left out, counted from 0.

        Raises:
            DataError: if an argument does not fit, as of :meth:`forward`.
            ConfigError: if there is no such head.
        """
        chosen = self._as_heads(wanted)
        times_kN, condition = self._sampled(x, t, condition)
        passed = self._checked(
            lambda: Pass(self, x, times_kN, condition, skipped).through(chosen), x, t, condition
        )
        return tuple(passed.velocities[head] for head in chosen)

    def early(
        self,
        x: Float[Tensor, "N *shape"],
        t: Float[Tensor, " N"],
        condition: Condition | None,
        first: Sequence[Head | int],
        go_on: Callable[[tuple[Tensor, ...]], Bool[Tensor, " N"]],
    ) -> tuple[tuple[Float[Tensor, "N *shape"], ...], Int[Tensor, " n"], Float[Tensor, "n *shape"]]:
        """The velocities of some intermediate heads, and the last one's where these ask for it.

        One pass pauses at the deepest of the heads and goes on with some of the samples. Which ones is read
        back from a device, so it waits.

        Args:
            x: the noisy data.
            t: their times, which all branches take.
            condition: what they are conditioned on.
            first: which heads, as of :meth:`heads`.
            go_on: says of their velocities which samples need the last head.

        Returns:
            What the heads read, which samples went on, ascending, and the last head's velocities of these.

        Raises:
            DataError: if an argument does not fit, as of :meth:`forward`.
            ConfigError: if there is no such head.
        """
        chosen = self._as_heads(first)
        times_kN, condition = self._sampled(x, t, condition)

        def answer() -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
            passing = Pass(self, x, times_kN, condition)
            found = passing.through(chosen).velocities
            read = tuple(found[head] for head in chosen)
            index_n = go_on(read).nonzero().flatten()
            if len(index_n) == 0:
                return read, index_n, x[:0]
            if len(index_n) < len(x):
                passing.narrow(index_n)
            last = Head(self.facts.depth)
            return read, index_n, passing.through((last,)).velocities[last]

        return self._checked(answer, x, t, condition)

    def _sampled(self, x: Tensor, t: Tensor, condition: Condition | None) -> tuple[Tensor, Condition]:
        """The times of all branches, and the condition, of samples that fit; else DataError."""
        condition = Condition() if condition is None else condition
        network_inputs.check_samples("x", x, self.facts)
        network_inputs.check_times("t", t, len(x))
        network_inputs.check_condition(condition, self.facts, x)
        return self._all(t.to(device=x.device, dtype=x.dtype)), condition

    def share(self, wanted: Sequence[Head | int] = (-1,)) -> float:
        """The share of its blocks that a pass for these heads goes through.

        Raises:
            ConfigError: if there is no such head.
        """
        return max(head.after for head in self._as_heads(wanted)) / self.facts.depth

    def _as_heads(self, wanted: Sequence[Head | int]) -> tuple[Head, ...]:
        return as_heads(wanted, self.facts, linear=self.interpolant.stated == "linear")

    def without(self, start: int, stop: int) -> SkippingNetwork:
        """This network without its blocks start..stop-1, for guidance."""
        return SkippingNetwork(self, start, stop)

    def readout(self, name: str) -> nn.Module:
        """The layer that reads the refiner's features of that name."""
        return self.get_submodule(_layer(name))

    def compile_regions(self) -> None:
        """Compile the repeated parts and the read-outs with torch.compile, in place.

        Equal blocks share one compiled code, so this takes seconds where compiling the whole network
        takes minutes, and the step is as fast: what is between the regions is small.
        """
        if not torch.cuda.is_available():
            # It warns of a CUDA toolkit without a device, which is no fault here.
            logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        for region in self._regions():
            if region._compiled_call_impl is None:
                region.compile()

    @property
    def is_compiled(self) -> bool:
        """Whether regions of it are compiled, which rounds otherwise than what is not."""
        return any(region._compiled_call_impl is not None for region in self._regions())

    def _regions(self) -> Iterator[nn.Module]:
        for name, child in self.named_children():
            if isinstance(child, nn.ModuleList | nn.ModuleDict):
                yield from child.children()
            elif name in ("backbone", "refiner"):
                for blocks in (one for one in child.children() if isinstance(one, nn.ModuleList)):
                    yield from blocks
            else:
                yield child

    def _all(self, times: Tensor) -> Tensor:
        return times if times.dim() == 2 else times.expand(self.branches, -1)

    def _flow(
        self,
        x_t: Tensor,
        times_kN: Tensor,
        condition: Condition,
        last_only: bool,
        hidden: tuple[int, ...],
        until: int | None,
        routed: Routed | None,
    ) -> Prediction:
        last = self.facts.depth if until is None else self._as_heads((until,))[0].after
        depths = () if last_only else tuple(depth for depth in self.facts.weak_heads if depth <= last)
        wanted = tuple(Head(depth) for depth in dict.fromkeys((*depths, last)))
        readouts = () if last_only else self.facts.readouts
        passed = Pass(self, x_t, times_kN, condition, routed=routed).through(wanted, readouts, hidden)
        ends = self.facts.ends[-1:] if last_only else self.facts.ends
        return Prediction(
            tuple(passed.velocities[Head(end)] for end in ends if end <= last),
            {name: tuple(found) for name, found in passed.readouts.items()},
            passed.hidden,
            {depth: passed.velocities[Head(depth)] for depth in depths},
        )

    def _checked(
        self, answer: Callable[[], _Answer], x: Tensor, times: Tensor, condition: Condition
    ) -> _Answer:
        """The answer; if it fails because inputs are elsewhere or of another type, the error says so."""
        try:
            return answer()
        except (RuntimeError, TypeError) as error:
            inputs = {"x_t": x, "times": times, "condition.dropped": condition.dropped}
            if condition.text is not None:
                inputs["condition.text"] = condition.text.tokens
            fault = network_inputs.explain(error, next(self.parameters(), None), inputs)
            if fault is None:
                raise
            raise fault from error


def _layer(name: str) -> str:
    return f"{name}_readout"
