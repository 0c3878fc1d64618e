"""Where clean samples come from."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import attrs
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.facts import Facts
from thalweg.types import (
    Batch,
)


@runtime_checkable
class Split(Protocol):
    """One part of a data set, addressed by index.

    A split may offer two things besides: ``blocks``, the sizes of the shards in which its samples are stored
    one after another, so that training reads few of them at a time (:mod:`thalweg.data.order`); and
    ``upcoming(indices)``, which is called early with samples that will be read, and returns at once.
    """

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
        """The samples at these indices, in this order.

        ``generator`` is for what is drawn at each read, such as a latent from its posterior.
        """
        ...


@runtime_checkable
class View(Protocol):
    """How samples look."""

    def images(self, x: Float[Tensor, "N *shape"]) -> UInt8[Tensor, "N channels height width"] | None:
        """Samples as images 0..255 of 1 or 3 channels; None where the data are no images."""
        ...


@runtime_checkable
class Dataset(Protocol):
    """Where clean samples come from.

    Its config may offer ``view()``, a :class:`View` that opens none of the data, or no more than it needs:
    samples of a network are then shown without the data that it was trained on. One that stores encoded
    captions may offer ``text_identity`` in the same way.

    One whose samples have a border that ``images`` cuts off may offer ``frames`` besides, which keeps it:
    what teachers look at, so that their patches lie on the network's. ``contents``, those of each of its
    sources by name, lets a run name what has changed; ``class_names`` and ``captioned`` are shown before it
    begins.

    Attributes:
        identity: what the data are, without secrets: equal for equal samples, labels and captions in the
            same order and with the same ones held out, wherever they are stored, and another if any of it is.
            It is recorded with a run, which resumes with no other data.
        facts: shape and classes.
        train: what is trained on.
        validation: what the validation loss is measured on; never trained on.
    """

    identity: str
    facts: Facts
    train: Split
    validation: Split

    def images(self, x: Float[Tensor, "N *shape"]) -> UInt8[Tensor, "N channels height width"] | None:
        """Samples as images 0..255 of 1 or 3 channels; None where the data are no images."""
        ...


@attrs.frozen(eq=False)
class Record:
    """One image of a source.

    Attributes:
        key: its name within the source, such as ``n01440764/x.jpg``; unique.
        image: height x width x channels, 0..255, of 1 (grey) or 3 (RGB) channels.
        label: its class; None where the source knows none.
        captions: what is stated of it; empty where nothing is.
    """

    key: str
    image: UInt8[np.ndarray, "height width channels"]
    label: int | None = None
    captions: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """Images as they are stored: folders, tar files, idx files; read by index in a fixed order.

    One that knows all classes without reading an image may offer ``labels``, a list of them in order; one
    with captions may offer ``captions(index)``, which reads them without the image. ``attribution`` says whom
    to name for the images, and ``held_out`` names what was kept back to be tested on; listings and shards
    state both. ``contents``, made by :func:`thalweg.data.contents.contents_of`, says what it holds, so that
    a difference can be named. ``skipped`` counts what is there and is not read, by the reason why;
    listings state it.

    One that is stored in shards, of which few are at hand at a time, offers ``blocks`` and
    ``upcoming(indices)`` as a :class:`Split` does, and ``captions`` if it has some; training then reads shard
    by shard. Such a one does not list ``labels``.

    Attributes:
        classes: number of classes; None where images bear no labels.
        class_names: their names in the order of labels; empty where they have none.
        captioned: whether records bear captions; single ones may have none.
        identity: what the source is, without secrets, ``TYPE:`` and a hash: equal for equal contents wherever
            they are stored, and another if the images, their order, labels, class names or captions are.
            Nothing of it should take reading all images.
    """

    classes: int | None
    class_names: tuple[str, ...]
    captioned: bool
    identity: str

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __getitem__(self, index: int) -> Record:
        """One image; safe to call from several threads at once.

        Raises:
            DataError: naming the file, if it is damaged, no image, or beyond the limit of pixels.
        """
        ...
