"""The colours of objects, as CLIP names them."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from thalweg_eval.geneval.correctness import Detection
from thalweg_eval.geneval.names import COLOURS

_SENTENCES = (
    "a photo of a {colour} {name}",
    "a photo of a {colour}-colored {name}",
    "a photo of a {colour} object",
)
_GREY = 0x99  # of what does not belong to the object


class Colours:
    """Names the colour of objects without having been trained to: the nearest mean of three sentences.

    Args:
        clip: a vision encoder of crops that encodes sentences too.
    """

    def __init__(self, clip: Any) -> None:
        self._clip = clip
        self._known: dict[str, Tensor] = {}

    def __call__(
        self, image: UInt8[Tensor, "3 H W"], name: str, objects: Sequence[Detection]
    ) -> Sequence[str]:
        """The colour of each object of a class in an image."""
        sentences_KF = self._sentences(name)
        return [
            COLOURS[int((sentences_KF @ self._clip(crop(image, one)[None]).pooled[0]).argmax())]
            for one in objects
        ]

    def _sentences(self, name: str) -> Float[Tensor, "colours F"]:
        if name not in self._known:
            sentences = [
                self._clip.encode_captions(
                    [sentence.format(colour=colour, name=name) for sentence in _SENTENCES]
                )
                for colour in COLOURS
            ]
            means = torch.stack([functional.normalize(one, dim=1).mean(0) for one in sentences])
            self._known[name] = functional.normalize(means, dim=1)
        return self._known[name]


def crop(image: UInt8[Tensor, "3 H W"], one: Detection) -> UInt8[Tensor, "3 h w"]:
    """An object's box, grey where the pixels are not its own; at least one pixel."""
    height, width = image.shape[1:]
    left, top, right, bottom = (round(edge) for edge in one.box)
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    alone = (
        image if one.mask is None else torch.where(one.mask, image, torch.tensor(_GREY, dtype=torch.uint8))
    )
    return alone[:, top : max(bottom, top + 1), left : max(right, left + 1)]
