"""Captions for samples of a network that reads them: those of a data set, or prompts."""

import hashlib
import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import torch
from torch.nn.utils.rnn import pad_sequence

from thalweg.config import plain
from thalweg.data.sources.captions import captions_by_file, captions_of
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.generation.settings import PARTS, GenerationConfig
from thalweg.plugins import build_component
from thalweg.protocols import Dataset, Split, TextEncoder
from thalweg.randomness import generator
from thalweg.storage import Location, redacted
from thalweg.types import EncodedCaptions, Text

_LISTED = 64  # more prompts than these are described by their number and hash
_KEPT = 256  # encoded prompts

_log = logging.getLogger("thalweg")


@runtime_checkable
class Captions(Protocol):
    """Captions by a sample's index, each a function of the seed and that index alone.

    Attributes:
        described: what they are, in plain values.
    """

    described: Any

    def read(self, indices: Sequence[int]) -> Text:
        """Encoded captions of the samples at these indices."""
        ...

    def words(self, indices: Sequence[int]) -> list[str] | None:
        """The same in words; None where only their encoding is stored."""
        ...


def captions_for(
    facts: Facts, sampling: GenerationConfig, data: Any, device: torch.device | str
) -> Captions | None:
    """The captions that a network's samples are generated for; None where it reads none.

    Args:
        facts: of the network.
        sampling: states which.
        data: config of the run's data set; None without a run.
        device: where the text encoder runs.

    Raises:
        ConfigError: if captions are given to a network that reads none, or there are none for one that does;
            or if the text encoder is missing or another than the network was trained with.
        DataError: if the file of captions, or the encoder's weights, are missing or damaged.
    """
    from_file = sampling.captions not in PARTS
    if facts.text is None:
        if sampling.prompts or from_file:
            raise ConfigError("the network reads no captions; leave prompts and captions out")
        return None
    if not sampling.prompts and not from_file:
        if data is None:
            raise ConfigError(
                "the network reads captions, and there are none: give prompts, or take it in its "
                "run's folder, whose data set has captions"
            )
        dataset: Dataset = build_component(data)
        part = dataset.train if sampling.captions == "train" else dataset.validation
        return PartCaptions(part, sampling.seed, sampling.captions)
    prompts = sampling.prompts or read_captions(sampling.captions)
    origin = "prompts" if sampling.prompts else redacted(sampling.captions)
    return Prompts(prompts, _encoder(facts, sampling, data, device), origin)


def read_captions(url: str) -> tuple[str, ...]:
    """Captions of a file: ``.json`` as MS-COCO has them, of each image the first, in the order of the
    images' names; any other, a text of one a line.

    Raises:
        DataError: if it is missing, damaged or holds none.
    """
    place = Location(url)
    if place.suffix != ".json":
        found = captions_of(place.read(), redacted(url))
    else:
        by_file = captions_by_file(place.read(), redacted(url))
        found = tuple(by_file[name][0] for name in sorted(by_file, key=lambda name: name.split("/"))
                      if by_file[name])  # fmt: skip
    if not found:
        raise DataError(f"{redacted(url)} holds no caption; give a file that does")
    return found


class PartCaptions:
    """Captions of a part of a data set: sample i gets one of its i-th image's, from the start again after the
    last.

    Args:
        split: the part.
        seed: of the samples, by which one of several captions is chosen.
        part: its name.
    """

    def __init__(self, split: Split, seed: int, part: str) -> None:
        self._split, self._seed = split, seed
        self.described = {"part": part, "images": len(split)}

    def read(self, indices: Sequence[int]) -> Text:
        """Encoded captions of the samples at these indices.

        Raises:
            ConfigError: if the data set has none.
        """
        texts = [
            self._split.batch([index % len(self._split)], self._generator(index)).condition.text
            for index in indices
        ]
        found = [one for one in texts if one is not None]
        if len(found) < len(texts):
            raise ConfigError("the network reads captions and its data set has none; name one that has")
        return _joined(found)

    def words(self, indices: Sequence[int]) -> list[str] | None:
        """The captions as they are written; None of a data set that keeps only what they were encoded to."""
        if not hasattr(self._split, "captions"):
            return None
        return [
            self._split.captions([index % len(self._split)], self._generator(index))[0] for index in indices
        ]

    def _generator(self, index: int) -> torch.Generator:
        return generator(self._seed, "sample caption", index)


