"""Which samples are held out for validation."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def held_out(labels: Int[Tensor, " N"], share: float) -> Bool[Tensor, " N"]:
    """A mask that picks about ``share`` of each class, evenly spaced.

    The same for every seed; never all of a class, and none only of a class of one sample.
    """
    mask_N = torch.zeros(len(labels), dtype=torch.bool)
    for label in sorted(set(labels.tolist())):
        places = (labels == label).nonzero().squeeze(1)
        count = min(max(round(share * len(places)), 1), len(places) - 1)
        # The middles of `count` equal stretches; whole numbers, so that no rounding can move one.
        picks = [(2 * i + 1) * len(places) // (2 * count) for i in range(count)]
        mask_N[places[picks]] = True
    return mask_N
