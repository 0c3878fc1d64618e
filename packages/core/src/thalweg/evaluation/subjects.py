"""The two sides of an evaluation: from what users name to open sets."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from thalweg.config import structure
from thalweg.errors import ConfigError, DataError
from thalweg.evaluation.held import HeldNetwork, held
from thalweg.evaluation.images import First, Images, check_enough
from thalweg.evaluation.models import Model, is_run, model_at
from thalweg.evaluation.notes import read_note
from thalweg.evaluation.npz import IMAGES, members
from thalweg.evaluation.reference import ReferenceFile
from thalweg.evaluation.seeing import Side
from thalweg.evaluation.sets import (
    DatasetSet,
    DrawnSet,
    HeldSet,
    ImageSet,
    NetworkSet,
    check_exists,
    images_at,
    part_of,
)
from thalweg.evaluation.settings import EvaluationConfig
from thalweg.evaluation.tensor_images import TensorImages
from thalweg.network_field import VelocityNetwork
from thalweg.storage import Location, redacted
from thalweg.storage.places import is_url, plain_place
from thalweg.weights import local_copy

Named = str | Path | Images | VelocityNetwork | Tensor
"""What users name: by a path or URL, or as it is in memory."""

_RANDOM = (".npz", ".safetensors")


@attrs.frozen(eq=False)
class Subject:
    """What is judged.

    Attributes:
        side: its images.
        drawn: how they were drawn, in plain values; None where nobody knows.
        is_network: whether they are drawn now.
        data: the data set of the run that it belongs to, in plain values; None where there is none.
    """

    side: Side
    drawn: Any
    is_network: bool = False
    data: Any = None


@attrs.frozen(eq=False)
class Reference:
    """What it is compared with.

    Attributes:
        side: its images; None where there are only statistics, or nothing.
        file: statistics of images; None where there is no such file.
        moments: an ``.npz`` with moments as ADM stores them; None where there is none or it is not meant.
        teaching: labelled real images that extractors can be fitted to; None where there are none.
    """

    side: Side | None = None
    file: ReferenceFile | None = None
    moments: Path | None = None
    teaching: ImageSet | HeldSet | None = None


def brought(what: Any, copies: ExitStack) -> Any:
    """What a user names; a URL of a file that is read here and there in it, as a copy on this machine.

    Raises:
        DataError: if it cannot be read.
    """
    if not isinstance(what, str | Path) or not is_url(what):
        return what
    if not str(what).partition("?")[0].endswith(_RANDOM):
        return what
    return str(copies.enter_context(local_copy(Location(what))))


def as_images(name: str, what: Any) -> Any:
    """A tensor as the images that it holds; everything else as it is.

    Raises:
        DataError: if it holds none.
    """
    return TensorImages(what, name=name) if isinstance(what, Tensor) else what


def check_shared(devices: int, **named: Any) -> None:
    """Make sure that several processes can open what they are to share.

    Raises:
        ConfigError: it is an object of this process.
    """
    for name, what in named.items():
        if devices > 1 and what is not None and not isinstance(what, str | Path):
            raise ConfigError(
                f"{name} is an object of this process, which {devices} processes cannot share; save it and "
                "name its path, or take devices=1"
            )


def check_drawn(network: Any, compare: Any, sampling: Any) -> None:
    """Make sure that nobody says how images are drawn that are there already.

    Raises:
        ConfigError: there is no network, and yet it is said.
    """
    for name, stated in (("compare", compare), ("sampling", sampling)):
        if network is None and stated is not None:
            raise ConfigError(
                f"{name} says how to draw from a network, and the subject is images; leave it out"
            )


def network_of(what: Named) -> Model | HeldNetwork | None:
    """The network that is judged, not loaded yet; None for images.

    Raises:
        ConfigError: if one in memory has no weights.
        DataError: if it is missing, a run without any, or has weights that are not finite.
    """
    if isinstance(what, Images):
        return None
    if not isinstance(what, str | Path):
        assert isinstance(what, VelocityNetwork)  # noqa: S101 - nothing else is left
        return held(what)
    check_exists(what)
    model = model_at(what)
    if model is None and is_run(what):
        raise DataError(
            f"{redacted(str(what))} is a run that holds no network, neither model/ nor a whole checkpoint; "
            "give one that does, or a folder of images"
        )
    return model


def open_subject(what: Named, config: EvaluationConfig, device: str) -> Subject:
    """Open images that are judged.

    Args:
        what: as the user names it.
        config: what is asked for.
        device: where networks run.

    Raises:
        DataError: if it is missing, damaged, or has fewer images than the settings ask for.
    """
    if isinstance(what, Images):
        return Subject(_side("samples", what, None, config.count, "the subject"), None)
    assert isinstance(what, str | Path)  # noqa: S101 - a network is opened otherwise
    stated = images_at(what, config.crop)
    images = stated.open(device)
    side = _side("samples", images, stated, config.count, str(what))
    return Subject(side, read_note(Path(plain_place(what)), images.identity))


def open_reference(what: Named | None, subject: Subject, config: EvaluationConfig, device: str) -> Reference:
    """Open what it is compared with.

    Raises:
        ConfigError: if a part of a data set is meant and the subject belongs to no run.
        DataError: if it is missing, damaged, or has fewer images than the settings ask for.
    """
    count = config.reference.count
    if what is None:
        if config.reference.set is None or subject.data is None:
            return Reference(teaching=_part(subject.data, "train", config))
        stated: ImageSet | None = _part(subject.data, config.reference.set, config)
        assert stated is not None  # noqa: S101 - there are data
        name = f"the {config.reference.set} part of the run's data"
    elif not isinstance(what, str | Path):
        assert isinstance(what, Images)  # noqa: S101 - as of check_given
        side = _side("reference", what, None, count, "the reference")
        return Reference(side, teaching=HeldSet(what) if what.classes else None)
    elif str(what).endswith(".safetensors"):
        file = ReferenceFile(Path(plain_place(what)))
        return Reference(file=file, teaching=_part(subject.data, "train", config))
    else:
        name = str(what)
        stated = part_of(what, config.autoencoder)
        if stated is None:
            check_exists(what)
            stated = images_at(what, config.crop)
    moments = _moments(name, config)
    if moments is not None and IMAGES not in members(moments):
        return Reference(moments=moments, teaching=_part(subject.data, "train", config))
    assert stated is not None  # noqa: S101 - each branch has set it
    side = _side("reference", stated.open(device), stated, count, name)
    teaching = attrs.evolve(stated, part="train") if isinstance(stated, DatasetSet) else stated
    return Reference(side, moments=moments, teaching=teaching if side.images.classes else None)


def open_network(
    model: Model | HeldNetwork,
    config: EvaluationConfig,
    device: str,
    data: Any,
    network: VelocityNetwork,
) -> Subject:
    """Open a network that is judged; nothing is drawn yet.

    Args:
        model: what :func:`network_of` found.
        config: what is asked for.
        device: where networks run.
        data: the data set of its run, in plain values; None for what the run says.
        network: itself, loaded.

    Raises:
        ConfigError: if the number of samples is not stated, or its samples are no images.
        DataError: if it is damaged.
    """
    if config.count is None:
        raise ConfigError("the number of samples is not stated; say how many to draw, such as count=10000")
    data = model.data if data is None else data
    fields = {
        "count": config.count,
        "drawing": config.sampling,
        "data": data,
        "autoencoder": config.autoencoder,
    }
    stated = (
        None if isinstance(model, HeldNetwork) else structure(NetworkSet, {**fields, "model": model.path})
    )
    drawn = structure(DrawnSet, fields) if stated is None else stated
    images = drawn.images_of(network, model.identity, device)
    identity = {**images.identity, "drawn": dict(images.drawing)}
    return Subject(
        Side("samples", images, stated, identity), dict(images.drawing), is_network=True, data=data
    )


def _side(what: str, images: Images, stated: ImageSet | None, count: int | None, name: str) -> Side:
    check_enough(images, name)
    if count is not None and count > len(images):
        raise DataError(
            f"{name} has {len(images)} images and {count} are asked for; give as many, or change the number"
        )
    whole = images if count is None else First(images, count)
    return Side(what, whole, stated, images.identity)


def _part(data: Any, part: str, config: EvaluationConfig) -> DatasetSet | None:
    if data is None:
        return None
    return structure(DatasetSet, {"data": data, "part": part, "autoencoder": config.autoencoder})


def _moments(name: str, config: EvaluationConfig) -> Path | None:
    """The file of moments, where they are meant, or where a file has nothing else."""
    if not name.lower().endswith(".npz"):
        if config.reference.moments == "stored":
            raise ConfigError(f"stored moments are asked for, and {name} is no .npz that could hold them")
        return None
    there = members(Path(plain_place(name)))
    if not {"mu", "sigma"} <= there:
        if config.reference.moments == "stored":
            raise DataError(f"stored moments are asked for, and {name} has no mu and sigma")
        return None
    return Path(plain_place(name)) if config.reference.moments == "stored" or IMAGES not in there else None
