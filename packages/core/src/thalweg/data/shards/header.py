"""What the samples of a set of shards are, and which tensors a shard holds (no torch here)."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs
import numpy as np
from attrs.validators import and_, ge, gt, in_, le, min_len, optional

from thalweg.config import plain
from thalweg.data.contents import Contents
from thalweg.errors import ConfigError
from thalweg.facts import (
    LONGEST_CAPTION,
    LONGEST_SIDE,
    MOST_CLASSES,
    WIDEST_TOKEN,
    Facts,
    StoredFeatures,
    check_latent,
)

MOST_SAMPLES = 2**30
"""Of a set: their order is kept in memory."""

EMPTY = "empty.safetensors"
"""The encoder's empty caption: ``tokens`` (L, E) and ``mask`` (L), beside shards that hold text."""

_SHARD_BYTES = 64 * 2**20  # some tens of MB: large enough to stream, small enough to shuffle within several
_Stored = Literal["float16", "float32"]
_stored = in_(("float16", "float32"))


def _check_shape(_: object, __: object, shape: tuple[int, int, int]) -> None:
    try:
        Facts(shape=shape)
        check_latent(shape)
    except ConfigError as error:
        raise ValueError(f"'shape' must be that of an image or latent: {error}") from None


def _check_grid(_: object, __: object, grid: tuple[int, int]) -> None:
    if len(grid) != 2 or not 1 <= min(grid) <= max(grid) <= LONGEST_SIDE:
        raise ValueError(f"'grid' must be tokens per column and per row, each at least 1, not {grid}")


