"""A part of a data set as a set of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import torch

from thalweg.config import component_field, dump, structure
from thalweg.generation.models import data_of
from thalweg.generation.network_samples import ImageDecoder, built_on
from thalweg.image_sets.images import Piece
from thalweg.plugins import build_component
from thalweg.protocols import Dataset
from thalweg.randomness import generator

_SEED = 0  # what a data set draws at each read, such as a latent from its posterior, is drawn once for all


@attrs.frozen
class DatasetImagesConfig:
    """A part of a data set, and the autoencoder that decodes its latents."""

    data: Any = component_field("dataset")
    part: Literal["train", "validation"] = "train"
    autoencoder: Any = component_field("autoencoder", None, optional=True)

    def open(self, device: torch.device | str) -> "DatasetImages":
        """Build the data set."""
        dataset = build_component(self.data)
        decoder = ImageDecoder(
            dataset, built_on(self.autoencoder, device), device, dataset.facts.normalisation
        )
        # What the data are, not where: equal data have equal statistics, and changed ones others.
        data = {"type": dump(self)["data"]["type"], "identity": dataset.identity}
        identity = {"data": data, "autoencoder": decoder.autoencoder}
        return DatasetImages(dataset, self.part, identity, decoder)


def dataset_part(data: Any, part: str, autoencoder: Any) -> DatasetImagesConfig:
    """A part of a data set in plain values."""
    return structure(DatasetImagesConfig, {"data": data, "part": part, "autoencoder": autoencoder})


def dataset_part_of(what: str | Path, autoencoder: Any) -> DatasetImagesConfig | None:
    """The part of a recipe's or run's data set that ``RECIPE``, ``RUN`` or either with ``:train`` or
    ``:validation`` names; None if it names none."""
    path, colon, part = str(what).rpartition(":")
    if not colon or part not in ("train", "validation"):
        path, part = str(what), "train"
    data = data_of(path)
    return None if data is None else dataset_part(data, part, autoencoder)


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

    def __init__(
        self, dataset: Dataset, part: str, identity: Mapping[str, Any], decoder: ImageDecoder
    ) -> None:
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


def _generator(index: int) -> torch.Generator:
    return generator(_SEED, "evaluated sample", index)
