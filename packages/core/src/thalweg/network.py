"""FlowNetwork: a backbone cut into branches, a refiner between them, read-outs at their ends.

It alone knows how the three meet, so any refiner works between the branches of any backbone.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg import asked, stated
from thalweg.branches import Branches, as_heads, ends_of
from thalweg.errors import ConfigError, PluginError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.stated import check_parts, check_whole, made_of, names_of
from thalweg.types import Boundary, Condition, Head, Prediction, Refinement, Stream

_Answer = TypeVar("_Answer")


class FlowNetwork(nn.Module):
    """Predicts a velocity at the end of each of k branches (DeepFlow, section 3.2).

    Args:
        backbone: fulfils :class:`thalweg.protocols.Backbone`; its depth, width, heads and grid are read off.
        refiner: fulfils :class:`thalweg.protocols.Refiner`; None with one branch.
        branches: how many equal ones, or the depths at which they end, the last one the backbone's depth.
        facts: shape and classes of the data; what the parts tell is filled in.
        interpolant: the path whose velocity it predicts, or its name.
        intermediate_readouts: whether the branches before the last share one read-out, as in the paper, or
            have each its own.
        composition: what :func:`thalweg.compose` takes to build it again; of a network that was put together
            by hand, what its parts are.

    Raises:
        ConfigError: if the parts do not go together.
        PluginError: if the refiner's ``readouts`` are no names.

    Attributes:
        facts: of data, backbone, branches and refiner.
        sampling: how its run draws, a recipe's ``[sampling]`` in plain values; empty where none is known.
            :func:`thalweg.load` sets it, and :func:`thalweg.sample` takes of it what is not given.
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
        composition: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_parts(backbone, facts)
        ends = ends_of(branches, backbone.depth, refined=refiner is not None)
        names = () if refiner is None else names_of(refiner)
        self.facts = attrs.evolve(
            facts,
            branches=len(ends),
            ends=ends,
            depth=backbone.depth,
            width=backbone.width,
            heads=backbone.heads,
            grid=tuple(backbone.grid),
            readouts=names,
        )
        path = interpolant if isinstance(interpolant, Interpolant) else Interpolant.named(interpolant)
        self.interpolant = path
        by_hand = stated.composition(
            made_of(backbone),
            made_of(refiner),
            branches,
            path.stated,
            intermediate_readouts,
        )
        self.composition: dict[str, Any] = by_hand if composition is None else dict(composition)
        check_whole(self.composition)
        self.sampling: Mapping[str, Any] = {}
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
    ) -> Prediction:
        """Velocities of all branches, and what the refiner's features read.

        Args:
            x_t: the noisy data at the first branch's time.
            times: a time per branch and sample, 0 (data) to 1 (noise); one a sample stands for all branches.
            condition: labels; None means unconditional.
            last_only: skip what only the training loss reads.
            hidden: depths after which to keep the tokens; at a boundary, what the next branch reads.

        Raises:
            DataError: if a shape or type does not fit, or a label or time on the CPU lies outside its range.
                (Those on a device are checked where they enter, since reading them back would stall it.)
            ConfigError: if a depth lies outside 1..depth.
        """
        condition = Condition() if condition is None else condition
        if torch.compiler.is_compiling():
            return self._flow(x_t, self._all(times), condition, last_only, tuple(sorted(set(hidden))))
        asked.check_samples("x_t", x_t, self.facts)
        asked.check_times("times", times, len(x_t), self.branches)
        asked.check_condition(condition, self.facts, x_t)
        depths = asked.check_hidden(hidden, self.facts.depth)
        return self._told(
            lambda: self._flow(x_t, self._all(times), condition, last_only, depths), x_t, times, condition
        )

    def velocity(
        self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"], condition: Condition
    ) -> Float[Tensor, "N *shape"]:
        """The last branch's velocity with all branches at the same time, as in sampling.

        Raises:
            DataError: if an argument does not fit, as of :meth:`forward`.
        """
        if not torch.compiler.is_compiling():
            asked.check_samples("x", x, self.facts)
            asked.check_times("t", t, len(x))
        t = t.to(device=x.device, dtype=x.dtype)
        prediction: Prediction = self(x, t, condition, last_only=True)
        return prediction.velocities[-1]

    def heads(
        self,
        x: Float[Tensor, "N *shape"],
        t: Float[Tensor, " N"],
        condition: Condition | None,
        wanted: Sequence[Head | int],
    ) -> tuple[Float[Tensor, "N *shape"], ...]:
        """The velocities that some of its heads read in one pass, which ends with the last branch wanted.

        Args:
            x: the noisy data.
            t: their times, which all branches take.
            condition: what they are conditioned on.
            wanted: which heads; a bare number is that branch's, from 0, and -1 is the last one.

        Raises:
            DataError: if an argument does not fit, as of :meth:`forward`.
            ConfigError: if there is no such head.
        """
        chosen = as_heads(wanted, self.branches)
        condition = Condition() if condition is None else condition
        asked.check_samples("x", x, self.facts)
        asked.check_times("t", t, len(x))
        asked.check_condition(condition, self.facts, x)
        t = t.to(device=x.device, dtype=x.dtype)
        found = self._told(lambda: self._heads(x, self._all(t), condition, set(chosen)), x, t, condition)
        return tuple(found[head] for head in chosen)

    def share(self, wanted: Sequence[Head | int] = (-1,)) -> float:
        """The share of its blocks that a pass for these heads goes through.

        Raises:
            ConfigError: if there is no such head.
        """
        last = max(head.branch for head in as_heads(wanted, self.branches))
        return self.facts.ends[last] / self.facts.depth

    def readout(self, name: str) -> nn.Module:
        """The layer that reads the refiner's features of that name."""
        return self.get_submodule(_layer(name))

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
        for name, child in self.named_children():
            if isinstance(child, nn.ModuleList):
                yield from child
            elif name in ("backbone", "refiner"):
                for blocks in (one for one in child.children() if isinstance(one, nn.ModuleList)):
                    yield from blocks
            else:
                yield child

    def _all(self, times: Tensor) -> Tensor:
        return times if times.dim() == 2 else times.expand(self.branches, -1)

    def _flow(
        self, x_t: Tensor, times_kN: Tensor, condition: Condition, last_only: bool, hidden: tuple[int, ...]
    ) -> Prediction:
        stream = self.backbone.embed(x_t, condition)
        patch_tokens, last = stream.tokens, self.branches - 1
        velocities: list[Tensor] = []
        read: dict[str, list[Tensor]] = {} if last_only else {name: [] for name in self.facts.readouts}
        kept: dict[int, Tensor] = {}
        for branch, end in enumerate(self.facts.ends):
            stream, c = self._branch(stream, branch, times_kN[branch], condition, hidden, kept)
            if branch == last or not last_only:
                velocities.append(self._velocity(branch, stream.tokens, c, x_t))
            if branch < last:
                refinement = self._refine(stream, branch, patch_tokens, c, times_kN)
                for name, found in read.items():
                    found.append(self.readout(name)(refinement.features[name], c))
                stream = stream.with_tokens(refinement.tokens)
            if end in hidden:
                kept[end] = stream.tokens
        return Prediction(tuple(velocities), {name: tuple(found) for name, found in read.items()}, kept)

    def _heads(
        self, x_t: Tensor, times_kN: Tensor, condition: Condition, wanted: set[Head]
    ) -> dict[Head, Tensor]:
        stream = self.backbone.embed(x_t, condition)
        patch_tokens, last = stream.tokens, max(head.branch for head in wanted)
        found: dict[Head, Tensor] = {}
        for branch in range(last + 1):
            stream, c = self._branch(stream, branch, times_kN[branch], condition, (), {})
            before, after = Head(branch), Head(branch, refined=True)
            if before in wanted:
                found[before] = self._velocity(branch, stream.tokens, c, x_t)
            if branch < last or after in wanted:
                stream = stream.with_tokens(self._refine(stream, branch, patch_tokens, c, times_kN).tokens)
            if after in wanted:
                found[after] = self._velocity(branch, stream.tokens, c, x_t)
        return found

    def _branch(
        self,
        stream: Stream,
        branch: int,
        t: Tensor,
        condition: Condition,
        hidden: tuple[int, ...],
        kept: dict[int, Tensor],
    ) -> tuple[Stream, Tensor]:
        """The stream at the end of a branch, and the condition vector there; fills ``kept`` on the way."""
        ends = self.facts.ends
        start, stop = ends[branch - 1] if branch else 0, ends[branch]
        c = self.backbone.condition(t, condition)
        for depth in [one for one in hidden if start < one < stop]:
            stream, start = self.backbone.run(stream, c, start, depth), depth
            kept[depth] = stream.tokens
        return self.backbone.run(stream, c, start, stop), c

    def _velocity(self, branch: int, tokens: Tensor, c: Tensor, like: Tensor) -> Tensor:
        if branch == self.branches - 1:
            layer: Any = self.velocity_readout
        elif self.intermediate_velocities is not None:
            layer = self.intermediate_velocities[branch]
        else:
            layer = self.intermediate_velocity
        velocity: Tensor = layer(tokens, c)
        self._require_shape("backbone", "a velocity", velocity, like)
        return velocity

    def _refine(
        self, stream: Stream, branch: int, patch_tokens: Tensor, c: Tensor, times_kN: Tensor
    ) -> Refinement:
        boundary = Boundary(branch, patch_tokens, c, times_kN[branch], times_kN[branch + 1])
        refinement: Refinement = self.refiner(stream, boundary)
        self._require_shape("refiner", "tokens", refinement.tokens, stream.tokens)
        missing = [name for name in self.facts.readouts if name not in refinement.features]
        if missing:
            raise PluginError(
                f"{self._owner('refiner')} states the read-out '{missing[0]}' and its refinement has no such "
                "features; put them into Refinement.features, and run thalweg plugins check on it"
            )
        return refinement

    def _told(self, answer: Callable[[], _Answer], x: Tensor, times: Tensor, condition: Condition) -> _Answer:
        """The answer; if it fails because inputs are elsewhere or of another type, that is told."""
        try:
            return answer()
        except (RuntimeError, TypeError) as error:
            inputs = {"x_t": x, "times": times, "condition.dropped": condition.dropped}
            if condition.text is not None:
                inputs["condition.text"] = condition.text.tokens
            fault = asked.explain(error, next(self.parameters(), None), inputs)
            if fault is None:
                raise
            raise fault from error

    def _require_shape(self, kind: str, what: str, found: Tensor, like: Tensor) -> None:
        if found.shape == like.shape:
            return
        raise PluginError(
            f"{self._owner(kind)} gives {what} of shape {tuple(found.shape)} where {tuple(like.shape)} is "
            "needed; fix it, and run thalweg plugins check on it"
        )

    def _owner(self, kind: str) -> str:
        owner = self.backbone if kind == "backbone" else self.refiner
        module = type(owner).__module__
        named = self.owners.get(kind)
        return f"{named} ({module})" if named else f"{type(owner).__qualname__} of {module}"


def _layer(name: str) -> str:
    return f"{name}_readout"
