"""Whether a sample shows what its caption says: its caption is to be found among others by the real images
that have them.

No network that reads captions is needed, so it serves where CLIP cannot be had or does not know the images.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import attrs
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.arguments import SAMPLES, SEED, Integers
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.protocols import Statistic
from thalweg.randomness import generator
from thalweg_eval.metrics.comparison import FeatureComparison
from thalweg_eval.statistics.collected import Collected

_CAPTION_IDS = "captions"


@attrs.frozen
class CaptionRetrievalConfig:
    """Share of samples whose own caption is found among ``candidates``: its own and others at random.

    Each candidate stands for the real images that have it. The one whose nearest real image is nearest to
    the sample, by Euclidean distance in the pooled features, is the one found; a tie is a miss. By chance it
    is right once in ``candidates``. The reference must be real images with the captions that samples were
    drawn for.

    Attributes:
        candidates: captions to choose among.
        seed: of the others, which differ from sample to sample.
    """

    candidates: int = attrs.field(default=20, validator=Integers(2, SAMPLES.high))
    seed: int = attrs.field(default=0, validator=SEED)

    def build(self, _: Facts) -> "CaptionRetrieval":
        """The metric."""
        return CaptionRetrieval(self.candidates, self.seed)


class CaptionRetrieval(FeatureComparison):
    """The metric ``caption_retrieval``, from 0 to 1."""

    name = "caption_retrieval"

    def __init__(self, candidates: int, seed: int) -> None:
        self._candidates, self._seed = candidates, seed

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """All features, and the caption of each image."""
        return {**super().statistics(count), _CAPTION_IDS: partial(Collected, "caption_ids")}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """The same of the real images.

        Raises:
            DataError: if there are fewer of them than candidates.
        """
        if count < self._candidates:
            raise DataError(
                f"a caption is sought among {self._candidates}, but there are {count} real images; give "
                "more, or fewer candidates"
            )
        return super().reference_statistics(count)

    def check(self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]) -> None:
        """Compare the reference, if it is at hand, with the first samples and their captions.

        Raises:
            DataError: if widths differ, or the reference lacks captions.
        """
        super().check(samples, reference)
        if _CAPTION_IDS in reference:
            self._places(*(cast(Collected, side[_CAPTION_IDS]).ordered() for side in (samples, reference)))

    def __call__(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """The share.

        Raises:
            DataError: if a sample was generated for a caption that no real image has, there are fewer
            captions
                than candidates, or widths differ.
        """
        ours_NF, real_MF = self._ordered(samples, reference)
        ids_N, ids_M = (cast(Collected, side[_CAPTION_IDS]).ordered() for side in (samples, reference))
        captions_K, own_N = self._places(ids_N, ids_M)
        distances_NK = _nearest(ours_NF, real_MF, torch.searchsorted(captions_K, ids_M), len(captions_K))
        others_NC = _others(own_N, len(captions_K), self._candidates - 1, self._seed)
        own = distances_NK.gather(1, own_N[:, None])
        return {self.name: float((own < distances_NK.gather(1, others_NC)).all(1).double().mean())}

    def _places(
        self, ids_N: Int64[Tensor, " N"], ids_M: Int64[Tensor, " M"]
    ) -> tuple[Int64[Tensor, " K"], Int64[Tensor, " N"]]:
        """The captions that real images have, and the place of each sample's own among them.

        Raises:
            DataError: if there are too few, or a sample's own is not among them.
        """
        captions_K = ids_M.unique()
        if len(captions_K) < self._candidates:
            raise DataError(
                f"a caption is sought among {self._candidates}, and the real images have {len(captions_K)} "
                "different ones; give more images, or fewer candidates"
            )
        own_N = torch.searchsorted(captions_K, ids_N).clamp_max(len(captions_K) - 1)
        strange_N = captions_K[own_N] != ids_N
        if bool(strange_N.any()):
            place = int(strange_N.nonzero()[0])
            raise DataError(
                f"sample {place} was generated for a caption that no image of the reference has; compare "
                "with the part of the data set whose captions the samples were generated for"
            )
        return captions_K, own_N


def _nearest(
    ours_NF: Float[Tensor, "N F"],
    real_MF: Float[Tensor, "M F"],
    captions_M: Int64[Tensor, " M"],
    captions: int,
) -> Float[Tensor, "N K"]:
    """Squared distance, less the square of the sample's own length, to the nearest image of each caption."""
    real_MF = real_MF.double()
    squares_NM = real_MF.square().sum(1) - 2 * (ours_NF.double() @ real_MF.T)
    nearest_NK = torch.full((len(ours_NF), captions), torch.inf, dtype=torch.float64)
    return nearest_NK.scatter_reduce(1, captions_M.expand_as(squares_NM), squares_NM, "amin")


def _others(own_N: Int64[Tensor, " N"], captions: int, count: int, seed: int) -> Int64[Tensor, "N {count}"]:
    """For each sample, as many captions other than its own, each set of them equally likely.

    The draws of sample i depend on (seed, i) alone.
    """
    found = []
    for place, own in enumerate(own_N.tolist()):
        drawn = torch.randperm(captions - 1, generator=generator(seed, "candidate captions", place))[:count]
        found.append(drawn + (drawn >= own))
    return torch.stack(found)
