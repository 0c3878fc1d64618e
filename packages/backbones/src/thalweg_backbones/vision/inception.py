"""The vision encoder by whose features FID, sFID, KID and the inception score are defined."""

import attrs
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from thalweg.config import url_field
from thalweg.data.pixels import rgb
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.naming import qualified
from thalweg.storage import Location
from thalweg.types import Features
from thalweg_backbones.foreign.weights import fetched_or_hub, read_weights
from thalweg_backbones.vision.inception_graph import InceptionGraph

FILE = "weights-inception-2015-12-05-6726825d.pth"
SOURCE = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
PUBLISHED = "6726825d"
_SIDE = 299
_OWN_NAMES = {"frechet_distance": "fid", "spatial_frechet_distance": "sfid"}


@attrs.frozen
class InceptionConfig:
    """Inception-v3 of 2015-12-05: 2048 pooled features, 1008 unbiased logits, 2023 spatial features.

    Equal to torch-fidelity's up to rounding. The weights come from its releases page.

    Attributes:
        weights: the file, a path, a URL or ``weights:NAME``; by default the fetched ``weights:inception``,
            or where torch-fidelity and torch.hub would put it.
        sha256: how its SHA-256 must begin; weights of one's own are taken by giving theirs.
    """

    weights: str = url_field(default="")
    sha256: str = PUBLISHED
    name = "inception"

    def build(self, _facts: Facts) -> "Inception":
        """The encoder.

        Raises:
            DataError: if the weights are missing, others than expected, or no Inception's.
        """
        place = Location(self.weights) if self.weights else fetched_or_hub(self.name, FILE)
        weights = read_weights(place, "Inception-v3", SOURCE, self.sha256, self.name)
        try:
            graph = InceptionGraph(weights.tensors)
        except (KeyError, RuntimeError) as error:
            raise DataError(
                f"{place} does not hold Inception-v3 in torch-fidelity's layout ({error}); get it from "
                f"{SOURCE}"
            ) from error
        return Inception(graph, weights.sha256)


class Inception(nn.Module):
    """The encoder.

    Args:
        graph: the network.
        sha256: of its weights.
    """

    name, offers = "inception", frozenset({"pooled", "logits", "spatial"})

    def __init__(self, graph: InceptionGraph, sha256: str) -> None:
        super().__init__()
        self.graph = graph
        self._published = sha256.startswith(PUBLISHED)
        self.title = "Inception-v3" if self._published else f"Inception-v3 with weights {sha256[:8]}"
        self.identity = {
            "type": "inception",
            "weights": sha256,
            "resize": f"bilinear as TensorFlow 1 to {_SIDE}x{_SIDE}",
            "precision": "float32",
        }

    def number_name(self, number: str) -> str:
        """The names of the field, ``fid`` and ``sfid``; with other weights than the published, others."""
        return _OWN_NAMES.get(number, number) if self._published else qualified(number, "inception_other")

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "N channels height width"]) -> Features:
        """Features of images 0..255.

        Raises:
            DataError: for anything but bytes of 1 or 3 channels.
        """
        x_N3HW = tensorflow_resize(rgb(images).to(self.graph.classes.device).float(), _SIDE)
        found = [part.float().cpu() for part in self.graph((x_N3HW - 128) / 128)]
        return Features(pooled=found[0], logits=found[1], spatial=found[2])


def tensorflow_resize(images: Float[Tensor, "N C H W"], side: int) -> Float[Tensor, "N C side side"]:
    """Bilinear interpolation as TensorFlow 1 did it by default.

    Pixel j of the result lies at j in / out of the image: corners, not centres, are matched. There is no
    antialiasing.
    """
    for dim in (3, 2):
        size = images.shape[dim]
        if size == side:
            continue
        place = torch.arange(side, device=images.device, dtype=torch.float32) * (size / side)
        low = place.long()
        share = place - low
        share = share if dim == 3 else share[:, None]
        first, second = images.index_select(dim, low), images.index_select(dim, (low + 1).clamp_max(size - 1))
        images = first + (second - first) * share
    return images
