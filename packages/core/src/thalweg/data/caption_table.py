"""Captions of a source, each encoded once and kept in memory."""

import logging
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from thalweg.data.sources.captions import captions_to_learn
from thalweg.errors import DataError
from thalweg.plugins import build_component
from thalweg.protocols import Source, TextEncoder
from thalweg.types import Text

KEPT_BYTES = 4 * 2**30
"""What all encoded captions may take; more belongs into shards."""

_AT_ONCE = 1024
_log = logging.getLogger("thalweg")


class _Encoded(NamedTuple):
    """The empty caption, and then all others that differ, in half precision on the CPU."""

    tokens: Float[Tensor, "U L E"]
    mask: Bool[Tensor, "U L"]
    rows: tuple[Int[np.ndarray, " _"], ...]


def check_captioned(source: Source) -> None:
    """Refuse a source without captions.

    Raises:
        DataError: if it has none.
    """
    if not source.captioned:
        raise DataError(
            "the data set's source has no captions for its text encoder; give one that has, or leave 'text' "
            "out"
        )


def chosen(draw: float, count: int) -> int:
    """Which of so many captions a draw in [0, 1) picks."""
    return min(int(draw * count), count - 1)


class CaptionTable:
    """Encoded captions by the images' places in a source.

    The encoder is loaded and asked at the first read, and let go afterwards, so a training step costs
    nothing of it.

    Args:
        source: whose records bear captions.
        encoder: the config of a text encoder.

    Raises:
        DataError: if the source has no captions, or too many to be kept.
    """

    def __init__(self, source: Source, encoder: Any) -> None:
        check_captioned(source)
        self._source, self._encoder, self._lock = source, encoder, Lock()

    def read(self, places_N: Int[np.ndarray, " N"], draws_N: Float[Tensor, " N"]) -> Text:
        """A caption of each image, encoded, in float32.

        Args:
            places_N: the images.
            draws_N: in [0, 1), which of each image's captions it is.

        Raises:
            DataError: if the encoder's weights are missing or damaged.
        """
        with self._lock:  # several threads read ahead, and one of them encodes
            table = self._encoded
        drawn = zip((table.rows[place] for place in places_N), draws_N.tolist(), strict=True)
        rows_N = torch.tensor([rows[chosen(draw, len(rows))] for rows, draw in drawn])
        tokens_NLE, empty_LE = table.tokens[rows_N].float(), table.tokens[0].float()
        return Text(tokens_NLE, table.mask[rows_N], empty_LE, table.mask[0])

    def words(self, places_N: Int[np.ndarray, " N"], draws_N: Float[Tensor, " N"]) -> list[str]:
        """The captions that :meth:`read` gives, as they are written; empty where there is none."""
        captions = (self._captions[place] or ("",) for place in places_N.tolist())
        drawn = zip(captions, draws_N.tolist(), strict=True)
        return [several[chosen(draw, len(several))] for several, draw in drawn]

    @cached_property
    def _captions(self) -> list[tuple[str, ...]]:
        return captions_to_learn(self._source)

    @cached_property
    def _encoded(self) -> _Encoded:
        captions = self._captions
        unique = list(dict.fromkeys(caption for several in captions for caption in several))
        length, width = self._encoder.shape
        needed = len(unique) * length * width * 2
        if needed > KEPT_BYTES:
            raise DataError(
                f"{len(unique):,} captions take {needed / 2**30:.1f} GiB when they are encoded, more than is "
                f"kept in memory; store them with thalweg encode --text"
            )
        encoder: TextEncoder = build_component(self._encoder)
        starts = range(0, len(unique), _AT_ONCE)
        parts = [encoder([""]), *(encoder(unique[start : start + _AT_ONCE]) for start in starts)]
        cut = sum(part.cut for part in parts)
        if cut:
            _log.warning(
                "%d of %d captions are longer than %d tokens and lose their end", cut, len(unique), length
            )
        tokens = torch.cat([part.tokens.half().cpu() for part in parts])
        numbers = {caption: row for row, caption in enumerate(unique, 1)}
        rows = tuple(np.array([numbers[one] for one in several] or [0], np.int64) for several in captions)
        return _Encoded(tokens, torch.cat([part.mask.cpu() for part in parts]), rows)
