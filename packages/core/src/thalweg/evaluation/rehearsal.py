"""What would stand against the numbers in the end, found before the first image is seen."""

from collections.abc import Sequence

import attrs
import torch

from thalweg.evaluation.images import Images, Piece, captions_of
from thalweg.evaluation.judges import Judge
from thalweg.evaluation.parts import Makers, Statistics

_COUNT = 2


@attrs.frozen(eq=False)
class Rehearsal:
    """What a few stand-ins for samples came to.

    Attributes:
        statistics: of the stand-ins, by key.
        size: of these, in bytes.
        growth: bytes that each further image adds.
    """

    statistics: Statistics
    size: int
    growth: int

    def size_of(self, count: int) -> int:
        """Bytes of the statistics of so many images."""
        return self.size + self.growth * max(0, count - _COUNT)


def rehearsed(judges: Sequence[Judge], samples: Images, makers: Makers) -> Rehearsal:
    """Show judges two stand-ins for samples: noise, with the captions of the first samples.

    Whatever extractors and statistics say against images of this shape, against samples without labels or
    captions, or against these captions, they say here.

    Args:
        judges: all.
        samples: what they are going to see.
        makers: the statistics that they need of samples.

    Raises:
        ThalwegError: what a judge says.
    """
    captions = captions_of(samples, _COUNT)
    draws = torch.Generator().manual_seed(0)
    statistics = {key: make() for key, make in makers.items()}
    sizes = []
    for place in range(_COUNT):
        piece = Piece(
            torch.randint(0, 256, (1, *samples.shape), generator=draws, dtype=torch.uint8),
            None if samples.classes is None else torch.zeros(1, dtype=torch.int64),
            None if captions is None else captions[place : place + 1],
        )
        for judge in judges:
            judge.count(judge.features(piece), piece.labels, [place], statistics)
        sizes.append(_size(statistics))
    return Rehearsal(statistics, sizes[-1], sizes[-1] - sizes[-2])


def _size(statistics: Statistics) -> int:
    return sum(tensor.nbytes for one in statistics.values() for tensor in one.state().values())
