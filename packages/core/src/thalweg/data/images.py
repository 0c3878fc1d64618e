"""Training in pixel space, straight from a source of images."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import attrs
import numpy as np
import torch
from attrs.validators import and_, ge, gt, in_, le, lt, optional
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from thalweg.config import component_field
from thalweg.data.caption_reader import CaptionReader
from thalweg.data.caption_table import CaptionTable
from thalweg.data.contents import Contents
from thalweg.data.fitting import Fitting
from thalweg.data.pictures import MOST_IN_A_ROW, Captions, Pictures, PictureSplit
from thalweg.data.pixels import PixelView, to_images
from thalweg.data.split import held_out, held_out_in_shards
from thalweg.errors import ConfigError, DamagedImageError, DataError
from thalweg.facts import LONGEST_SIDE, Facts
from thalweg.plugins import build_component
from thalweg.protocols import Record, Source


@attrs.frozen
class ImagesConfig:
    """Images of a source, scaled to [-1, 1].

    What is held out is the same for every seed. Small data sets stay in memory once decoded.

    Attributes:
        source: where the images are.
        size: edge of the square that images are brought to; none for images that all have one size.
        channels: 1 (grey) or 3 (RGB); images of the other kind are converted.
        crop: how an image is brought to ``size``: ``center`` resizes and cuts out its middle as ADM does,
            ``none`` takes only images that have it. Without a size nothing is cropped.
        flip: mirror each training image left to right at each read with probability 1/2.
        pad: edge of the square that images are then padded to; none for no padding.
        pad_value: 0..255, of the padding.
        validation: share of each class that is held out, evenly spaced, at least one sample; of a source in
            shards, share of all, from a few of them. Without effect where there is a ``validation_source``.
        validation_source: another source, held out as a whole.
        text: encoder of the source's captions; none leaves them out.
        on_damaged: what a damaged image does: ``stop`` ends the run, its state saved; ``skip`` reads the next
            image of the same part in its place.
    """

    source: Any = component_field("source")
    size: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(LONGEST_SIDE))))
    channels: int = attrs.field(default=3, validator=in_((1, 3)))
    crop: Literal["center", "none"] = "center"
    flip: bool = False
    pad: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(LONGEST_SIDE))))
    pad_value: int = attrs.field(default=0, validator=[ge(0), le(255)])
    validation: float = attrs.field(default=0.05, validator=[gt(0.0), lt(1.0)])
    validation_source: Any = component_field("source", None, optional=True)
    text: Any = component_field("text_encoder", None, optional=True)
    on_damaged: Literal["stop", "skip"] = "stop"

    @pad.validator
    def _at_least_the_size(self, _: object, pad: int | None) -> None:
        if pad is not None and self.size is not None and pad < self.size:
            raise ConfigError(f"pad must be at least size, and {pad} is below {self.size}")

    @property
    def facts(self) -> Facts:
        """Shape, classes and captions, from the source's listing and, without ``size``, its first image."""
        source = build_component(self.source)
        return self._facts(source, self._fitting(source))

    def view(self) -> PixelView:
        """How samples look. Nothing is opened for it unless images of a size that nobody states are padded:
        then the source is listed and its first image read."""
        if self.pad is None:
            return PixelView()
        if self.size is not None:
            return PixelView((self.size, self.size))
        fitting = self._fitting(build_component(self.source))
        return PixelView((fitting.height, fitting.width))

    def build(self) -> "ImageDataset":
        """List the source and split it; without ``size``, its first image is read.

        Raises:
            DataError: if a source is missing, empty or damaged, if nothing is left for a part, or if the two
                sources have other classes.
        """
        source = build_component(self.source)
        fitting, other = self._fitting(source), None
        pictures = self._pictures(source, fitting, source.classes)
        if self.validation_source is None:
            mask_N = _held_out(source, self.validation)
            train = PictureSplit(pictures, np.flatnonzero(~mask_N), flip=self.flip)
            validation = PictureSplit(pictures, np.flatnonzero(mask_N))
        else:
            other = build_component(self.validation_source)
            _same_classes(source, other)
            train = PictureSplit(pictures, np.arange(len(source)), flip=self.flip)
            held = self._pictures(other, fitting, source.classes)
            validation = PictureSplit(held, np.arange(len(other)))
        return ImageDataset(self, self._facts(source, fitting), train, validation, fitting, source, other)

    def _facts(self, source: Source, fitting: Fitting) -> Facts:
        text = None if self.text is None else self.text.shape
        return Facts(shape=fitting.shape, classes=source.classes, text=text)

    def _pictures(self, source: Source, fitting: Fitting, classes: int | None) -> Pictures:
        captions: Captions | None = None
        if self.text is not None:
            streamed = getattr(source, "blocks", None) is not None
            captions = (CaptionReader if streamed else CaptionTable)(source, self.text)
        return Pictures(source, fitting, classes, captions, skip=self.on_damaged == "skip")

    def _fitting(self, source: Source) -> Fitting:
        if self.size is not None:
            height, width, crop, stated_by = self.size, self.size, self.crop, "the data set's size is"
        else:
            if len(source) == 0:
                raise DataError("the data set's source holds no images; give one that does")
            first = self._first(source)
            height, width = first.image.shape[:2]
            crop, stated_by = "none", f"{first.key}, the first, is"
        if self.pad is not None and self.pad < max(height, width):
            raise DataError(
                f"pad is {self.pad}, but the images are {width}x{height} pixels; raise pad or set size"
            )
        return Fitting(height, width, self.channels, crop, self.pad, self.pad_value, stated_by)

    def _first(self, source: Source) -> Record:
        """The first image, or the first that is whole where damaged ones are left out."""
        most = min(len(source), MOST_IN_A_ROW if self.on_damaged == "skip" else 1)
        for index in range(most - 1):
            with suppress(DamagedImageError):
                return source[index]
        return source[most - 1]


