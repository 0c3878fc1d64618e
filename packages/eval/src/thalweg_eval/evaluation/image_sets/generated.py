"""A network's samples as a set of images: each range is generated when it is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch

from thalweg.errors import ConfigError
from thalweg.generation.models import model_at
from thalweg.generation.network_samples import NetworkSamples, SavedNetworkSamples
from thalweg.image_sets.images import Piece
from thalweg.loading import load
from thalweg.network_field import VelocityNetwork


@attrs.frozen(kw_only=True)
class GeneratedImagesConfig(SavedNetworkSamples):
    """Samples of a saved network as images."""

    def open(self, device: torch.device | str) -> "GeneratedImages":
        """Load the network and what turns its samples into images."""
        network, model = load(self.model, device=device), model_at(self.model)
        assert model is not None  # noqa: S101 - it was loaded
        self.measure(network)
        return GeneratedImages(self, network, model.identity, device)


class GeneratedImages:
    """The samples as images.

    Args:
        samples: how many, and how they are generated and decoded.
        network: what generates them.
        identity: what the network is, such as its checkpoint's SHA-256.
        device: where the network runs.

    Attributes:
        source: generates them.
        identity: as given, with the plugin files that the network is from, and a digest of what was measured
            of its heads if its guidance depends on that.
        sampling: how they are generated, and what decodes them.
        shape: channels, height and width of the images.
        classes: those of the network.

    Raises:
        ConfigError: what they are shown as is no image.
    """

    def __init__(
        self,
        samples: NetworkSamples,
        network: VelocityNetwork,
        identity: Mapping[str, Any],
        device: torch.device | str,
    ) -> None:
        self.source, self._count = samples.source_of(network, device), samples.count
        self._decoder = samples.decoder(device, network.facts)
        self.identity: Mapping[str, Any] = self.source.identified(identity)
        self.sampling: Mapping[str, Any] = {**self.source.sampling, "autoencoder": self._decoder.autoencoder}
        facts = self.source.facts
        self.classes = facts.classes
        shown = self._decoder(torch.zeros(1, *facts.shape))
        if shown.ndim != 4 or shown.dtype != torch.uint8 or shown.shape[1] not in (1, 3):
            raise ConfigError(
                f"evaluate takes images, uint8 of 1 or 3 channels; samples of shape {facts.shape} are shown "
                f"as {shown.dtype} of shape {tuple(shown.shape[1:])}, so name an autoencoder that makes "
                "images of them"
            )
        channels, height, width = shown.shape[1:]
        self.shape = (channels, height, width)

    def __len__(self) -> int:
        return self._count

    def captions(self, indices: Sequence[int]) -> Sequence[str] | None:
        """What these samples are generated for, in words; nothing is generated."""
        return self.source.captions(indices)

    def read(self, start: int, stop: int) -> Piece:
        """Draw samples start..stop-1.

        Raises:
            ThalwegError: if one is not finite.
        """
        drawn = self.source(range(start, stop))
        return Piece(self._decoder(drawn.x), drawn.labels, drawn.captions)