def _as_json(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """As JSON will give it back, so that what was written equals what is read."""
    return dict(plain(identity))


@attrs.frozen
class TensorSpec:
    """One tensor of a file.

    Attributes:
        dtype: numpy's name of its type.
        shape: its shape.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def of(self, count: int) -> "TensorSpec":
        """As many of these, in one more dimension in front."""
        return TensorSpec(self.dtype, (count, *self.shape))


@attrs.frozen
class TeacherHeader:
    """Features that a frozen teacher saw in the clean images.

    Attributes:
        identity: what the teacher is, with its weights' SHA-256.
        grid: tokens per column and per row.
        width: F, the features' width.
        dtype: as which they are stored.
    """

    identity: Mapping[str, Any] = attrs.field(converter=_as_json, validator=min_len(1))
    grid: tuple[int, int] = attrs.field(validator=_check_grid)
    width: int = attrs.field(validator=[ge(1), le(WIDEST_TOKEN)])
    dtype: _Stored = attrs.field(default="float16", validator=_stored)


@attrs.frozen
class TextHeader:
    """Encoded captions.

    Attributes:
        identity: what the text encoder is, with its weights' SHA-256.
        length: L, tokens that a caption is padded to.
        width: E, their width.
        captions: room for captions per sample; a sample may have fewer, or none.
        dtype: as which tokens are stored.
    """

    identity: Mapping[str, Any] = attrs.field(converter=_as_json, validator=min_len(1))
    length: int = attrs.field(validator=[ge(1), le(LONGEST_CAPTION)])
    width: int = attrs.field(validator=[ge(1), le(WIDEST_TOKEN)])
    captions: int = attrs.field(default=1, validator=[ge(1), le(10_000)])
    dtype: _Stored = attrs.field(default="float16", validator=_stored)


def _check_dtype(header: "ShardHeader", _: object, dtype: str) -> None:
    fitting = ("uint8",) if header.kind == "pixels" else ("float16", "float32")
    if dtype not in fitting:
        raise ValueError(f"'dtype' is {dtype}; {header.kind} are stored as {' or '.join(fitting)}")


def _check_names(header: "ShardHeader", _: object, names: tuple[str, ...]) -> None:
    if names and len(names) != header.classes:
        raise ValueError(f"'class_names' are {len(names)} for {header.classes} classes; name each or none")


def _check_teachers(_: object, __: object, teachers: Mapping[str, TeacherHeader]) -> None:
    wrong = [name for name in teachers if not name or name.endswith("_flipped") or not name.isprintable()]
    if wrong:
        raise ValueError(f"'{wrong[0]}' cannot name a teacher; give a printable name without '_flipped'")


@attrs.frozen
class ShardHeader:
    """What all shards of a set have in common.

    Attributes:
        kind: ``posterior``, mean and standard deviation of an autoencoder's latents before ``scale``; or
            ``pixels``, images 0..255.
        count: samples in all shards.
        shape: C, H and W of a sample as stored.
        dtype: as which they are stored: float16 or float32; uint8 for pixels.
        autoencoder: identity of the autoencoder that made them.
        scale: factor that brings a latent to unit variance; 1 for pixels.
        classes: number of classes; None for data without labels.
        class_names: their names in the order of labels; empty where they have none.
        flips: each image counts mirrored too, and which one is drawn at each read: posteriors and teachers'
            features are stored of both, pixels are mirrored when read.
        size: edge in pixels of the images that were encoded.
        crop: how they were brought to it.
        source: identity of the source, without secrets.
        contents: what the source held, by which a difference is named; None if it does not state that.
        seed: of the permutation in which the source's images are stored in the shards.
        teachers: stored features by the teacher's name.
        text: stored captions, if any.
        attribution: whom to name for the images.
        held_out: captions of the combinations that the source holds out, and that the samples lack unless
            they are that part; empty where it holds out none.
    """

    kind: Literal["posterior", "pixels"] = attrs.field(validator=in_(("posterior", "pixels")))
    count: int = attrs.field(validator=[ge(1), le(MOST_SAMPLES)])
    shape: tuple[int, int, int] = attrs.field(validator=_check_shape)
    dtype: Literal["float16", "float32", "uint8"] = attrs.field(validator=_check_dtype)
    autoencoder: Mapping[str, Any] = attrs.field(converter=_as_json, validator=min_len(1))
    scale: float = attrs.field(default=1.0, validator=gt(0.0))
    classes: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(MOST_CLASSES))))
    class_names: tuple[str, ...] = attrs.field(default=(), validator=_check_names)
    flips: bool = False
    size: int | None = attrs.field(default=None, validator=optional(ge(1)))
    crop: str = ""
    source: str = ""
    contents: Contents | None = attrs.field(default=None, repr=False)
    seed: int = 0
    teachers: Mapping[str, TeacherHeader] = attrs.field(factory=dict, validator=_check_teachers)
    text: TextHeader | None = None
    attribution: str = ""
    held_out: tuple[str, ...] = ()

    @property
    def facts(self) -> Facts:
        """What a network needs to know."""
        text = None if self.text is None else (self.text.length, self.text.width)
        features = {
            name: StoredFeatures(teacher.grid, teacher.width, teacher.identity)
            for name, teacher in self.teachers.items()
        }
        return Facts(shape=self.shape, classes=self.classes, text=text, features=features)

    def tensors(self) -> Mapping[str, TensorSpec]:
        """The tensors of one sample by name; a shard holds its samples in one more dimension in front.

        ``mean`` and ``std``, or ``pixels``; ``labels``; ``teacher.NAME`` (T, F); ``text.tokens``
        (captions, L, E), ``text.mask`` (captions, L) and ``text.count``, how many captions a sample has.
        With flips, ``mean``, ``std`` and ``teacher.NAME`` also of the mirrored image, as ``..._flipped``.
        """
        seen = {"pixels": self.shape} if self.kind == "pixels" else {"mean": self.shape, "std": self.shape}
        images = {name: TensorSpec(self.dtype, shape) for name, shape in seen.items()}
        for name, teacher in self.teachers.items():
            shape = (math.prod(teacher.grid), teacher.width)
            images[f"teacher.{name}"] = TensorSpec(teacher.dtype, shape)
        found = dict(images)
        if self.flips:
            found |= {f"{name}_flipped": spec for name, spec in images.items() if name != "pixels"}
        if self.classes is not None:
            found["labels"] = TensorSpec("int64", ())
        if self.text is not None:
            captions, length, width = self.text.captions, self.text.length, self.text.width
            found["text.tokens"] = TensorSpec(self.text.dtype, (captions, length, width))
            found["text.mask"] = TensorSpec("bool", (captions, length))
            found["text.count"] = TensorSpec("int64", ())
        return MappingProxyType(found)

    def shard(self, count: int) -> Mapping[str, TensorSpec]:
        """The tensors of a shard of ``count`` samples."""
        return {name: spec.of(count) for name, spec in self.tensors().items()}

    def empty_caption(self) -> Mapping[str, TensorSpec]:
        """The tensors of the file :data:`EMPTY`; none without text."""
        if self.text is None:
            return {}
        length, width = self.text.length, self.text.width
        return {"tokens": TensorSpec(self.text.dtype, (length, width)), "mask": TensorSpec("bool", (length,))}

    def samples_per_shard(self, shard_bytes: int = _SHARD_BYTES) -> int:
        """Samples with which a shard comes to about ``shard_bytes``, 64 MiB by default; at least one."""
        return max(1, shard_bytes // sum(spec.bytes for spec in self.tensors().values()))
