"""The nouns of Thalweg: the small immutable values that pass between components.

Shape legend, used in annotations and as suffixes of names:

=====  ==========================================================================
``N``  samples of a batch
``C``  channels of a latent (or of an image in pixel space)
``H``  ``W``  height and width of a latent
``T``  tokens (patches) of an image
``L``  tokens of a context, such as a caption
``D``  width of the transformer
``k``  branches of the network
``E``  width of a context's tokens, as its encoder gives them
``F``  features of an extractor or teacher
=====  ==========================================================================

What enters or leaves a forward pass is a named tuple, which torch.compile, data-parallel wrappers and
FSDP's hooks see through; the rest is frozen attrs.

Time runs from data to noise: t = 0 is data, t = 1 is noise, and the velocity is d x_t / d t
(DeepFlow, equation 1).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import attrs
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64, UInt8
from torch import Tensor

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant

__all__ = [
    "Batch",
    "Boundary",
    "Condition",
    "ConditionalField",
    "EncodedCaptions",
    "Facts",
    "Features",
    "Head",
    "Increments",
    "ObjectiveValue",
    "Plan",
    "Prediction",
    "Query",
    "Refinement",
    "Step",
    "Stream",
    "Text",
    "VelocityField",
]

VelocityField = Callable[[Tensor, Tensor], Tensor]
"""``velocity(x, t_N) -> velocity`` for x of any shape (N, ...). Times are float64 on the CPU, so that
deciding on them never waits for a device; the velocity comes back in the dtype and on the device of ``x``.

A field may offer three things besides, and samplers do without them where it does not:
``select(index_n)``, the field of those samples alone, with which an adaptive sampler leaves out those
that have arrived; ``breaks``, the times at which the field jumps, as guidance within an interval makes
it do; and ``during(t_N)``, the field as it is on t's side of those jumps, for all stages of one step."""

Increments = Callable[[int], Tensor]
"""``increments(step) -> N(0, I) draws of x's shape``, for step 0, 1, ... of a stochastic sampler,
asked for in that order."""


class Text(NamedTuple):
    """Encoded captions, and what stands in for one that is hidden.

    Attributes:
        tokens: what the encoder made of each caption, padded to L tokens.
        mask: True where there is a token, False where there is padding.
        empty_tokens: the encoder's own empty caption.
        empty_mask: its mask.
    """

    tokens: Float[Tensor, "N L E"]
    mask: Bool[Tensor, "N L"]
    empty_tokens: Float[Tensor, "L E"]
    empty_mask: Bool[Tensor, " L"]

    def each(self, function: Callable[[Tensor], Tensor]) -> "Text":
        """The captions with ``function`` applied to what is there once a sample."""
        return self._replace(tokens=function(self.tokens), mask=function(self.mask))

    def to(self, device: torch.device | str) -> "Text":
        """The same captions on another device."""
        return Text(*(tensor.to(device) for tensor in self))


class EncodedCaptions(NamedTuple):
    """What a text encoder makes of captions.

    Attributes:
        tokens: of each caption, padded.
        mask: True where there is a token, False where there is padding.
        cut: how many captions were too long and lost their end.
    """

    tokens: Float[Tensor, "N L E"]
    mask: Bool[Tensor, "N L"]
    cut: int


class Condition(NamedTuple):
    """What a sample is conditioned on.

    Attributes:
        labels: class of each sample, 0..classes-1; None where there are no classes, or where the whole
            batch is unconditional.
        dropped: samples whose label and caption are hidden from the network (they take the null class and
            the empty caption), as classifier-free guidance asks for; None where none is.
        text: caption of each sample; None where there are none.
    """

    labels: Int[Tensor, " N"] | None = None
    dropped: Bool[Tensor, " N"] | None = None
    text: Text | None = None

    def null(self) -> "Condition":
        """The same samples with everything hidden: the unconditional half of guidance."""
        return self if self._first() is None else self._replace(dropped=torch.ones_like(self.hidden()))

    def select(self, index: Tensor) -> "Condition":
        """The samples that ``index`` (integers or a mask) picks."""
        return self._each(lambda tensor: tensor[index.to(tensor.device)])

    def to(self, device: torch.device | str) -> "Condition":
        """The same condition on another device."""
        text = None if self.text is None else self.text.to(device)
        return self._each(lambda tensor: tensor.to(device))._replace(text=text)

    def join(self, other: "Condition") -> "Condition":
        """Both batches in one, this one first. Both hold labels or neither does; the same for text."""
        if self._first() is None or other._first() is None:
            return self
        text = None
        if self.text is not None and other.text is not None:
            text = self.text._replace(
                tokens=torch.cat([self.text.tokens, other.text.tokens]),
                mask=torch.cat([self.text.mask, other.text.mask]),
            )
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = torch.cat([self.labels, other.labels])
        return Condition(labels, torch.cat([self.hidden(), other.hidden()]), text)

    def hidden(self) -> Bool[Tensor, " N"]:
        """``dropped`` written out, False where it is None. Needs labels or text."""
        first = self._first()
        if first is None:
            raise ValueError("a condition without labels and text has nothing to hide")
        if self.dropped is None:
            return torch.zeros(len(first), dtype=torch.bool, device=first.device)
        return self.dropped

    def _first(self) -> Tensor | None:
        """Whatever tells how many samples there are."""
        return self.labels if self.text is None else self.text.mask

    def _each(self, function: Callable[[Tensor], Tensor]) -> "Condition":
        labels, dropped = (None if one is None else function(one) for one in (self.labels, self.dropped))
        return Condition(labels, dropped, None if self.text is None else self.text.each(function))


