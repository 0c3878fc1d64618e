"""The Frechet distance against closed forms, an independent square root and 50 digits."""

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.protocols import Metric
from thalweg.randomness import generator
from thalweg.types import Features
from thalweg_authoring.kinds.metrics import numbers
from thalweg_eval.metrics.frechet import FrechetDistanceConfig, SpatialFrechetDistanceConfig, frechet_distance

FACTS = Facts(shape=(1, 8, 8))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def covariance(width: int, seed: int, rank: int | None = None) -> Tensor:
    root = normal(width, rank or 2 * width, seed=seed)
    return root @ root.T / root.shape[1]


def batches(pooled: Tensor, size: int = 16) -> list[Features]:
    return [Features(part) for part in pooled.split(size)]


def distance(samples: Tensor, reference: Tensor) -> float:
    return numbers(FrechetDistanceConfig().build(FACTS), batches(samples), batches(reference))[
        "frechet_distance"
    ]


def test_covariances_that_commute_have_a_closed_form() -> None:
    rotation = torch.linalg.qr(normal(12, 12)).Q
    mean_1, mean_2 = normal(2, 12, seed=1)
    values_1, values_2 = normal(2, 12, seed=2).exp()
    S_1, S_2 = ((rotation * values) @ rotation.T for values in (values_1, values_2))
    expected = (mean_1 - mean_2).square().sum() + (values_1.sqrt() - values_2.sqrt()).square().sum()
    assert frechet_distance(mean_1, S_1, mean_2, S_2) == pytest.approx(float(expected), rel=1e-12)


def test_general_covariances_agree_with_a_matrix_square_root() -> None:
    S_1, S_2, mean = covariance(20, 1), covariance(20, 2), torch.zeros(20, dtype=torch.float64)
    root = scipy.linalg.sqrtm((S_1 @ S_2).numpy())
    expected = float(S_1.trace() + S_2.trace()) - 2 * np.trace(root).real
    assert frechet_distance(mean, S_1, mean, S_2) == pytest.approx(expected, rel=1e-10)


def exact(S_1: Tensor, S_2: Tensor) -> float:
    """tr(S_1 + S_2) - 2 tr (S_1^(1/2) S_2 S_1^(1/2))^(1/2) with 50 digits."""
    with mpmath.workdps(50):
        first, second = mpmath.matrix(S_1.tolist()), mpmath.matrix(S_2.tolist())
        values, vectors = mpmath.eigsy(first)
        root = vectors * mpmath.diag([mpmath.sqrt(max(value, 0)) for value in values]) * vectors.T
        inner = mpmath.eigsy(root * second * root, eigvals_only=True)
        trace = sum(first[i, i] + second[i, i] for i in range(first.rows))
        return float(trace - 2 * sum(mpmath.sqrt(max(value, 0)) for value in inner))


@pytest.mark.parametrize("decades", [3, 6, 9, 12, 15])
def test_ill_conditioned_covariances_agree_with_fifty_digits(decades: int) -> None:
    spectrum = torch.logspace(0, -decades, 8, dtype=torch.float64)
    rotations = [torch.linalg.qr(normal(8, 8, seed=seed)).Q for seed in (1, 2)]
    S_1, S_2 = ((rotation * spectrum) @ rotation.T for rotation in rotations)
    S_1, S_2 = (S_1 + S_1.T) / 2, (S_2 + S_2.T) / 2
    mean = torch.zeros(8, dtype=torch.float64)
    assert frechet_distance(mean, S_1, mean, S_2) == pytest.approx(exact(S_1, S_2), rel=1e-11)