class Prompts:
    """Captions in words: sample i gets the i-th, from the start again after the last.

    Args:
        prompts: at least one.
        encoder: reads them.
        origin: where they are from.
    """

    def __init__(self, prompts: Sequence[str], encoder: TextEncoder, origin: str) -> None:
        self._prompts = tuple(prompts)
        digest = hashlib.sha256("\n".join(prompts).encode()).hexdigest()
        listed = {"prompts": list(prompts)} if len(prompts) <= _LISTED else {"sha256": digest}
        self.described = {
            "from": origin,
            "count": len(prompts),
            **listed,
            "text_encoder": plain(encoder.identity),
        }
        self._encoder = encoder
        # Each by itself, as no sample may depend on what is generated with it.
        self._encoded = lru_cache(_KEPT)(lambda prompt: encoder([prompt]))
        self._empty = encoder([""])
        self._warned = False

    def read(self, indices: Sequence[int]) -> Text:
        """Encoded captions of the samples at these indices; a warning says once that some are cut."""
        found: list[EncodedCaptions] = [self._encoded(one) for one in self.words(indices)]
        if not self._warned and any(one.cut for one in found):
            self._warned = True
            cut = sum(self._encoded(one).cut for one in dict.fromkeys(self._prompts[:_KEPT]))
            _log.warning(
                "%d of %d prompts are longer than %d tokens and lose their end",
                cut,
                min(len(set(self._prompts)), _KEPT),
                self._encoder.length,
            )
        # In half precision, as captions are kept for training.
        empty_LE, empty_L = self._empty.tokens[0].half().float().cpu(), self._empty.mask[0].cpu()
        tokens_NLE = torch.cat([one.tokens.half().float().cpu() for one in found])
        return Text(tokens_NLE, torch.cat([one.mask.cpu() for one in found]), empty_LE, empty_L)

    def again(self, prompts: Sequence[str]) -> "Prompts":
        """Other ones, read by the same encoder."""
        return Prompts(prompts, self._encoder, "prompts")

    def words(self, indices: Sequence[int]) -> list[str]:
        """The captions as they are written."""
        return [self._prompts[index % len(self._prompts)] for index in indices]


def _encoder(facts: Facts, sampling: GenerationConfig, data: Any, device: torch.device | str) -> TextEncoder:
    config = sampling.text if sampling.text is not None else getattr(data, "text", None)
    if config is None:
        raise ConfigError(
            "the run does not say which text encoder reads prompts; name the one that its captions were "
            "encoded with, such as text=clip text.weights=PATH"
        )
    length, width = config.shape
    if facts.text != (length, width):
        raise ConfigError(
            f"the network was trained on captions of {_shown(facts.text)} and the text encoder gives "
            f"{_shown((length, width))}; name the one that it was trained with, with its length"
        )
    encoder: TextEncoder = build_component(config)
    # A data set that names its encoder itself holds no captions of another one.
    stored = None if sampling.text is None or data is None else _stored(data)
    if stored is not None and plain(stored) != plain(encoder.identity):
        raise ConfigError(
            f"the captions of the run's data set were encoded by {plain(stored)}, not by "
            f"{plain(encoder.identity)}; name that one by text=... and its options"
        )
    if isinstance(encoder, torch.nn.Module):
        encoder.to(device)
    return encoder


def _stored(data: Any) -> Any:
    """What encoded the captions that a data set holds, by its config where that states it."""
    if hasattr(type(data), "text_identity"):
        return data.text_identity
    return None if hasattr(data, "text") else getattr(build_component(data), "text_identity", None)


def _shown(shape: tuple[int, int] | None) -> str:
    return "none" if shape is None else f"{shape[0]} tokens of width {shape[1]}"


def _joined(texts: Sequence[Text]) -> Text:
    """Several in one; shorter ones are padded to the longest."""
    return Text(
        tokens=pad_sequence([tokens for text in texts for tokens in text.tokens], batch_first=True),
        mask=pad_sequence([mask for text in texts for mask in text.mask], batch_first=True),
        empty_tokens=texts[0].empty_tokens,
        empty_mask=texts[0].empty_mask,
    )
