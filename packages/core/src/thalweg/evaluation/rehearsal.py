"""What would stand against the numbers in the end, found before the first image is seen."""

from collections.abc import Sequence

import torch

from thalweg.evaluation.images import Images, Piece, captions_of
from thalweg.evaluation.judges import Judge
from thalweg.evaluation.parts import Makers, Statistics

_COUNT = 2


def rehearsed(judges: Sequence[Judge], samples: Images, makers: Makers) -> Statistics:
    """Statistics of two stand-ins for samples: noise, with the captions of the first samples.

    Whatever extractors and statistics say against images of this shape, against samples without labels or
    captions, or against these captions, they say here.

    Args:
        judges: all.
        samples: what they are going to see.
        makers: the statistics that they need of samples.

    Raises:
        ThalwegError: what a judge says.
    """
    piece = _stand_ins(samples)
    statistics = {key: make() for key, make in makers.items()}
    for judge in judges:
        judge.count(judge.features(piece), piece.labels, range(_COUNT), statistics)
    return statistics


def _stand_ins(samples: Images) -> Piece:
    draws = torch.Generator().manual_seed(0)
    return Piece(
        torch.randint(0, 256, (_COUNT, *samples.shape), generator=draws, dtype=torch.uint8),
        None if samples.classes is None else torch.zeros(_COUNT, dtype=torch.int64),
        captions_of(samples, _COUNT),
    )
