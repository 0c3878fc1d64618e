"""From what users name to sets of images: stated in plain values first, so that any process can open them."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import attrs
import torch

from thalweg.config import component_field, dump, structure
from thalweg.data.sources.braces import is_pattern
from thalweg.errors import DataError
from thalweg.evaluation.captions import captions_for
from thalweg.evaluation.datasets import DatasetImages, Decoder, view_of
from thalweg.evaluation.folders import SourceImages
from thalweg.evaluation.images import Images
from thalweg.evaluation.models import data_of, model_at
from thalweg.evaluation.networks import NetworkImages, SampleSource
from thalweg.evaluation.npz import NpzImages
from thalweg.evaluation.settings import DrawingConfig
from thalweg.network_field import VelocityNetwork
from thalweg.plugins import build_component
from thalweg.plugins.recording import with_files
from thalweg.saved_network import load
from thalweg.storage.places import is_url, plain_place


@attrs.frozen
class NpzSet:
    """An ``.npz`` of images."""

    path: Path

    def open(self, device: torch.device | str) -> NpzImages:  # noqa: ARG002 - nothing is computed
        """Read its header."""
        return NpzImages(self.path)


@attrs.frozen
class SourceSet:
    """A folder or tar file of images, or whatever else is a source."""

    url: str
    crop: int | None = None

    def open(self, device: torch.device | str) -> SourceImages:  # noqa: ARG002 - nothing is computed
        """List it."""
        from thalweg.data.sources import source_of  # who reads no folder need not wait for fsspec

        return SourceImages(source_of(self.url), self.crop)


@attrs.frozen
class DatasetSet:
    """A part of a data set."""

    data: Any = component_field("dataset")
    part: Literal["train", "validation"] = "train"
    autoencoder: Any = component_field("autoencoder", None, optional=True)

    def open(self, device: torch.device | str) -> DatasetImages:
        """Build it."""
        dataset = build_component(self.data)
        decoder = Decoder(dataset, _built(self.autoencoder, device), device)
        # What the data are, not where: equal data have equal statistics, and changed ones others.
        data = {"type": dump(self)["data"]["type"], "identity": dataset.identity}
        identity = {"data": data, "autoencoder": decoder.autoencoder}
        return DatasetImages(dataset, self.part, identity, decoder)


@attrs.frozen(kw_only=True)
class DrawnSet:
    """Samples of a network, wherever it is."""

    count: int
    drawing: DrawingConfig
    classes: tuple[int, ...] | None = None
    data: Any = component_field("dataset", None, optional=True)
    autoencoder: Any = component_field("autoencoder", None, optional=True)

    def source_of(self, network: VelocityNetwork, device: torch.device | str) -> SampleSource:
        """The network, ready to draw."""
        captions = captions_for(network.facts, self.drawing, self.data, device)
        return SampleSource(
            network, self.drawing, self.count, classes=self.classes, captions=captions, device=device
        )

    def decoder(self, device: torch.device | str) -> Decoder:
        """What turns its samples into images; of the run's data no more is opened than that takes."""
        view = None if self.data is None or self.autoencoder is not None else view_of(self.data)
        return Decoder(view, _built(self.autoencoder, device), device)

    def images_of(
        self, network: VelocityNetwork, identity: Mapping[str, Any], device: torch.device | str
    ) -> NetworkImages:
        """Its samples as images."""
        source, decoder = self.source_of(network, device), self.decoder(device)
        return NetworkImages(source, self.count, decoder, with_files(identity, network))


@attrs.frozen(kw_only=True)
class NetworkSet(DrawnSet):
    """Samples of a saved network."""

    model: Path

    def source(self, device: torch.device | str) -> SampleSource:
        """Load the network, ready to draw."""
        return self.source_of(load(self.model, device=device), device)

    def open(self, device: torch.device | str) -> NetworkImages:
        """Load the network and what turns its samples into images."""
        network, model = load(self.model, device=device), model_at(self.model)
        assert model is not None  # noqa: S101 - it was loaded
        return self.images_of(network, model.identity, device)


@attrs.frozen(eq=False)
class HeldSet:
    """Images that live in this process, which no other can open."""

    images: Images

    def open(self, device: torch.device | str) -> Images:  # noqa: ARG002 - nothing is computed
        """As they are."""
        return self.images


def opened_once(stated: "ImageSet | HeldSet", device: torch.device | str) -> Callable[[], Images]:
    """A set that is opened when it is first asked for, since opening reads what a run may have named.

    Args:
        stated: which.
        device: where what it needs computes.
    """
    return cache(lambda: stated.open(device))


ImageSet = NpzSet | SourceSet | DatasetSet | NetworkSet
_KINDS: Mapping[str, type[ImageSet]] = {
    "npz": NpzSet,
    "source": SourceSet,
    "dataset": DatasetSet,
    "network": NetworkSet,
}


def to_plain(images: ImageSet) -> dict[str, Any]:
    """A set in plain values, secrets and all: for a pipe, and for nothing else."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(images, cls))
    return {"kind": kind, **dump(images, secrets=True)}


def from_plain(data: Mapping[str, Any]) -> ImageSet:
    """Undoes :func:`to_plain`."""
    fields = dict(data)
    return structure(_KINDS[fields.pop("kind")], fields)


def images_at(what: str | Path, crop: int | None) -> ImageSet:
    """The set of images that a path or URL names: an ``.npz``, a folder, a tar file or another source."""
    if str(what).lower().endswith(".npz"):
        return NpzSet(Path(plain_place(what)))
    return SourceSet(str(what), crop)


def part_of(what: str | Path, autoencoder: Any) -> DatasetSet | None:
    """The part of a recipe's or run's data set that ``RECIPE``, ``RUN`` or either with ``:train`` or
    ``:validation`` names; None if it names none."""
    path, colon, part = str(what).rpartition(":")
    if not colon or part not in ("train", "validation"):
        path, part = str(what), "train"
    data = data_of(path)
    if data is None:
        return None
    return structure(DatasetSet, {"data": data, "part": part, "autoencoder": autoencoder})


def check_exists(what: str | Path) -> None:
    """Raise if a path on this machine leads nowhere.

    Raises:
        DataError: naming it.
    """
    text = str(what)
    if not is_url(text) and not is_pattern(text) and not Path(plain_place(text)).exists():
        raise DataError(f"{text} does not exist; give a run, a saved network, a folder, a tar or an .npz")


def _built(autoencoder: Any, device: torch.device | str) -> Any:
    if autoencoder is None:
        return None
    built = build_component(autoencoder)
    return built.to(device) if isinstance(built, torch.nn.Module) else built
