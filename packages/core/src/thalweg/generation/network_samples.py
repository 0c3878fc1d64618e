"""Samples of a network, stated in plain values so that any process can generate them, and their images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.calibrating import calibrate
from thalweg.config import component_field, structure
from thalweg.data.normalising import denormalised
from thalweg.errors import ConfigError
from thalweg.facts import Facts, Normalisation, image_shape
from thalweg.generation.captions import captions_for
from thalweg.generation.models import SavedModel
from thalweg.generation.settings import GenerationConfig, SamplesConfig
from thalweg.generation.source import SampleSource
from thalweg.guidance import needs_calibration
from thalweg.loading import load
from thalweg.network_field import VelocityNetwork
from thalweg.plugins import build_component
from thalweg.protocols import Autoencoder, View


def view_of(data: Any) -> View:
    """How the samples of a data set look, by its config.

    Nothing of it is built where its config says so by itself, as ours do: what a run names is third-party
    code, and samples can be looked at without it.
    """
    view: View = data.view() if hasattr(data, "view") else build_component(data)
    return view


class ImageDecoder:
    """Turns samples into images as a data set or an autoencoder does, or refuses.

    Args:
        dataset: shows its samples as images, where it can.
        autoencoder: goes before the data set.
        device: where the autoencoder is.
        normalisation: of the samples, which is undone before the autoencoder decodes them, as the data set
            does itself; None for none.

    Attributes:
        autoencoder: its identity, in plain values.
    """

    def __init__(
        self,
        dataset: View | None,
        autoencoder: Autoencoder | None,
        device: torch.device | str,
        normalisation: Normalisation | None,
    ) -> None:
        self._dataset, self._autoencoder, self._device = dataset, autoencoder, device
        self._normalisation = normalisation
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
                images = self._autoencoder.decode(denormalised(x.to(self._device), self._normalisation))
        elif self._dataset is not None:
            images = self._dataset.images(x)
        if images is None:
            what = "evaluating samples, or saving them as .npz, .tar or PNG,"
            image_shape(tuple(x.shape[1:]), what, "save them as tensors in a folder")
            raise ConfigError(
                f"samples of shape {'x'.join(map(str, x.shape[1:]))} are no images by themselves; name what "
                "decodes them: autoencoder=sd-vae, or autoencoder=identity for pixels"
            )
        return images.cpu()


@attrs.frozen(kw_only=True)
class NetworkSamples:
    """Samples of a network, wherever it is."""

    count: int
    sampling: GenerationConfig
    classes: tuple[int, ...] | None = None
    data: Any = component_field("dataset", None, optional=True)
    autoencoder: Any = component_field("autoencoder", None, optional=True)

    def source_of(self, network: VelocityNetwork, device: torch.device | str) -> SampleSource:
        """The network, ready to be sampled."""
        captions = captions_for(network.facts, self.sampling, self.data, device)
        return SampleSource(
            network, self.sampling, self.count, classes=self.classes, captions=captions, device=device
        )

    def decoder(self, device: torch.device | str, facts: Facts) -> ImageDecoder:
        """What turns its samples into images; of the run's data no more is opened than that takes.

        Args:
            device: where the autoencoder is.
            facts: of the network.
        """
        view = None if self.data is None or self.autoencoder is not None else view_of(self.data)
        return ImageDecoder(view, built_on(self.autoencoder, device), device, facts.normalisation)


@attrs.frozen(kw_only=True)
class SavedNetworkSamples(NetworkSamples):
    """Samples of a saved network."""

    model: Path

    @classmethod
    def requested(
        cls, saved: SavedModel, config: SamplesConfig, classes: Sequence[int] | None = None
    ) -> "SavedNetworkSamples":
        """Those that ``thalweg sample`` generates of a network.

        Args:
            saved: the network.
            config: how, and how many.
            classes: those to generate; all by default.

        Raises:
            FaultyConfigError: its data set cannot be read as one.
            PluginError: it cannot be imported.
        """
        return structure(
            cls,
            {
                "model": saved.path,
                "count": config.count,
                "sampling": config.generation,
                "classes": None if classes is None else list(classes),
                "data": saved.data,
                "autoencoder": config.autoencoder,
            },
        )

    def source(self, device: torch.device | str) -> SampleSource:
        """Load the network, ready to be sampled; its heads are measured if its guidance needs that."""
        network = load(self.model, device=device)
        self.measure(network)
        return self.source_of(network, device)

    def measure(self, network: Any) -> None:
        """Measure the heads of the network once it is loaded, if its guidance needs that and nobody did."""
        missing = network.calibration is None and any(map(needs_calibration, self.sampling.guidance))
        if missing and self.data is not None:
            network.calibration = calibrate(network, build_component(self.data))


def built_on(autoencoder: Any, device: torch.device | str) -> Any:
    """A component of a config, or none, on a device."""
    if autoencoder is None:
        return None
    built = build_component(autoencoder)
    return built.to(device) if isinstance(built, torch.nn.Module) else built
