"""What samples are conditioned on: labels and encoded captions."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from thalweg.transfers import moved


class Text(NamedTuple):
    """Encoded captions, and what stands in for one that is hidden.

    Attributes:
        tokens: what the encoder made of each caption, padded to L tokens.
        mask: True where there is a token, False where there is padding.
        empty_tokens: the encoder's own empty caption.
        empty_mask: its mask.
    """

    tokens: Float[Tensor, "N L E"]
    mask: Bool[Tensor, "N L"]
    empty_tokens: Float[Tensor, "L E"]
    empty_mask: Bool[Tensor, " L"]

    def each(self, function: Callable[[Tensor], Tensor]) -> "Text":
        """The captions with ``function`` applied to what is there once a sample."""
        return self._replace(tokens=function(self.tokens), mask=function(self.mask))

    def to(self, device: torch.device | str) -> "Text":
        """The same captions on another device."""
        return Text(*(moved(tensor, device) for tensor in self))


class EncodedCaptions(NamedTuple):
    """What a text encoder makes of captions.

    Attributes:
        tokens: of each caption, padded.
        mask: True where there is a token, False where there is padding.
        cut: how many captions were too long and lost their end.
    """

    tokens: Float[Tensor, "N L E"]
    mask: Bool[Tensor, "N L"]
    cut: int


class Condition(NamedTuple):
    """What a sample is conditioned on.

    Attributes:
        labels: class of each sample, 0..classes-1; None where there are no classes, or where the whole
            batch is unconditional.
        dropped: samples whose label and caption are hidden from the network (they take the null class and
            the empty caption), as classifier-free guidance asks for; None where none is.
        text: caption of each sample; None where there are none.
    """

    labels: Int[Tensor, " N"] | None = None
    dropped: Bool[Tensor, " N"] | None = None
    text: Text | None = None

    def null(self) -> "Condition":
        """The same samples with everything hidden: the unconditional half of guidance."""
        return self if self._first() is None else self._replace(dropped=torch.ones_like(self.hidden()))

    def select(self, index: Tensor) -> "Condition":
        """The samples that ``index`` (integers or a mask) picks."""
        return self._each(lambda tensor: tensor[index.to(tensor.device)])

    def to(self, device: torch.device | str) -> "Condition":
        """The same condition on another device."""
        text = None if self.text is None else self.text.to(device)
        return self._each(lambda tensor: moved(tensor, device))._replace(text=text)

    def join(self, other: "Condition") -> "Condition":
        """Both batches in one, this one first. Both hold labels or neither does; the same for text."""
        if self._first() is None or other._first() is None:
            return self
        text = None
        if self.text is not None and other.text is not None:
            text = self.text._replace(
                tokens=torch.cat([self.text.tokens, other.text.tokens]),
                mask=torch.cat([self.text.mask, other.text.mask]),
            )
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = torch.cat([self.labels, other.labels])
        return Condition(labels, torch.cat([self.hidden(), other.hidden()]), text)

    def hidden(self) -> Bool[Tensor, " N"]:
        """``dropped`` written out, False where it is None. Needs labels or text."""
        first = self._first()
        if first is None:
            raise ValueError("a condition without labels and text has nothing to hide")
        if self.dropped is None:
            return torch.zeros(len(first), dtype=torch.bool, device=first.device)
        return self.dropped

    def _first(self) -> Tensor | None:
        """Whatever states how many samples there are."""
        return self.labels if self.text is None else self.text.mask

    def _each(self, function: Callable[[Tensor], Tensor]) -> "Condition":
        labels, dropped = (None if one is None else function(one) for one in (self.labels, self.dropped))
        return Condition(labels, dropped, None if self.text is None else self.text.each(function))
