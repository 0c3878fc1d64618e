"""Streaming moments: the same as of the whole, however it is cut."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.randomness import generator
from thalweg.types import Features
from thalweg_eval.statistics.moments import FeatureMoments

VECTORS = torch.randn(60, 7, generator=generator(0, "test"), dtype=torch.float64) * 3 + 100


def seen(*batches: torch.Tensor) -> FeatureMoments:
    moments = FeatureMoments()
    for batch in batches:
        moments.update(Features(batch), None, range(len(batch)))
    return moments


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=8), merge=st.booleans())
def test_any_cut_gives_the_moments_of_the_whole(cuts: list[int], merge: bool) -> None:
    edges = [0, *sorted(cuts), 60]
    batches = [VECTORS[start:stop] for start, stop in pairwise(edges)]
    moments = FeatureMoments()
    for batch in batches:
        if merge:
            moments.merge(seen(batch))
        else:
            moments.update(Features(batch), None, range(len(batch)))
    assert moments.count == 60
    np.testing.assert_allclose(moments.mean(), np.mean(VECTORS.numpy(), 0), rtol=1e-10)
    np.testing.assert_allclose(moments.covariance(), np.cov(VECTORS.numpy().T), rtol=1e-10, atol=1e-10)


def test_a_large_common_offset_costs_no_digits() -> None:
    # Sums of raw squares near 1e16 would leave no digit of a variance near 1.
    shifted = (VECTORS - 100).round(decimals=3) + 2.0**27
    moments = seen(*shifted.split(7))
    np.testing.assert_allclose(moments.covariance(), np.cov((shifted - 2.0**27).numpy().T), atol=1e-6)


def test_the_covariance_is_symmetric_and_of_float32_features_in_float64() -> None:
    moments = seen(*VECTORS.float().split(11))
    assert moments.mean().dtype == moments.covariance().dtype == torch.float64
    np.testing.assert_allclose(moments.covariance(), np.cov(VECTORS.float().double().numpy().T), rtol=1e-10)


def test_what_has_no_moments_is_said() -> None:
    with pytest.raises(DataError, match="no images"):
        seen().mean()
    with pytest.raises(DataError, match="at least two images, but there is 1"):
        seen(VECTORS[:1]).covariance()
    with pytest.raises(DataError, match="at least two images, but there are 0"):
        seen(VECTORS[:0]).covariance()
    with pytest.raises(DataError, match="width 6 meet features of width 7"):
        seen(VECTORS, VECTORS[:, :6])
    with pytest.raises(DataError, match="width 6 meet features of width 7"):
        seen(VECTORS).merge(seen(VECTORS[:, :6]))
    for value in ("nan", "inf"):
        with pytest.raises(DataError, match="not finite"):
            seen(VECTORS, torch.full((2, 7), float(value), dtype=torch.float64))
