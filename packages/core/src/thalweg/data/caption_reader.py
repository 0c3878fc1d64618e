"""Captions of a source in shards, encoded with each batch: there are too many to keep."""

from functools import cached_property
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from thalweg.data.caption_table import check_captioned, chosen
from thalweg.plugins import build_component
from thalweg.protocols import Source, TextEncoder
from thalweg.types import Text


class CaptionReader:
    """Captions by the images' places in a source; the encoder is loaded at the first read and kept.

    Args:
        source: whose records bear captions; it has ``captions(index)``.
        encoder: the config of a text encoder.

    Raises:
        DataError: if the source has no captions.
    """

    def __init__(self, source: Source, encoder: Any) -> None:
        check_captioned(source)
        self._source: Any = source
        self._config, self._lock = encoder, Lock()

    def read(self, places_N: Int[ndarray, " N"], draws_N: Float[Tensor, " N"]) -> Text:
        """A caption of each image, encoded, in float32.

        Args:
            places_N: the images.
            draws_N: in [0, 1), which of each image's captions it is.

        Raises:
            DataError: if the encoder's weights, or a shard, are missing or damaged.
        """
        words = self.words(places_N, draws_N)
        with self._lock:  # several threads read ahead
            (tokens_1LE, mask_1L), encoder = self._empty, self._encoder
            encoded = encoder(words)
        # As stored captions are.
        tokens_NLE = encoded.tokens.half().float().cpu()
        return Text(tokens_NLE, encoded.mask.cpu(), tokens_1LE[0], mask_1L[0])

    def words(self, places_N: Int[ndarray, " N"], draws_N: Float[Tensor, " N"]) -> list[str]:
        """The captions that :meth:`read` gives, as they are written; empty where there is none."""
        several = [self._source.captions(place) or ("",) for place in places_N.tolist()]
        return [one[chosen(draw, len(one))] for one, draw in zip(several, draws_N.tolist(), strict=True)]

    @cached_property
    def _encoder(self) -> TextEncoder:
        encoder: TextEncoder = build_component(self._config)
        return encoder

    @cached_property
    def _empty(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            encoded = self._encoder([""])
        return encoded.tokens.half().float().cpu(), encoded.mask.cpu()
