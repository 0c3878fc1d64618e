"""Samples of a network by index, each with its class and caption."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import attrs
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from thalweg.config import dump
from thalweg.errors import ConfigError, ThalwegError
from thalweg.generation.captions import Captions
from thalweg.generation.recording import recorded, recorded_guidances
from thalweg.generation.settings import CAPTIONING, GenerationConfig, LabelRule
from thalweg.guidance import needs_calibration
from thalweg.network_field import VelocityNetwork
from thalweg.network_sampler import NetworkSampler
from thalweg.plugins.recording import with_files
from thalweg.randomness import generator
from thalweg.suggestions import one_line
from thalweg.types import Condition, VelocityField


def labels_of(rule: LabelRule, classes: Sequence[int], seed: int, indices: Sequence[int]) -> list[int]:
    """The classes of the samples at these indices, each a function of (seed, index) alone.

    Args:
        rule: how they are chosen.
        classes: those to choose from, in order.
        seed: of the samples.
        indices: which samples.
    """
    if rule == "balanced":
        return [classes[index % len(classes)] for index in indices]
    draws = (generator(seed, "sample label", index) for index in indices)
    return [classes[int(torch.randint(len(classes), (), generator=one))] for one in draws]


@attrs.frozen(eq=False)
class GeneratedSamples:
    """Some samples.

    Attributes:
        x: as the network gives them.
        labels: the class of each; None without classes.
        captions: of each, in words; None without, or where only their encoding is stored.
    """

    x: Float32[Tensor, "N C H W"]
    labels: Int[Tensor, " N"] | None
    captions: Sequence[str] | None


class SampleSource:
    """Samples of a network by index; sample i depends on (seed, i) and nothing else.

    Args:
        network: what is sampled from.
        sampling: sampler, guidance, labels, seed and precision.
        count: how many samples there are going to be.
        classes: those to generate; all by default.
        captions: of the samples of a network that reads captions.
        device: where the network runs.

    Attributes:
        network: as given.
        facts: its shape and classes.
        sampling: how samples are generated, in plain values; the precision is the one that is used.
        calibration: digest of what was measured of the network's heads, if its guidance depends on that.

    Raises:
        ConfigError: if the network reads captions and there are none.
    """

    def __init__(
        self,
        network: VelocityNetwork,
        sampling: GenerationConfig,
        count: int,
        *,
        classes: Sequence[int] | None = None,
        captions: Captions | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.network, self.facts = network, network.facts
        if self.facts.text is not None and captions is None:
            raise ConfigError(
                "the network reads captions, and there are none; give prompts or a data set with captions"
            )
        self._captions = captions
        self._classes = self._checked(classes)
        named = "none" if self._classes is None else "all" if classes is None else list(classes)
        self._options: dict[str, Any] = {
            "seed": sampling.seed,
            "interpolant": None,
            "device": device,
            "precision": sampling.precision,
        }
        self._sampler = NetworkSampler(
            network,
            count=count,
            sampler=sampling.sampler,
            guidance=sampling.guidance,
            compile="auto",
            **self._options,
        )
        self._rule, self._seed = sampling.labels, sampling.seed
        measured = getattr(network, "calibration", None)
        guided = any(map(needs_calibration, self._sampler.guidances))
        self.calibration: str | None = measured.sha256 if guided and measured is not None else None
        stated = {name: value for name, value in dump(sampling).items() if name not in CAPTIONING}
        self.sampling: Mapping[str, Any] = {
            **stated,
            "sampler": recorded(stated["sampler"], self._sampler.sampler, sampling.sampler),
            "guidance": recorded_guidances(stated["guidance"], self._sampler.guidances, sampling.guidance),
            "precision": self._sampler.precision,
            "classes": named,
            "captions": "none" if captions is None else captions.described,
        }

    def identified(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """The identity of a network, with all else of this one on which samples depend: the plugin files that
        it is from, and what was measured of its heads."""
        measured = {} if self.calibration is None else {"calibration": self.calibration}
        return with_files({**identity, **measured}, self.network)

    @property
    def total_nfe(self) -> Fraction:
        """NFE of all samples so far."""
        return self._sampler.total_nfe

    def __call__(self, indices: Sequence[int]) -> GeneratedSamples:
        """Generate the samples at these indices, stepped together.

        Raises:
            ThalwegError: naming the first that is not finite.
        """
        condition = self._condition(indices)
        return GeneratedSamples(self._sampler(indices, condition), condition.labels, self.captions(indices))

    def try_out(self) -> None:
        """Ask the guided network once, for sample 0 where it is noise; that is not counted.

        Raises:
            ThalwegError: it does not answer, or not with a velocity.
        """
        # Uncompiled: a batch of one must not decide what is compiled for those to come.
        probe = NetworkSampler(
            self.network,
            count=1,
            sampler=_velocity_at_noise,
            guidance=self._sampler.guidances,
            compile="off",
            **self._options,
        )
        try:
            with torch.compiler.set_stance("force_eager"):
                x = probe([0], self._condition([0]))
        except ThalwegError:
            raise
        except Exception as error:
            raise ThalwegError(
                f"the network does not answer where its sampler begins, at noise of shape "
                f"{(1, *self.facts.shape)} and time 1 ({one_line(error)}); call it so, and see where"
            ) from error
        if x.shape[1:] != self.facts.shape:
            raise ThalwegError(
                f"the network's velocity has the shape {tuple(x.shape[1:])}, and its facts say "
                f"{self.facts.shape}; it must be of the shape of x"
            )

    def _condition(self, indices: Sequence[int]) -> Condition:
        labels = None
        if self._classes is not None:
            labels = torch.tensor(labels_of(self._rule, self._classes, self._seed, indices))
        return Condition(labels=labels, text=None if self._captions is None else self._captions.read(indices))

    def captions(self, indices: Sequence[int]) -> Sequence[str] | None:
        """Their captions in words; None without, or where only their encoding is stored."""
        return None if self._captions is None else self._captions.words(indices)

    def _checked(self, classes: Sequence[int] | None) -> Sequence[int] | None:
        known = self.facts.classes
        if known is None:
            if classes is not None:
                raise ConfigError("labels were given, but the network is unconditional; leave them out")
            return None
        wrong = [label for label in classes or [] if not 0 <= label < known]
        if wrong:
            raise ConfigError(f"there is no class {wrong[0]}; the network knows the classes 0 to {known - 1}")
        return range(known) if classes is None else classes


def _velocity_at_noise(field: VelocityField, x_1: Tensor, *_: Any) -> Tensor:
    """A sampler that takes no step: the velocity where all begin."""
    return field(x_1, torch.ones(len(x_1), dtype=torch.float64))
