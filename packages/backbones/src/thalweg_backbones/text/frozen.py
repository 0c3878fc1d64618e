"""What all text encoders do alike: cut captions into tokens, pad them, look, and never learn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.types import EncodedCaptions

Read = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From a network, token numbers (N, L) and their mask (N, L) to the last hidden states (N, L, E)."""

_AT_ONCE = 64
"""Captions that are encoded together."""


class FrozenTextEncoder(nn.Module):
    """A text encoder in evaluation mode, in float32 and without gradients.

    Fulfils :class:`thalweg.protocols.TextEncoder`.

    Args:
        identity: what it is, and its weights' SHA-256.
        model: the network.
        tokenizer: a tokenizer of transformers.
        read: how the network is asked.
        length: L, tokens that each caption is padded or cut to, special ones counted.
        width: E, of a token.
    """

    def __init__(
        self,
        identity: Mapping[str, Any],
        model: nn.Module,
        tokenizer: Any,
        read: Read,
        *,
        length: int,
        width: int,
    ) -> None:
        super().__init__()
        self.identity = {**identity, "length": length}
        self.length, self.width = length, width
        self.model = model
        self._tokenizer, self._read = tokenizer, read
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, captions: Sequence[str]) -> EncodedCaptions:
        """Tokens of each caption; those of an empty one are what the encoder makes of it.

        Works on the device of its weights; captions that are too long lose their end, and are counted.
        """
        device = next(self.model.parameters()).device
        cut = sum(
            len(ids) > self.length for ids in self._tokenizer(list(captions), verbose=False)["input_ids"]
        )
        numbers = self._tokenizer(
            list(captions),
            padding="max_length",
            truncation=True,
            max_length=self.length,
            return_tensors="pt",
        )
        ids_NL, mask_NL = numbers["input_ids"], numbers["attention_mask"].bool()
        parts = [
            self._read(self.model, ids_nL.to(device), mask_nL.to(device)).float()
            for ids_nL, mask_nL in zip(ids_NL.split(_AT_ONCE), mask_NL.split(_AT_ONCE), strict=True)
        ]
        return EncodedCaptions(torch.cat(parts), mask_NL.to(device), cut)
