"""A part of a data set as a set of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.evaluation.images import Piece
from thalweg.facts import image_shape
from thalweg.plugins import build_component
from thalweg.protocols import Autoencoder, Dataset, View
from thalweg.randomness import generator

_SEED = 0  # what a data set draws at each read, such as a latent from its posterior, is drawn once for all


class DatasetImages:
    """The images of ``train`` or ``validation``.

    Args:
        dataset: the data set.
        part: which of the two.
        identity: what it is.
        decoder: turns its samples into images.

    Attributes:
        identity: as given, with the number of images.
        shape: channels, height and width of its images.
        classes: those of the data set.

    Raises:
        ConfigError: if its samples are no images, and nothing makes them images.
    """

    def __init__(self, dataset: Dataset, part: str, identity: Mapping[str, Any], decoder: "Decoder") -> None:
        self._split = dataset.train if part == "train" else dataset.validation
        self._decode = decoder
        self.classes, self._captioned = dataset.facts.classes, dataset.facts.text is not None
        self.identity: Mapping[str, Any] = {
            "kind": "dataset",
            "images": len(self._split),
            "part": part,
            **identity,
        }
        channels, height, width = self.read(0, 1).images.shape[1:]
        self.shape = (channels, height, width)

    def __len__(self) -> int:
        return len(self._split)

    def read(self, start: int, stop: int) -> Piece:
        """Samples start..stop-1 as images."""
        # One by one, as what is drawn at a read may not depend on what else is read with it.
        batches = [self._split.batch([index], _generator(index)) for index in range(start, stop)]
        labels = [batch.condition.labels for batch in batches]
        known = [one for one in labels if one is not None]
        return Piece(
            self._decode(torch.cat([batch.clean for batch in batches])),
            torch.cat(known) if len(known) == len(batches) else None,
            self._captions(range(start, stop)),
        )

    def _captions(self, indices: Sequence[int]) -> list[str] | None:
        """One of each image, as they are written; None where there are none, or only encoded ones."""
        if not self._captioned or not hasattr(self._split, "captions"):
            return None
        return [self._split.captions([index], _generator(index))[0] for index in indices]


def view_of(data: Any) -> View:
    """How the samples of a data set look, by its config.

    Nothing of it is built where its config says so by itself, as ours do: what a run names is a stranger's,
    and samples can be looked at without it.
    """
    view: View = data.view() if hasattr(data, "view") else build_component(data)
    return view


class Decoder:
    """Turns samples into images as a data set or an autoencoder does, or refuses.

    Args:
        dataset: shows its samples as images, where it can.
        autoencoder: goes before the data set.
        device: where the autoencoder is.

    Attributes:
        autoencoder: its identity, in plain values.
    """

    def __init__(
        self, dataset: View | None, autoencoder: Autoencoder | None, device: torch.device | str
    ) -> None:
        self._dataset, self._autoencoder, self._device = dataset, autoencoder, device
        self.autoencoder: Any = "none" if autoencoder is None else dict(autoencoder.identity)

    def __call__(self, x: Float[Tensor, "N *shape"]) -> UInt8[Tensor, "N channels height width"]:
        """Images 0..255 on the CPU.

        Raises:
            ConfigError: if nobody here can make images of them.
        """
        images = None
        if x.dim() != 4 and self._autoencoder is not None:
            image_shape(tuple(x.shape[1:]), "an autoencoder", "leave autoencoder out")
        if self._autoencoder is not None:
            with torch.no_grad():
                images = self._autoencoder.decode(x.to(self._device))
        elif self._dataset is not None:
            images = self._dataset.images(x)
        if images is None:
            what = "evaluating samples, or drawing them as .npz, .tar or PNG,"
            image_shape(tuple(x.shape[1:]), what, "draw them into a folder")
            raise ConfigError(
                f"samples of shape {'x'.join(map(str, x.shape[1:]))} are no images by themselves; name what "
                "decodes them: autoencoder=sd-vae, or autoencoder=identity for pixels"
            )
        return images.cpu()


def _generator(index: int) -> torch.Generator:
    return generator(_SEED, "evaluated sample", index)
