"""Captions of a source, each encoded once and kept in memory."""

import logging
from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import attrs
import numpy as np
import torch
from jaxtyping import Float, Int
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


@attrs.frozen(eq=False)
class _Encoded:
    """All captions that differ, in half precision."""

    tokens: Float[Tensor, "U L E"]
    mask: Tensor
    rows: tuple[Int[np.ndarray, " _"], ...]
    empty_tokens: Float[Tensor, "L E"]
    empty_mask: Tensor


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
        if not source.captioned:
            raise DataError(
                "the data set's source has no captions for its text encoder; give one that has, or leave "
                "'text' out"
            )
        self._source, self._encoder, self._lock = source, encoder, Lock()

    def __len__(self) -> int:
        return len(self._source)

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
        rows_N = torch.tensor(
            [rows[self._drawn(draw, len(rows))] if len(rows) else -1
             for rows, draw in zip((table.rows[place] for place in places_N), draws_N.tolist(), strict=True)]
        )  # fmt: skip
        bare_N = rows_N < 0
        tokens_NLE, mask_NL = table.tokens[rows_N].float(), table.mask[rows_N].clone()
        tokens_NLE[bare_N], mask_NL[bare_N] = table.empty_tokens.float(), table.empty_mask
        return Text(tokens_NLE, mask_NL, table.empty_tokens.float(), table.empty_mask)

    def words(self, places_N: Int[np.ndarray, " N"], draws_N: Float[Tensor, " N"]) -> list[str]:
        """The captions that :meth:`read` gives, as they are written; empty where there is none."""
        found = []
        for place, draw in zip(places_N.tolist(), draws_N.tolist(), strict=True):
            captions = self._captions[place]
            found.append(captions[self._drawn(draw, len(captions))] if captions else "")
        return found

    @staticmethod
    def _drawn(draw: float, count: int) -> int:
        return min(int(draw * count), count - 1)

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
        tokens, mask = encoded(encoder, unique)
        empty = encoder([""])
        numbers = {caption: row for row, caption in enumerate(unique)}
        rows = tuple(np.array([numbers[one] for one in several], np.int64) for several in captions)
        return _Encoded(tokens, mask, rows, empty.tokens[0].half().cpu(), empty.mask[0].cpu())


def encoded(encoder: TextEncoder, captions: Sequence[str]) -> tuple[Float[Tensor, "U L E"], Tensor]:
    """Captions in half precision on the CPU, and their mask; those that are cut are counted in one line."""
    parts = [encoder(captions[start : start + _AT_ONCE]) for start in range(0, len(captions), _AT_ONCE)]
    cut = sum(part.cut for part in parts)
    if cut:
        _log.warning(
            "%d of %d captions are longer than %d tokens and lose their end",
            cut,
            len(captions),
            encoder.length,
        )
    empty = torch.zeros(0, encoder.length, encoder.width)
    tokens_ULE = torch.cat([empty.half(), *(part.tokens.half().cpu() for part in parts)])
    return tokens_ULE, torch.cat([empty[..., 0].bool(), *(part.mask.cpu() for part in parts)])
