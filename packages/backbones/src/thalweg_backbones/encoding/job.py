"""What is to be encoded, in plain values that can be sent to another process."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs
from attrs.validators import in_, optional

from thalweg.arguments import AT_ONCE, SAMPLES, SEED, Integers
from thalweg.config import secret_field, url_field
from thalweg.facts import LONGEST_SIDE


@attrs.frozen
class EncodingJob:
    """Which images become which shards.

    Attributes:
        size: height and width that images are cropped to, as ADM does it.
        autoencoder: its type and options, as a recipe has them.
        source: path or URL of the images.
        target: path or URL of the folder of shards.
        source_options: type and options of the source, where they are not to be guessed.
        storage_options: what the storage of source and target needs, such as keys.
        teachers: type and options of each frozen teacher whose features are stored too.
        text: type and options of the encoder of captions, of which all are stored; None for none.
        grid: tokens a side that teachers see; None: half the side of what is stored, one for a patch of 2.
        channels: 1 or 3; None: 1 where the first image is grey and the autoencoder takes such, else 3.
        flips: encode the mirror image of each too.
        batch_size: images encoded at once.
        shard_samples: images of a shard; None: so many that a shard has about 64 MiB.
        dtype: in which posteriors are stored; pixels are bytes.
        seed: of the order in which images are stored in the shards.
    """

    size: int = attrs.field(validator=Integers(1, LONGEST_SIDE))
    autoencoder: Mapping[str, Any] = attrs.field(repr=False)
    source: str = url_field()
    target: str = url_field()
    source_options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    storage_options: dict[str, Any] = secret_field()
    teachers: tuple[Mapping[str, Any], ...] = attrs.field(default=(), repr=False)
    text: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    grid: int | None = attrs.field(default=None, validator=optional(Integers(1, LONGEST_SIDE)))
    channels: int | None = attrs.field(default=None, validator=optional(in_((1, 3))))
    flips: bool = False
    batch_size: int = attrs.field(default=16, validator=AT_ONCE)
    shard_samples: int | None = attrs.field(default=None, validator=optional(SAMPLES))
    dtype: Literal["float16", "float32"] = "float16"
    seed: int = attrs.field(default=0, validator=SEED)


@attrs.frozen
class EncodingOutcome:
    """What there is when all is done.

    Attributes:
        target: the folder of shards, without secrets.
        images: in all shards.
        shards: how many.
        bytes: of all shards.
        encoded: images encoded just now; the others had been before.
        seconds: taken for these.
    """

    target: str
    images: int
    shards: int
    bytes: int
    encoded: int
    seconds: float
