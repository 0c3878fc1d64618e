"""FlowNetwork: a backbone cut into branches, a refiner between them, read-outs at their ends.

It alone knows how the three meet, so any refiner works between the branches of any backbone.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg import asked
from thalweg.errors import ConfigError, PluginError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.plugins import registry
from thalweg.types import Condition, Prediction


def check_branches(branches: int, depth: int, refiner: Any) -> None:
    """Make sure that a backbone can be cut into branches.

    Args:
        branches: k.
        depth: of the backbone.
        refiner: what stands between branches, or its config; None for nothing.

    Raises:
        ConfigError: if they do not go together.
    """
    if depth % branches:
        raise ConfigError(
            f"branches is {branches}, which does not divide the backbone's depth of {depth}; "
            f"choose a divisor of {depth}"
        )
    if (refiner is None) != (branches == 1):
        raise ConfigError(
            f"refiner is {'none' if refiner is None else 'set'} and branches is {branches}; a refiner "
            f"stands between branches: set both (such as refiner = 'plain', branches = 2) or neither"
        )


class FlowNetwork(nn.Module):
    """Predicts a velocity at the end of each of k branches (DeepFlow, section 3.2).

    Made by :func:`thalweg.compose`.

    Args:
        backbone: fulfils :class:`thalweg.protocols.Backbone`.
        refiner: fulfils :class:`thalweg.protocols.Refiner`; None with one branch.
        facts: what it is built for, branches included.
        interpolant: the path whose velocity it predicts, or the name of one that core brings.
        composition: what :func:`thalweg.compose` takes to build it again.

    Attributes:
        sampling: how its run draws, a recipe's ``[sampling]`` in plain values; empty where none is known.
            :func:`thalweg.load` sets it, and :func:`thalweg.sample` takes of it what is not given.
    """

    def __init__(
        self,
        backbone: Any,
        refiner: Any,
        facts: Facts,
        interpolant: Interpolant | str,
        composition: Mapping[str, Any],
    ) -> None:
        super().__init__()
        branches, depth = facts.branches, backbone.depth
        check_branches(branches, depth, refiner)
        accelerates = refiner is not None and refiner.has_acceleration
        self.facts, self.composition = attrs.evolve(facts, accelerates=accelerates), dict(composition)
        self.interpolant = Interpolant.named(interpolant) if isinstance(interpolant, str) else interpolant
        self.sampling: Mapping[str, Any] = {}
        self.backbone, self.refiner = backbone, refiner
        self._stride = depth // branches
        # One layer for all intermediate branches, one for the last, one for all accelerations.
        self.intermediate_velocity = None if refiner is None else backbone.readout()
        self.velocity_readout = backbone.readout()
        self.acceleration_readout = backbone.readout() if accelerates else None

    @property
    def branches(self) -> int:
        """k."""
        return self.facts.branches

    def forward(
        self,
        x_t: Float[Tensor, "N *shape"],
        times: Float[Tensor, "k N"],
        condition: Condition | None = None,
        *,
        last_only: bool = False,
        taps: tuple[int, ...] = (),
    ) -> Prediction:
        """Velocities of all branches and accelerations of the intermediate ones.

        Args:
            x_t: the noisy image at the first branch's time.
            times: a time per branch and sample, 0 (data) to 1 (noise).
            condition: labels; None means unconditional.
            last_only: skip what only the training loss reads.
            taps: depths after which to keep the tokens; at a boundary, what the next branch reads.

        Raises:
            DataError: if a shape or type does not fit, or a label or time on the CPU lies outside its range.
                (Those on a device are checked where they enter, since reading them back would stall it.)
            ConfigError: if a tap lies outside 1..depth.
        """
        condition = Condition() if condition is None else condition
        if torch.compiler.is_compiling():
            return self._flow(x_t, times, condition, last_only, tuple(sorted(set(taps))))
        asked.check_samples("x_t", x_t, self.facts)
        what = "a time of each branch and sample"
        asked.check_times("times", times, (self.branches, len(x_t)), what)
        asked.check_condition(condition, self.facts, x_t)
        tapped = asked.check_taps(taps, self.branches * self._stride)
        try:
            return self._flow(x_t, times, condition, last_only, tapped)
        except (RuntimeError, TypeError) as error:
            inputs = {"x_t": x_t, "times": times, "condition.dropped": condition.dropped}
            if condition.text is not None:
                inputs["condition.text"] = condition.text.tokens
            fault = asked.explain(error, next(self.parameters(), None), inputs)
            if fault is None:
                raise
            raise fault from error

    def velocity(
        self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N *shape"]:
        """The last branch's velocity with all branches at the same time, as in sampling.

        Raises:
            DataError: if an argument does not fit, as of :meth:`forward`.
        """
        if not torch.compiler.is_compiling():
            asked.check_samples("x", x, self.facts)
            asked.check_times("t", t, (len(x),), "a time of each sample")
        t = t.to(device=x.device, dtype=x.dtype)
        times_kN = t.expand(self.branches, -1)
        prediction: Prediction = self(x, times_kN, condition, last_only=True)
        return prediction.velocities[-1]

    def compile_regions(self) -> None:
        """Compile the repeated parts and the read-outs with torch.compile, in place.

        Equal blocks share one compiled code, so this takes seconds where compiling the whole network
        takes minutes, and the step is as fast: what lies between the regions is small.
        """
        if not torch.cuda.is_available():
            # It warns of a CUDA toolkit without a device, which is no fault here.
            logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        for region in self._regions():
            if region._compiled_call_impl is None:
                region.compile()

    def _regions(self) -> Iterator[nn.Module]:
        readouts = (self.intermediate_velocity, self.velocity_readout, self.acceleration_readout)
        yield from (readout for readout in readouts if readout is not None)
        for owner in (self.backbone, self.refiner):
            lists = [] if owner is None else [m for m in owner.children() if isinstance(m, nn.ModuleList)]
            for blocks in lists:
                yield from blocks

    def _flow(
        self, x_t: Tensor, times_kN: Tensor, condition: Condition, last_only: bool, taps: tuple[int, ...]
    ) -> Prediction:
        backbone = self.backbone
        stream = backbone.embed(x_t, condition)
        patch_tokens = stream.tokens
        velocities, accelerations, tapped = [], [], {}
        for branch in range(self.branches):
            start, stop = branch * self._stride, (branch + 1) * self._stride
            c = backbone.condition(times_kN[branch], condition)
            for depth in [tap for tap in taps if start < tap < stop]:
                stream, start = backbone.run(stream, c, start, depth), depth
                tapped[depth] = stream.tokens
            stream = backbone.run(stream, c, start, stop)
            if branch == self.branches - 1:
                velocity = self.velocity_readout(stream.tokens, c)
                self._require_shape("backbone", "a velocity", velocity, x_t)
                velocities.append(velocity)
            else:
                if self.intermediate_velocity is not None and not last_only:
                    velocities.append(self.intermediate_velocity(stream.tokens, c))
                gap = times_kN[branch + 1] - times_kN[branch]
                refinement = self.refiner(stream.tokens, patch_tokens, gap, branch)
                self._require_shape("refiner", "tokens", refinement.tokens, stream.tokens)
                if self.acceleration_readout is not None and not last_only:
                    accelerations.append(self.acceleration_readout(refinement.acceleration, c))
                stream = stream.with_tokens(refinement.tokens)
            if stop in taps:
                tapped[stop] = stream.tokens
        return Prediction(tuple(velocities), tuple(accelerations), tapped)

    def _require_shape(self, kind: str, what: str, found: Tensor, like: Tensor) -> None:
        if found.shape == like.shape:
            return
        owner = self.backbone if kind == "backbone" else self.refiner
        named, module = self.composition.get(kind), type(owner).__module__
        whose = f"{type(owner).__qualname__} of {module}"
        if named:
            name = named["type"]
            whose = f"{kind} '{name}' of {registry().origin(kind, name)} ({module})"
        raise PluginError(
            f"{whose} gives {what} of shape {tuple(found.shape)} where {tuple(like.shape)} is needed; "
            "mend it, and run thalweg plugins check on it"
        )
