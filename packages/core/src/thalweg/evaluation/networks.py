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
from thalweg.errors import ConfigError, ThalwegError
from thalweg.evaluation.captions import Captions
from thalweg.evaluation.datasets import Decoder
from thalweg.evaluation.images import Piece
from thalweg.evaluation.labelling import labels_of
from thalweg.evaluation.recording import recorded, recorded_guidances
from thalweg.evaluation.settings import CAPTIONING, DrawingConfig
from thalweg.network_field import VelocityNetwork
from thalweg.suggestions import one_line
from thalweg.types import Condition, VelocityField


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
        network: as given.
        facts: its shape and classes.
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
        self.network, self.facts = network, network.facts
        if self.facts.text is not None and captions is None:
            raise ConfigError("the network reads captions, and there are none to draw for; give some")
        self._captions = captions
        self._classes = self._checked(classes)
        named = "none" if self._classes is None else "all" if classes is None else list(classes)
        self._options: dict[str, Any] = {
            "seed": drawing.seed,
            "interpolant": None,
            "device": device,
            "precision": drawing.precision,
        }
        self._drawer = Drawer(
            network,
            count=count,
            sampler=drawing.sampler,
            guidance=drawing.guidance,
            compile="auto",
            **self._options,
        )
        self._rule, self._seed = drawing.labels, drawing.seed
        stated = {name: value for name, value in dump(drawing).items() if name not in CAPTIONING}
        self.drawing: Mapping[str, Any] = {
            **stated,
            "sampler": recorded(stated["sampler"], self._drawer.sampler, drawing.sampler),
            "guidance": recorded_guidances(stated["guidance"], self._drawer.guidances, drawing.guidance),
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
        condition = self._condition(indices)
        return Drawn(self._drawer(indices, condition), condition.labels, self.captions(indices))

    def try_out(self) -> None:
        """Ask the guided network once, for sample 0 where it is noise; that counts as no evaluation.

        Raises:
            ThalwegError: it does not answer, or not with a velocity.
        """
        # Uncompiled: a batch of one must not decide what is compiled for those to come.
        drawer = Drawer(
            self.network,
            count=1,
            sampler=_velocity_at_noise,
            guidance=self._drawer.guidances,
            compile="off",
            **self._options,
        )
        try:
            with torch.compiler.set_stance("force_eager"):
                x = drawer([0], self._condition([0]))
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


def _velocity_at_noise(field: VelocityField, x_1: Tensor, *_: Any) -> Tensor:
    """A sampler that takes no step: the velocity where all begin."""
    return field(x_1, torch.ones(len(x_1), dtype=torch.float64))


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

    Raises:
        ConfigError: what they are shown as is no image.
    """

    def __init__(
        self, source: SampleSource, count: int, decoder: Decoder, identity: Mapping[str, Any]
    ) -> None:
        self._source, self._count, self._decoder = source, count, decoder
        self.identity = identity
        self.drawing: Mapping[str, Any] = {**source.drawing, "autoencoder": decoder.autoencoder}
        self.classes = source.facts.classes
        shown = decoder(torch.zeros(1, *source.facts.shape))
        if shown.ndim != 4 or shown.dtype != torch.uint8 or shown.shape[1] not in (1, 3):
            raise ConfigError(
                f"evaluate judges images, uint8 of 1 or 3 channels; samples of shape {source.facts.shape} "
                f"are shown as {shown.dtype} of shape {tuple(shown.shape[1:])}, so name an autoencoder that "
                "makes images of them"
            )
        channels, height, width = shown.shape[1:]
        self.shape = (channels, height, width)

    def __len__(self) -> int:
        return self._count

    @property
    def evaluated(self) -> Fraction:
        """Images that the network was evaluated on so far."""
        return self._source.evaluated

    def try_out(self) -> None:
        """As :meth:`SampleSource.try_out`."""
        self._source.try_out()

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