class Query(NamedTuple):
    """What a conditional field is asked: one row a sample, and all rows stay aligned.

    Attributes:
        x: where.
        t: when, float64 on the CPU.
        condition: under what.
        side: the time that tells on which side of a jump of the field a sample is, likewise on the CPU; None
            where that is t itself.
    """

    x: Float[Tensor, "N *shape"]
    t: Float64[Tensor, " N"]
    condition: Condition
    side: Float64[Tensor, " N"] | None = None

    @property
    def decides(self) -> Float64[Tensor, " N"]:
        """The time that an interval looks at."""
        return self.t if self.side is None else self.side

    def select(self, index: Tensor) -> "Query":
        """The samples that ``index`` (integers or a mask) picks."""
        side = None if self.side is None else self.side[index]
        return Query(self.x[index], self.t[index], self.condition.select(index), side)

    def join(self, other: "Query") -> "Query":
        """Both in one, this one first."""
        sides = None
        if self.side is not None or other.side is not None:
            sides = torch.cat([self.decides, other.decides])
        return Query(
            torch.cat([self.x, other.x]),
            torch.cat([self.t, other.t]),
            self.condition.join(other.condition),
            sides,
        )

    def null(self) -> "Query":
        """The same samples with their conditions hidden."""
        return self._replace(condition=self.condition.null())


ConditionalField = Callable[[Query], Tensor]
"""``field(query) -> velocity`` of the shape, dtype and device of ``query.x``: what guidance maps to another.

It may offer ``breaks``, the times at which it jumps. The innermost one is the network, and offers two things
besides: ``heads(query, wanted)``, the velocities that some of its heads read, in one pass that ends with the
last branch wanted; and ``beside(network)``, the field of another network, evaluated in the same precision on
the same device and counted with it. ``beside`` is passed on outwards."""


@attrs.frozen(eq=False)
class Batch:
    """One batch of a data set.

    Attributes:
        clean: the data, scaled as the network sees them.
        condition: what each sample is conditioned on.
        features: patch tokens that frozen teachers saw in the clean images, by the teacher's name, where
            the data set stores them; row by row on the teacher's grid.
        images: the clean images 0..255, where an objective asks for them and the data set has them.
        replaced: how many of the samples stand in for damaged ones.
    """

    clean: Float[Tensor, "N *shape"]
    condition: Condition
    features: Mapping[str, Float[Tensor, "N _ F"]] = attrs.field(factory=dict)
    images: UInt8[Tensor, "N channels height width"] | None = None
    replaced: int = 0

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        features = {name: tensor.to(device) for name, tensor in self.features.items()}
        images = None if self.images is None else self.images.to(device)
        return Batch(self.clean.to(device), self.condition.to(device), features, images, self.replaced)


@attrs.frozen(eq=False)
class Plan:
    """What the network is asked in one training step, and the right answer.

    Attributes:
        clean: x_0.
        noise: x_1.
        times: t_i of every branch and sample, in [0, 1].
        x_t: the interpolant at the first branch's time, the network's only image input.
        velocity: the target d x_t / d t at the first branch's time (noise - clean if linear).
        interpolant: the path that x_t lies on.
    """

    clean: Float[Tensor, "N *shape"]
    noise: Float[Tensor, "N *shape"]
    times: Float[Tensor, "k N"]
    x_t: Float[Tensor, "N *shape"]
    velocity: Float[Tensor, "N *shape"]
    interpolant: Interpolant

    @classmethod
    def at(
        cls,
        clean: Float[Tensor, "N *shape"],
        noise: Float[Tensor, "N *shape"],
        times: Float[Tensor, "k N"],
        interpolant: Interpolant,
    ) -> "Plan":
        """The plan of given data, noise and times: x_t and velocity are those of the first branch's time."""
        x_t = interpolant.x_t(clean, noise, times[0])
        return cls(clean, noise, times, x_t, interpolant.velocity(clean, noise, times[0]), interpolant)

    def x_at(self, branch: int) -> Float[Tensor, "N *shape"]:
        """The interpolant at the time of a branch (from 0), with the same noise."""
        return self.x_t if branch == 0 else self.interpolant.x_t(self.clean, self.noise, self.times[branch])


class Stream(NamedTuple):
    """What flows through a backbone's blocks.

    Attributes:
        tokens: image tokens.
        context: tokens of a context that runs beside them, for backbones that have one.
        context_mask: True where the context has a token and no padding.
    """

    tokens: Float[Tensor, "N T D"]
    context: Float[Tensor, "N L D"] | None = None
    context_mask: Bool[Tensor, "N L"] | None = None

    def with_tokens(self, tokens: Float[Tensor, "N T D"]) -> "Stream":
        """The same context beside other image tokens."""
        return self._replace(tokens=tokens)