def test_close_ill_conditioned_covariances_are_off_by_the_root_of_rounding_at_most() -> None:
    # Here L^T S_2 L has eigenvalues down to 1e-24 of the largest, which float64 cannot tell from zero.
    rotation = torch.linalg.qr(normal(20, 20)).Q
    spectrum = torch.logspace(0, -12, 20, dtype=torch.float64)
    S_1, S_2 = ((rotation * values) @ rotation.T for values in (spectrum, spectrum * 1.1))
    S_1, S_2 = (S_1 + S_1.T) / 2, (S_2 + S_2.T) / 2
    mean = torch.zeros(20, dtype=torch.float64)
    trace = float(S_1.trace() + S_2.trace())
    assert abs(frechet_distance(mean, S_1, mean, S_2) - exact(S_1, S_2)) < 20 * 1.5e-8 * trace


@pytest.mark.parametrize(("rank", "other"), [(1, 1), (3, 3), (9, 9), (3, 9), (9, 20), (20, 3)])
def test_covariances_without_full_rank_agree_with_fifty_digits(rank: int, other: int) -> None:
    S_1, S_2 = covariance(10, 1, rank), covariance(10, 2, other)
    mean = torch.zeros(10, dtype=torch.float64)
    assert frechet_distance(mean, S_1, mean, S_2) == pytest.approx(exact(S_1, S_2), rel=1e-7)


def test_fewer_samples_than_features_are_no_obstacle() -> None:
    pooled = normal(30, 200)
    # The same 30 points moved by a vector: only the means differ, by its square.
    move = normal(200, seed=1)
    assert distance(pooled + move, pooled) == pytest.approx(float(move.square().sum()), rel=1e-9)
    assert distance(pooled, pooled) < 1e-9 * float(pooled.square().sum())


def test_zero_covariances_leave_the_distance_of_the_means() -> None:
    zeros, mean = torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    assert frechet_distance(mean + 2, zeros, mean, zeros) == 12


def test_equal_sets_are_at_zero_whatever_their_order_and_batches() -> None:
    pooled = normal(100, 9).exp()
    metric = FrechetDistanceConfig().build(FACTS)
    assert isinstance(metric, Metric)
    assert metric.name == "frechet_distance"
    shuffled = pooled[torch.randperm(100, generator=generator(0, "test"))]
    assert 0 <= numbers(metric, batches(pooled, 7), batches(shuffled, 33))["frechet_distance"] < 1e-10


def test_it_is_symmetric_and_grows_with_the_square_of_the_scale() -> None:
    one, two = normal(50, 6), normal(40, 6, seed=1) * 2 + 1
    assert distance(one, two) == pytest.approx(distance(two, one), rel=1e-12)
    assert distance(3 * one, 3 * two) == pytest.approx(9 * distance(one, two), rel=1e-12)
    rotation = torch.linalg.qr(normal(6, 6, seed=3)).Q
    assert distance(one @ rotation, two @ rotation) == pytest.approx(distance(one, two), rel=1e-12)


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(DataError, match="at least two images"):
        distance(normal(1, 5), normal(9, 5))
    with pytest.raises(DataError, match="width 4 cannot be compared with features of width 5"):
        distance(normal(9, 4), normal(9, 5))
    with pytest.raises(DataError, match="not finite"):
        distance(normal(9, 5) / 0, normal(9, 5))


def test_features_that_never_vary_count_by_their_means_alone() -> None:
    one, two = normal(50, 6), normal(50, 6, seed=1)
    still = torch.ones(50, 2, dtype=torch.float64)
    expected = distance(one, two) + 2 * 3.0**2
    assert distance(torch.cat([one, still], 1), torch.cat([two, still + 3], 1)) == pytest.approx(expected)
    assert distance(still, still + 3) == pytest.approx(18)


def test_spatial_features_have_a_distance_of_their_own() -> None:
    one, two = normal(30, 4), normal(30, 4, seed=1)
    metric = SpatialFrechetDistanceConfig().build(FACTS)
    seen = [[Features(pooled=part[:, :2], spatial=part)] for part in (one, two)]
    assert numbers(metric, *seen) == {"spatial_frechet_distance": pytest.approx(distance(one, two))}
    with pytest.raises(ConfigError, match="spatial features are requested"):
        numbers(metric, batches(one), batches(two))
