"""One pass through a network: its blocks, its refiner between branches, and the heads read on the way."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from torch import Tensor

from thalweg.broadcasting import like
from thalweg.errors import PluginError
from thalweg.layers import read
from thalweg.network_parts import LEAST_SIGMA
from thalweg.noise_prediction import NoisePrediction
from thalweg.token_routing import over_subset
from thalweg.types import Boundary, Condition, Head, Refinement, Routed, Stream


class Passed(NamedTuple):
    """What a pass has read: velocities by head, the refiner's features by name, hidden states by depth."""

    velocities: dict[Head, Tensor]
    readouts: dict[str, list[Tensor]]
    hidden: dict[int, Tensor]


class Pass:
    """A pass of a :class:`thalweg.network.FlowNetwork` for these samples. It may pause at a head and go on.

    Args:
        network: whose parts are passed.
        x_t: the noisy data at the first branch's time.
        times_kN: a time per branch and sample.
        condition: what the samples are conditioned on.
        skipped: first and behind the last of the blocks that are left out, counted from 0.
        routed: blocks that only some of the tokens pass.
    """

    def __init__(
        self,
        network: Any,
        x_t: Tensor,
        times_kN: Tensor,
        condition: Condition,
        skipped: tuple[int, int] = (0, 0),
        routed: Routed | None = None,
    ) -> None:
        self._network, self._x_t, self._times_kN = network, x_t, times_kN
        self._condition, self._skipped, self._routed = condition, skipped, routed
        # What the backbone is asked at: of one that predicts noise, the step of its own diffusion.
        self._noise: NoisePrediction | None = getattr(network.backbone, "noise", None)
        self._asked_x, self._asked_kN = x_t, times_kN
        if self._noise is not None:
            self._asked_x, step = self._noise.level(x_t, times_kN[0].to(x_t.device), network.interpolant)
            self._asked_kN = step.to(times_kN.dtype)[None]
        # Where it stands: the blocks passed, what flows there, and what a refiner there hands on.
        self._depth, self._stream = 0, network.backbone.embed(self._asked_x, condition)
        self._patch_tokens = self._stream.tokens
        self._refinement: Refinement | None = None

    def narrow(self, index: Tensor) -> None:
        """Go on with the samples at ``index`` alone."""
        self._x_t, self._times_kN = self._x_t[index], self._times_kN[:, index]
        self._asked_x, self._asked_kN = self._asked_x[index], self._asked_kN[:, index]
        self._condition, self._stream = self._condition.select(index), self._stream.select(index)
        self._patch_tokens = self._patch_tokens[index]
        if self._refinement is not None:
            features = {name: found[index] for name, found in self._refinement.features.items()}
            self._refinement = Refinement(self._refinement.tokens[index], features)

    def through(
        self, wanted: tuple[Head, ...], readouts: tuple[str, ...] = (), hidden: tuple[int, ...] = ()
    ) -> Passed:
        """What is wanted of the pass, which ends with the deepest of these heads.

        Called again, it goes on from there: no block is passed twice, and nothing before is read.

        Args:
            wanted: which velocities to read.
            readouts: which of the refiner's features to read at all boundaries on the way.
            hidden: depths after which to keep the tokens; at a boundary, what the next branch reads.

        Raises:
            PluginError: if a part gives what does not fit.
        """
        facts, passed = self._network.facts, Passed({}, {name: [] for name in readouts}, {})
        deepest = max(head.after for head in wanted)
        own = {head.after for head in wanted if head.after in facts.head_depths}
        for branch, end in enumerate(facts.ends):
            if end < self._depth:
                continue
            c = self._network.backbone.condition(self._asked_kN[branch], self._condition)
            for depth in self._run(c, min(end, deepest), {*own, *hidden}):
                if depth in own:
                    passed.velocities[Head(depth)] = self._own_velocity(branch, depth, c)
                if depth in hidden and depth < end:
                    passed.hidden[depth] = self._stream.tokens
            if deepest < end:
                break
            tokens = self._stream.tokens
            plain, refined, corrected = Head(end), Head(end, "refined"), Head(end, "corrected")
            if plain in wanted or corrected in wanted:
                passed.velocities[plain] = self._velocity(branch, tokens, c)
            if end < deepest or refined in wanted or corrected in wanted:
                refinement = self._refine(branch, c)
                for name, found in passed.readouts.items():
                    layer = self._network.readout(name)
                    found.append(read(layer, refinement.features[name], c, self._x_t))
                if corrected in wanted:
                    passed.velocities[corrected] = self._corrected(
                        passed.velocities[plain], refinement, branch, c
                    )
                tokens = refinement.tokens
            if refined in wanted:
                passed.velocities[refined] = self._velocity(branch, tokens, c)
            if end in hidden:
                passed.hidden[end] = tokens
            if end == deepest:
                break
            self._stream, self._refinement = self._stream.with_tokens(tokens), None
        return passed

    def _run(self, c: Tensor, stop: int, pauses: Collection[int]) -> Iterator[int]:
        """The blocks from where it stands up to ``stop``: each pause among them, and where it stops."""
        start = self._depth
        for depth in [*sorted(one for one in pauses if start < one < stop), stop]:
            for first, last in self._left(self._depth, depth) if self._depth < depth else ():
                self._stream = self._blocks(self._stream, c, first, last)
            self._depth = depth
            yield depth

    def _blocks(self, stream: Stream, c: Tensor, start: int, stop: int) -> Stream:
        run, routed = self._network.backbone.run, self._routed
        if routed is None:
            whole: Stream = run(stream, c, start, stop)
            return whole
        inside = (max(start, routed.start), min(stop, routed.stop))
        if inside[0] >= inside[1]:
            inside = (stop, stop)
        if start < inside[0]:
            stream = run(stream, c, start, inside[0])
        if inside[0] < inside[1]:
            stream = over_subset(lambda some: run(some, c, *inside), stream, routed)
        if inside[1] < stop:
            stream = run(stream, c, inside[1], stop)
        return stream

    def _left(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What is left of a range of blocks, first and behind the last of each piece."""
        first, last = self._skipped
        if first == last:
            return [(start, stop)]
        pieces = [(start, min(stop, first)), (max(start, last), stop)]
        return [(one, other) for one, other in pieces if one < other]

    def _refine(self, branch: int, c: Tensor) -> Refinement:
        if self._refinement is not None:
            return self._refinement
        times_kN, names = self._times_kN, self._network.facts.readouts
        boundary = Boundary(branch, self._patch_tokens, c, times_kN[branch], times_kN[branch + 1])
        refinement: Refinement = self._network.refiner(self._stream, boundary)
        self._require_shape("refiner", "tokens", refinement.tokens, self._stream.tokens)
        missing = [name for name in names if name not in refinement.features]
        if missing:
            raise PluginError(
                f"{self._owner('refiner')} states the read-out '{missing[0]}' and its refinement has no such "
                "features; put them into Refinement.features, and run thalweg plugins check on it"
            )
        self._refinement = refinement
        return refinement

    def _corrected(self, velocity: Tensor, refinement: Refinement, branch: int, c: Tensor) -> Tensor:
        """v - t a / 2, the velocity to which the branch's acceleration corrects its own."""
        layer = self._network.readout("acceleration")
        a = read(layer, refinement.features["acceleration"], c, self._x_t)
        return velocity - like(self._times_kN[branch], velocity) * a / 2

    def _velocity(self, branch: int, tokens: Tensor, c: Tensor) -> Tensor:
        network = self._network
        if branch == network.branches - 1:
            found = self._read(network.velocity_readout, branch, tokens, c)
            if self._noise is None:
                return found
            return self._noise.velocity(found, self._x_t, self._times_kN[branch], network.interpolant)
        if network.intermediate_velocities is not None:
            return self._read(network.intermediate_velocities[branch], branch, tokens, c)
        return self._read(network.intermediate_velocity, branch, tokens, c)

    def _own_velocity(self, branch: int, depth: int, c: Tensor) -> Tensor:
        tokens = self._stream.tokens
        if self._network.detach_heads:
            tokens, c = tokens.detach(), c.detach()
        return self._read(self._network.velocity_heads[str(depth)], branch, tokens, c)

    def _read(self, layer: Any, branch: int, tokens: Tensor, c: Tensor) -> Tensor:
        """The velocity that a read-out gives, or that follows from the clean data which it gives.

        x_t is that of the first branch's time whatever the branch, so the noise follows from the two there.
        """
        found = read(layer, tokens, c, self._x_t)
        self._require_shape("backbone", "a velocity", found, self._x_t)
        if self._network.prediction == "velocity":
            return found
        first, own, path = self._times_kN[0], self._times_kN[branch], self._network.interpolant
        velocity: Tensor = path.velocity_of_clean(self._x_t, found, first, at=own, least=LEAST_SIGMA)
        return velocity

    def _require_shape(self, kind: str, what: str, found: Tensor, like: Tensor) -> None:
        if found.shape == like.shape:
            return
        raise PluginError(
            f"{self._owner(kind)} gives {what} of shape {tuple(found.shape)} where {tuple(like.shape)} is "
            "needed; fix it, and run thalweg plugins check on it"
        )

    def _owner(self, kind: str) -> str:
        owner = getattr(self._network, kind)
        module = type(owner).__module__
        named = self._network.owners.get(kind)
        return f"{named} ({module})" if named else f"{type(owner).__qualname__} of {module}"