class Boundary(NamedTuple):
    """Where a refiner stands: between a branch and the next one.

    Attributes:
        number: of the branch that ended, from 0: 0..k-2.
        patch_tokens: input of block 1, the noisy data with positions.
        c: the condition vector that the branch's blocks were modulated by.
        time: t_i of the branch that ended.
        next_time: t_{i+1} of the one that follows.
    """

    number: int
    patch_tokens: Float[Tensor, "N T D"]
    c: Float[Tensor, "N D"]
    time: Float[Tensor, " N"]
    next_time: Float[Tensor, " N"]

    @property
    def gap(self) -> Float[Tensor, " N"]:
        """t_{i+1} - t_i."""
        return self.next_time - self.time


class Refinement(NamedTuple):
    """What a refiner hands on from one branch to the next.

    Attributes:
        tokens: what the next branch reads.
        features: what its read-outs read, by the names in the refiner's ``readouts``.
    """

    tokens: Float[Tensor, "N T D"]
    features: Mapping[str, Float[Tensor, "N T D"]] = MappingProxyType({})


class Head(NamedTuple):
    """One of the places at which a network reads a velocity.

    Attributes:
        branch: at the end of which branch, from 0; -1 is the last.
        refined: from the tokens that the refiner hands on there, in place of those that the branch wrote.
    """

    branch: int
    refined: bool = False


class Prediction(NamedTuple):
    """What the network answers.

    Attributes:
        velocities: one per branch, the last one being the model's velocity; only the last one if
            the network was asked for nothing more.
        readouts: what the refiner's features read, by name, one per boundary; empty if the network was
            asked for nothing more.
        hidden: hidden states by the number of blocks passed; at a boundary, what the next branch reads.
    """

    velocities: tuple[Float[Tensor, "N *shape"], ...]
    readouts: Mapping[str, tuple[Float[Tensor, "N *shape"], ...]] = MappingProxyType({})
    hidden: Mapping[int, Float[Tensor, "N T D"]] = MappingProxyType({})


class AskedNetwork(Protocol):
    """A network as an objective may ask it again."""

    def __call__(
        self,
        x_t: Float[Tensor, "N *shape"],
        times: Float[Tensor, "k N"] | Float[Tensor, " N"],
        condition: Condition | None = None,
        *,
        last_only: bool = False,
        hidden: tuple[int, ...] = (),
    ) -> Prediction:
        """As :meth:`thalweg.network.FlowNetwork.forward`."""
        ...


class TrainedNetwork(AskedNetwork, Protocol):
    """The network that is trained, as an objective may ask it again: with gradients."""

    def jvp(
        self,
        x_t: Float[Tensor, "N *shape"],
        times: Float[Tensor, "k N"],
        condition: Condition | None,
        d_x: Float[Tensor, "N *shape"],
        d_times: Float[Tensor, "k N"],
    ) -> Prediction:
        """The derivative of its answer along (d_x, d_times): a Jacobian-vector product, without gradients.

        It is computed in the type of the weights, float32, whatever training.precision is.

        Args:
            x_t: where.
            times: when, one a branch and sample.
            condition: held fixed.
            d_x: direction in x_t.
            d_times: direction in the times.
        """
        ...


@attrs.frozen(eq=False)
class Step:
    """What an objective sees of one training step.

    Attributes:
        plan: what the network was asked, and the right answer.
        prediction: what it answered.
        batch: the same samples.
        network: the network itself, to ask again.
        averaged: the network with its averaged weights, which gives no gradients.
        number: of the step, counted from 0.
        total: steps of the whole run.
    """

    plan: Plan
    prediction: Prediction
    batch: Batch
    network: TrainedNetwork
    averaged: AskedNetwork
    number: int = 0
    total: int = 1


@attrs.frozen(eq=False)
class ObjectiveValue:
    """What an objective says of one batch.

    Attributes:
        total: the loss of each sample, to be averaged, weighted and differentiated; of an objective that
            is a loss of the batch, one number.
        parts: batch means worth a curve of their own, such as each branch's error; detached.
    """

    total: Float[Tensor, " N"] | Float[Tensor, ""]
    parts: Mapping[str, Float[Tensor, ""]] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Features:
    """What an extractor sees in a batch of images.

    Attributes:
        pooled: one feature vector per image.
        logits: class scores per image, where the extractor is a classifier.
        spatial: one vector per image that keeps places apart, where the extractor offers one, as sFID
            takes it.
        captions: one vector per caption in the space of ``pooled``, where the extractor reads captions.
        said: a number per image that stands for its caption's words, equal for equal captions; None where
            images have none. The evaluation sets it, no extractor needs to.
    """

    pooled: Float[Tensor, "N F"]
    logits: Float[Tensor, "N classes"] | None = None
    spatial: Float[Tensor, "N S"] | None = None
    captions: Float[Tensor, "N F"] | None = None
    said: Int64[Tensor, " N"] | None = None
