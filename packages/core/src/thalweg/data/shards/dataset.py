"""The data set ``shards``: what ``thalweg encode`` has stored, at any URL."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import attrs
import numpy as np
from attrs.validators import deep_iterable, ge, gt, le
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from thalweg.config import component_field, plain, secret_field, url_field
from thalweg.data.contents import Contents
from thalweg.data.normalising import denormalised
from thalweg.data.pixels import to_images
from thalweg.data.shards.header import MOST_SAMPLES
from thalweg.data.shards.index import ShardIndex, read_index
from thalweg.data.shards.split import ShardSplit
from thalweg.data.shards.store import ShardStore
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts, Normalisation, StoredFeatures, check_latent
from thalweg.plugins import build_component
from thalweg.plugins.recording import FILES_KEY
from thalweg.protocols import Autoencoder
from thalweg.storage import Location, default_cache

_GIB = 2**30
_SPREAD = 8  # shards among which held-out samples are sought, if those hold twice as many as that


@attrs.frozen
class ExpectedFeatures:
    """What a recipe counts on of a teacher's features.

    Attributes:
        grid: tokens per column and per row.
        width: F, of a token.
    """

    grid: tuple[int, int] = attrs.field(validator=deep_iterable(ge(1)))
    width: int = attrs.field(validator=ge(1))


@attrs.frozen
class Expected:
    """What a recipe counts on, so that its network is known where the data are not.

    Attributes:
        shape: channels, height and width of a sample.
        classes: number of classes; None for data without.
        text: tokens of a caption and their width; None for data without captions.
        teachers: features that must be stored, by the teacher's name; others may be.
    """

    shape: tuple[int, int, int]
    classes: int | None = None
    text: tuple[int, int] | None = None
    teachers: Mapping[str, ExpectedFeatures] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        _ = self.facts  # which refuses what is none
        check_latent(self.shape)

    @property
    def facts(self) -> Facts:
        """The same for a network."""
        # Which weights made them, the data say once they are there.
        features = {name: StoredFeatures(one.grid, one.width, {}) for name, one in self.teachers.items()}
        return Facts(shape=self.shape, classes=self.classes, text=self.text, features=features)


@attrs.frozen
class ShardsConfig:
    """Latents or pixels that were stored by ``thalweg encode``.

    A latent is (mean + std * eps) * scale with eps ~ N(0, I) drawn at each read, and then normalised; one of
    the mirrored images and one of the captions is drawn too, where there are any. Every shard is compared
    with the SHA-256 in the index before it is first used. Local shards are mapped, remote ones fetched whole
    into a cache.

    Attributes:
        url: the folder, a path or URL.
        storage_options: what its storage needs, such as credentials; never written anywhere.
        validation: number of samples held out, the same ones for every seed. They are read at once when
            they are first needed, and kept in memory.
        cache_gib: what remote shards may take of the local disk.
        normalise: mean and standard deviation of each channel of the latents, by which they are brought to 0
            and 1 when they are read, as those of VA-VAE are; undone before they are decoded. None leaves them
            as they are.
        autoencoder: turns samples into images; of latents that were made with it. None: no images.
        expected: shape, classes and text that the data must have; None takes them as they are. With it, a
            recipe's network can be checked and summed up without the data.
    """

    url: str = url_field()
    storage_options: dict[str, Any] = secret_field()
    validation: int = attrs.field(default=1024, validator=[ge(1), le(MOST_SAMPLES)])
    cache_gib: float = attrs.field(default=64.0, validator=[gt(0.0), le(2.0**20)])
    normalise: Normalisation | None = None
    autoencoder: Any = component_field("autoencoder", None, optional=True)
    expected: Expected | None = None

    @property
    def facts(self) -> Facts:
        """What is expected; else what the index says, without reading any shard.

        Raises:
            DataError: if the index is missing or damaged.
            ConfigError: if the normalisation is of another number of channels.
        """
        facts = read_index(self._location).header.facts if self.expected is None else self.expected.facts
        return attrs.evolve(facts, normalisation=self.normalise)

    def build(self) -> "Shards":
        """Read the index.

        Raises:
            DataError: if the index is missing or damaged, other facts are expected, or the validation part
                would leave nothing to train on.
            ConfigError: if the latents were made with another autoencoder, or cannot be normalised so.
        """
        location, index = self._location, read_index(self._location)
        header = index.header
        if self.expected is not None:
            _check_facts(self.expected.facts, header.facts, location)
        if self.validation >= header.count:
            raise DataError(
                f"{location} holds {header.count} samples, of which {self.validation} for validation leave "
                "none to train on; lower the data set's validation or store more"
            )
        view = self._view(index)
        store = ShardStore(location, index, default_cache(int(self.cache_gib * _GIB)))
        held_M = held_out(header.count, index.shard_samples, self.validation)
        rest_M = np.setdiff1d(np.arange(header.count), held_M, assume_unique=True)
        return Shards(
            facts=attrs.evolve(header.facts, normalisation=self.normalise),
            train=ShardSplit(store, rest_M, normalisation=self.normalise),
            validation=ShardSplit(store, held_M, held=True, normalisation=self.normalise),
            view=view,
            text_identity=None if header.text is None else header.text.identity,
            index=index,
        )

    def view(self) -> "ShardView":
        """How samples look: by the index alone, and not even that where they cannot be images.

        Raises:
            DataError: if the index is missing or damaged.
            ConfigError: if the latents were made with another autoencoder.
        """
        if self.autoencoder is None and self.expected is not None and self.expected.shape[0] not in (1, 3):
            return ShardView("posterior", self.expected.shape[0], None, self.normalise)
        return self._view(read_index(self._location))

    @property
    def text_identity(self) -> Mapping[str, Any] | None:
        """What encoded the captions, by the index alone; None where there are none."""
        text = read_index(self._location).header.text
        return None if text is None else text.identity

    @property
    def _location(self) -> Location:
        return Location(self.url, self.storage_options)

    def _view(self, index: ShardIndex) -> "ShardView":
        """With the autoencoder, if one is named, once it is known to be the one that made the latents."""
        header, built = index.header, None
        if header.kind == "pixels" and self.normalise is not None:
            raise ConfigError(
                f"{self._location} holds pixels, which are read as values in [-1, 1]; leave normalise out"
            )
        if self.autoencoder is not None:
            built = build_component(self.autoencoder)
            there, here = _lasting(header.autoencoder), _lasting(plain(built.identity))
            if there != here or header.scale != built.scale:
                raise ConfigError(
                    f"{self._location} was made with the autoencoder {there} of scale {header.scale}, not "
                    f"{here} of scale {built.scale}; name that one, or none to do without images"
                )
        return ShardView(header.kind, header.shape[0], built, self.normalise)


@attrs.frozen(eq=False)
class ShardView:
    """How stored samples look.

    Attributes:
        kind: ``posterior`` or ``pixels``.
        channels: of a sample.
        autoencoder: decodes samples; None where none is named.
        normalisation: of the samples, which it undoes; None for none.
    """

    kind: str
    channels: int
    autoencoder: Autoencoder | None
    normalisation: Normalisation | None = None

    def images(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N channels height width"] | None:
        """Samples as images 0..255; None for latents without an autoencoder, and for odd channels."""
        if self.kind == "pixels":
            return to_images(x) if self.channels in (1, 3) else None
        if self.autoencoder is None:
            return None
        if isinstance(self.autoencoder, nn.Module):
            self.autoencoder.to(x.device)
        return self.autoencoder.decode(denormalised(x, self.normalisation))


@attrs.frozen(eq=False)
class Shards:
    """Stored samples in two parts.

    Attributes:
        facts: shape, classes and text.
        train: what is trained on.
        validation: what is held out.
        view: how samples look.
        text_identity: what encoded the captions; None where there are none.
        index: what is in which shard, with the checksum of each.
    """

    facts: Facts
    train: ShardSplit
    validation: ShardSplit
    view: ShardView
    text_identity: Mapping[str, Any] | None
    index: ShardIndex

    @cached_property
    def identity(self) -> str:
        """A hash of the index, which has those of all shards, how many samples are held out, and a hash of
        the normalisation if there is one."""
        digest = hashlib.sha256(self.index.to_bytes()).hexdigest()
        stated = f"shards:{digest}:{len(self.validation)}"
        normalisation = self.facts.normalisation
        if normalisation is None:
            return stated
        return f"{stated}:{hashlib.sha256(repr(normalisation).encode()).hexdigest()}"

    @property
    def contents(self) -> Mapping[str, Contents]:
        """What the source held that was encoded, if it states that."""
        contents = self.index.header.contents
        return {} if contents is None else {"source": contents}

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of labels; empty where they have none."""
        return self.index.header.class_names

    def images(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N channels height width"] | None:
        """Samples as images 0..255; None for latents without an autoencoder, and for odd channels."""
        return self.view.images(x)


def held_out(count: int, shard_samples: int, validation: int) -> Int64[np.ndarray, " {validation}"]:
    """The samples that are held out, ascending; the same for every seed.

    They come from a few shards, evenly spaced, so that a remote set need not be fetched as a whole to be
    validated on. Within these they are those whose number has the smallest hash, so that no order in which
    samples were stored can matter.

    Args:
        count: samples in all.
        shard_samples: samples in each shard but the last.
        validation: how many are held out.
    """
    shards = -(-count // shard_samples)
    several = min(shards, max(_SPREAD, -(-2 * validation // shard_samples) + 1))
    numbers = (2 * np.arange(several) + 1) * shards // (2 * several)
    samples = (numbers[:, None] * shard_samples + np.arange(shard_samples)).ravel()
    samples = samples[samples < count]
    return np.sort(samples[np.argsort(_hashed(samples), kind="stable")[:validation]])


def _hashed(numbers: Int64[np.ndarray, " M"]) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), which no library can change on us."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _check_facts(expected: Facts, there: Facts, location: Location) -> None:
    if _shown(expected) != _shown(there):
        raise DataError(
            f"{location} holds samples of {_shown(there)} where {_shown(expected)} are expected; give other "
            "data, or change the data set's 'expected'"
        )
    for name, one in expected.features.items():
        found = there.features.get(name)
        if found is None or (tuple(found.grid), found.width) != (tuple(one.grid), one.width):
            stored = "none" if found is None else f"{found.width} of {found.grid}"
            raise DataError(
                f"{location} stores {stored} where features of {name} are expected, {one.width} of each of "
                f"{one.grid} tokens; encode the images by thalweg encode --teacher, or change the data set's "
                "'expected'"
            )


def _lasting(identity: Mapping[str, Any]) -> dict[str, Any]:
    # In which precision it encoded is of no account to decoding, and how it rounds of none to encoding; a
    # file of code that was edited since may still decode.
    passing = ("precision", "rounding", FILES_KEY)
    return {key: value for key, value in identity.items() if key not in passing}


def _shown(facts: Facts) -> str:
    parts = [f"shape {facts.shape}", f"{facts.classes or 'no'} classes"]
    return " with ".join([*parts, f"captions of {facts.text}"] if facts.text else parts)
