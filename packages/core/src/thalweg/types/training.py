"""One training step: batch, plan, and what an objective sees and says of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import attrs
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.interpolant import Interpolant
from thalweg.randomness import generator
from thalweg.transfers import moved
from thalweg.types.conditions import Condition
from thalweg.types.networks import Prediction


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
        features = {name: moved(tensor, device) for name, tensor in self.features.items()}
        images = None if self.images is None else moved(self.images, device)
        return Batch(moved(self.clean, device), self.condition.to(device), features, images, self.replaced)


@attrs.frozen(eq=False)
class Plan:
    """The network's query in one training step, and the target.

    Attributes:
        clean: x_0.
        noise: x_1.
        times: t_i of every branch and sample, in [0, 1].
        x_t: the interpolant at the first branch's time, the network's only image input.
        velocity: the target d x_t / d t at the first branch's time (noise - clean if linear).
        interpolant: the path that x_t lies on.
        seed: of what objectives draw besides, by :meth:`Step.generator`.
    """

    clean: Float[Tensor, "N *shape"]
    noise: Float[Tensor, "N *shape"]
    times: Float[Tensor, "k N"]
    x_t: Float[Tensor, "N *shape"]
    velocity: Float[Tensor, "N *shape"]
    interpolant: Interpolant
    seed: int = 0

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
        until: int | None = None,
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

        Raises:
            ConfigError: if something in the network has no forward-mode derivative.
        """
        ...

    def precise(
        self,
        x_t: Float[Tensor, "N *shape"],
        times: Float[Tensor, "k N"] | Float[Tensor, " N"],
        condition: Condition | None = None,
        *,
        last_only: bool = False,
        hidden: tuple[int, ...] = (),
        until: int | None = None,
    ) -> Prediction:
        """Its answer in the type of the weights, float32, whatever training.precision is; no gradients.

        Differences of such answers are worth something, where those of bfloat16 are rounding.
        """
        ...

    def gradients(
        self, step: "Step", losses: Callable[[Prediction], Iterable[Float[Tensor, ""]]]
    ) -> Iterator[Mapping[str, Tensor]]:
        """The gradient of each of several losses of its answer by its weights, one after the other.

        It changes no gradient that is accumulated, and the training loss can still be differentiated.

        Args:
            step: whose question and answer; of compiled code it is answered again without, since its graph
                can be gone through only once.
            losses: of the answer, each a number.

        Returns:
            For each loss the gradients by the names of those trained weights that it depends on.

        Raises:
            ConfigError: if the weights are sharded over processes.
        """
        ...


@attrs.frozen(eq=False)
class Step:
    """What an objective sees of one training step.

    Attributes:
        plan: the network's query, and the target.
        prediction: what it answered.
        batch: the same samples.
        network: the network itself, to ask again.
        averaged: the network with its EMA weights, which gives no gradients.
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

    def generator(self, purpose: str) -> torch.Generator:
        """A generator, on the CPU, of what an objective draws itself; other purposes draw independently.

        Its address is that of the plan, so of the run's seed, the step and the micro-batch: a resumed run
        draws what the uninterrupted one would have, and a validation draws the same each time.
        """
        return generator(self.plan.seed, purpose)


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
