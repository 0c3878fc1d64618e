"""A network as a set of images: whatever is asked for is drawn on the spot."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import attrs
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from thalweg.config import dump
from thalweg.drawing import Drawer
from thalweg.errors import ConfigError
from thalweg.evaluation.captions import Captions
from thalweg.evaluation.datasets import Decoder
from thalweg.evaluation.images import Piece
from thalweg.evaluation.labelling import labels_of
from thalweg.evaluation.settings import CAPTIONING, DrawingConfig
from thalweg.guidance import identities
from thalweg.network_field import VelocityNetwork
from thalweg.types import Condition


@attrs.frozen(eq=False)
class Drawn:
    """Some samples.

    Attributes:
        x: as the network gives them.
        labels: the class that each was drawn for; None without classes.
        captions: the words that each was drawn for; None without, or where nobody knows them.
    """

    x: Float32[Tensor, "N C H W"]
    labels: Int[Tensor, " N"] | None
    captions: Sequence[str] | None


class SampleSource:
    """Samples of a network by index; sample i depends on (seed, i) and nothing else.

    Args:
        network: what is drawn from.
        drawing: sampler, guidance, labels, seed and precision.
        count: how many are going to be drawn.
        classes: those to draw; all by default.
        captions: what samples of a network that reads captions are drawn for.
        device: where the network runs.

    Attributes:
        facts: the network's shape and classes.
        drawing: how samples are drawn, in plain values; the precision is the one that is used.

    Raises:
        ConfigError: if the network reads captions and there are none.
    """

    def __init__(
        self,
        network: VelocityNetwork,
        drawing: DrawingConfig,
        count: int,
        *,
        classes: Sequence[int] | None = None,
        captions: Captions | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.facts = network.facts
        if self.facts.text is not None and captions is None:
            raise ConfigError("the network reads captions, and there are none to draw for; give some")
        self._captions = captions
        self._classes = self._checked(classes)
        named = "none" if self._classes is None else "all" if classes is None else list(classes)
        self._drawer = Drawer(
            network,
            count=count,
            sampler=drawing.sampler,
            guidance=drawing.guidance,
            seed=drawing.seed,
            interpolant=None,
            device=device,
            precision=drawing.precision,
            compile="auto",
        )
        self._rule, self._seed = drawing.labels, drawing.seed
        stated = {name: value for name, value in dump(drawing).items() if name not in CAPTIONING}
        stated["guidance"] = _with_identities(stated["guidance"], identities(self._drawer.guidances))
        self.drawing: Mapping[str, Any] = {
            **stated,
            "precision": self._drawer.precision,
            "classes": named,
            "captions": "none" if captions is None else captions.described,
        }

    @property
    def evaluated(self) -> Fraction:
        """Images that networks were evaluated on so far, times the share of blocks that they passed."""
        return self._drawer.evaluated

    def __call__(self, indices: Sequence[int]) -> Drawn:
        """Draw the samples at these indices, stepped together.

        Raises:
            ThalwegError: naming the first that is not finite.
        """
        labels = None
        if self._classes is not None:
            labels = torch.tensor(labels_of(self._rule, self._classes, self._seed, indices))
        text = None if self._captions is None else self._captions.read(indices)
        return Drawn(
            self._drawer(indices, Condition(labels=labels, text=text)), labels, self.captions(indices)
        )

    def captions(self, indices: Sequence[int]) -> Sequence[str] | None:
        """The words that these samples are drawn for; None without, or where nobody knows them."""
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


def _with_identities(guidance: Any, known: Sequence[Mapping[str, Any]]) -> Any:
    """What guidances are in plain values, with what they depend on beside that."""
    if isinstance(guidance, Mapping):
        return {**guidance, **known[0]}
    if isinstance(guidance, list):
        return [{**one, **more} for one, more in zip(guidance, known, strict=True)]
    return guidance


class NetworkImages:
    """The samples as images.

    Args:
        source: draws them.
        count: how many.
        decoder: turns them into images.
        identity: what is drawn from, such as its checkpoint's SHA-256.

    Attributes:
        identity: as given.
        drawing: how they are drawn, and what decodes them.
        shape: channels, height and width of the images.
        classes: those of the network.
    """

    def __init__(
        self, source: SampleSource, count: int, decoder: Decoder, identity: Mapping[str, Any]
    ) -> None:
        self._source, self._count, self._decoder = source, count, decoder
        self.identity = identity
        self.drawing: Mapping[str, Any] = {**source.drawing, "autoencoder": decoder.autoencoder}
        self.classes = source.facts.classes
        channels, height, width = decoder(torch.zeros(1, *source.facts.shape)).shape[1:]
        self.shape = (channels, height, width)

    def __len__(self) -> int:
        return self._count

    def captions(self, indices: Sequence[int]) -> Sequence[str] | None:
        """What these samples are drawn for, in words; nothing is drawn."""
        return self._source.captions(indices)

    def read(self, start: int, stop: int) -> Piece:
        """Draw samples start..stop-1.

        Raises:
            ThalwegError: if one is not finite.
        """
        drawn = self._source(range(start, stop))
        return Piece(self._decoder(drawn.x), drawn.labels, drawn.captions)