@attrs.frozen(eq=False)
class ImageDataset:
    """Images in two parts.

    Attributes:
        config: what decides, besides the sources, which images there are and how they look.
        facts: shape and classes.
        train: what is trained on.
        validation: what is held out.
        fitting: how the images came to one shape.
        source: what is trained on, and held out of.
        validation_source: what is held out as a whole; None if that is a share of the first.
    """

    config: ImagesConfig
    facts: Facts
    train: PictureSplit
    validation: PictureSplit
    fitting: Fitting
    source: Source
    validation_source: Source | None

    @property
    def identity(self) -> str:
        """A hash of what the sources hold, how their images come to one shape, and what is held out."""
        one, other = self.config, self.validation_source
        share, identity = (one.validation, None) if other is None else (None, other.identity)
        how = (one.size, one.channels, one.crop, one.flip, one.pad, one.pad_value, share)
        words = repr([self.source.identity, identity, how])
        return f"images:{hashlib.sha256(words.encode()).hexdigest()}"

    @property
    def contents(self) -> Mapping[str, Contents]:
        """What each source holds, of those that state it."""
        named = {"source": self.source, "validation_source": self.validation_source}
        contents_of = {name: getattr(one, "contents", None) for name, one in named.items()}
        return {name: one for name, one in contents_of.items() if one is not None}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of labels; empty where they have none."""
        return self.source.class_names

    @property
    def captioned(self) -> bool:
        """Whether the images bear captions, read or not."""
        return self.source.captioned

    def frames(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C H W"]:
        """Samples as images 0..255, padding and all."""
        return to_images(x)

    def images(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C height width"]:
        """Samples as images 0..255, without the padding."""
        return PixelView((self.fitting.height, self.fitting.width)).images(x)


def _held_out(source: Source, share: float) -> Bool[np.ndarray, " N"]:
    """What is held out: a share of each class, where the source lists the classes and is at hand as a whole;
    else of all images."""
    blocks = getattr(source, "blocks", None)
    if blocks is not None:
        return held_out_in_shards(blocks, share).numpy()
    labels = getattr(source, "labels", None)
    labels_N = torch.zeros(len(source), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return held_out(labels_N, share).numpy()


def _same_classes(source: Source, other: Source) -> None:
    if source.classes != other.classes:
        raise DataError(
            f"the source has {source.classes} classes and the validation source {other.classes}; give "
            "sources of the same classes"
        )
    named = source.class_names and other.class_names
    if named and source.class_names != other.class_names:
        differing = sorted({*source.class_names} ^ {*other.class_names})
        raise DataError(
            f"the source and the validation source name their classes differently, for instance "
            f"{differing[0]}; give sources of the same classes"
        )
