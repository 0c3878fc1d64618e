"""The subject of an evaluation: from what users name to samples that can be read."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from thalweg.arguments import described
from thalweg.config import plain, structure
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.generation.models import SavedModel, is_run, model_at
from thalweg.generation.network_samples import NetworkSamples
from thalweg.generation.recording import check_filed, code_of, modules_of, state_of, tensors_of
from thalweg.image_sets.images import Images
from thalweg.image_sets.notes import read_note
from thalweg.inherited import Inherited, inherited_from
from thalweg.interpolant import Interpolant
from thalweg.loading import load
from thalweg.network_field import VelocityNetwork
from thalweg.objects import OBJECT, object_name
from thalweg.storage import Location, local_copy, redacted
from thalweg.storage.places import is_url, plain_place
from thalweg.tensor_files import tensors_sha256
from thalweg_eval.evaluation.image_sets.generated import GeneratedImages, GeneratedImagesConfig
from thalweg_eval.evaluation.image_sets.opening import FileImagesConfig, OpenSet, check_exists, open_set
from thalweg_eval.evaluation.protocol import EvaluationConfig

Named = str | Path | Images | VelocityNetwork | Tensor
"""What users name: by a path or URL, or as it is in memory."""

_RANDOM_ACCESS = (".npz", ".safetensors")


@attrs.frozen(eq=False)
class NetworkInMemory:
    """A network of this process, as :class:`thalweg.generation.models.SavedModel` is one on disk.

    Attributes:
        network: the network.
        identity: what it is, in plain values: ``checkpoint``, the digest of its tensors that
            :func:`thalweg.save` states; its class, composition and path; and the SHA-256 of its ``code``,
            which is the source of its modules' classes as far as it can be read, with their plain attributes.
            An evaluation that was interrupted is resumed with the same network only.
        data: None, since it belongs to no run.
    """

    network: VelocityNetwork
    identity: Mapping[str, Any]
    data: None = None

    @classmethod
    def of(cls, network: VelocityNetwork) -> "NetworkInMemory":
        """Look at a network.

        Raises:
            ConfigError: if it states no facts, or its weights are nowhere.
            DataError: if one of its weights is not finite.
        """
        facts: Any = network.facts
        if not isinstance(facts, Facts):
            raise ConfigError(f"the network's facts are {described(facts)}; state them as thalweg.Facts")
        tensors = tensors_of(network)
        check_filed(tensors, "the network")
        weights = network.named_parameters() if isinstance(network, nn.Module) else tensors.items()
        for name, tensor in weights:
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise DataError(
                    f"'{name}' of the network holds values that are not finite; take earlier weights"
                )
        composition = getattr(network, "composition", None)
        identity = {
            "kind": "network",
            "origin": "in memory",
            "checkpoint": tensors_sha256(tensors),
            "step": None,
            "class": object_name(network),
            "composition": plain(dict(composition)) if isinstance(composition, Mapping) else None,
            "code": code_of(network),
        }
        path = getattr(network, "interpolant", None)  # which may be another than its composition names
        if isinstance(path, Interpolant):
            identity["interpolant"] = path.name or {OBJECT: str(path), "state": state_of(path.schedule)}
        return cls(network, identity)

    def inherited(self) -> Inherited:
        """How it is sampled unless that is stated: by the settings that it was loaded with."""
        return inherited_from(self.network)

    @property
    def calibration(self) -> str | None:
        """Digest of what was measured of its heads; None if nobody did."""
        measured = getattr(self.network, "calibration", None)
        return None if measured is None else str(measured.sha256)

    @property
    def home(self) -> str:
        """The device where its weights are; the CPU of what has none."""
        modules = [self.network] if isinstance(self.network, nn.Module) else modules_of(self.network).values()
        found = (tensor.device for module in modules for tensor in module.parameters())
        return str(next(found, torch.device("cpu")))


@attrs.frozen(eq=False)
class EvaluatedSamples:
    """What is evaluated.

    Attributes:
        samples: its images.
        sampling: how they were sampled, in plain values; None where that is not known.
        data: the data set of the run that it belongs to, in plain values; None where there is none.
    """

    samples: OpenSet
    sampling: Any
    data: Any = None

    def try_out(self) -> None:
        """Ask a network once, since hours of reading the reference may come before the first sample.

        Raises:
            ThalwegError: it does not answer.
        """
        if isinstance(self.samples.images, GeneratedImages):
            self.samples.images.source.try_out()


def local(what: Any, copies: ExitStack) -> Any:
    """What a user names; a URL of a file that is read at random places, as a copy on this machine.

    Raises:
        DataError: if it cannot be read, or names weights that are not here.
    """
    if not isinstance(what, str | Path):
        return what
    if not is_url(what):
        return plain_place(what)
    if not str(what).partition("?")[0].endswith(_RANDOM_ACCESS):
        return what
    return str(copies.enter_context(local_copy(Location(what))))


def network_of(what: Named) -> SavedModel | NetworkInMemory | None:
    """The network that is evaluated, not loaded yet; None for images.

    Raises:
        ConfigError: if one in memory has no weights.
        DataError: if it is missing, a run without any, or has weights that are not finite.
    """
    if isinstance(what, Images):
        return None
    if not isinstance(what, str | Path):
        assert isinstance(what, VelocityNetwork)  # noqa: S101 - nothing else is left
        return NetworkInMemory.of(what)
    check_exists(what)
    model = model_at(what)
    if model is None and is_run(what):
        raise DataError(
            f"{redacted(str(what))} is a run that holds no network, neither model/ nor a complete "
            "checkpoint; give one that does, or a folder of images"
        )
    return model


def loaded(network: SavedModel | NetworkInMemory, device: str) -> VelocityNetwork:
    """The network, ready to be sampled from.

    Raises:
        DataError: it is damaged.
    """
    return network.network if isinstance(network, NetworkInMemory) else load(network.path, device=device)


def open_images(what: Named, config: EvaluationConfig, device: str) -> EvaluatedSamples:
    """Open images as a subject.

    Args:
        what: as the user names them.
        config: what is requested.
        device: where they are read to.

    Raises:
        ConfigError: they are no images.
        DataError: they are missing, damaged, or fewer than the settings ask for.
    """
    if isinstance(what, Images):
        return EvaluatedSamples(open_set("samples", what, None, config.count, "the subject"), None)
    assert isinstance(what, str | Path)  # noqa: S101 - a network is opened otherwise
    files = FileImagesConfig(str(what), config.crop)
    samples = open_set("samples", files.open(device), files, config.count, str(what))
    return EvaluatedSamples(samples, read_note(Path(plain_place(what)), samples.identity))


def open_network(
    model: SavedModel | NetworkInMemory,
    network: VelocityNetwork,
    config: EvaluationConfig,
    device: str,
    data: Any,
) -> EvaluatedSamples:
    """Open the samples of a network; nothing is generated yet. Heads are measured if its guidance needs that.

    Args:
        model: what :func:`network_of` found.
        network: the same, loaded.
        config: what is requested, and how it is sampled.
        device: where networks run.
        data: the data set of the network's run, in plain values; None for what the run says.

    Raises:
        ConfigError: the number of samples is not stated, they are no images, or the network cannot be
            guided so.
    """
    if config.count is None:
        raise ConfigError("the number of samples is not stated; say how many, such as count=10000")
    data = model.data if data is None else data
    fields = {
        "count": config.count,
        "sampling": config.sampling,
        "data": data,
        "autoencoder": config.autoencoder,
    }
    saved = None
    if isinstance(model, SavedModel):
        saved = structure(GeneratedImagesConfig, {**fields, "model": model.path})
        saved.measure(network)
    images = GeneratedImages(saved or structure(NetworkSamples, fields), network, model.identity, device)
    sampling = dict(images.sampling)
    return EvaluatedSamples(
        OpenSet("samples", images, saved, {**images.identity, "sampling": sampling}), sampling, data
    )
