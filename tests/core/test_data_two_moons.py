"""Two moons: their points, their moments, what is held out."""

import math

import pytest
import torch
from sklearn.datasets import make_moons

from thalweg.config import component
from thalweg.errors import ConfigError


def moons(**options):
    return component("dataset", {"type": "two_moons", **options}).build()


def whole(data, part):
    split = getattr(data, part)
    batch = split.batch(range(len(split)), torch.Generator())
    return batch.clean, batch.condition.labels


def distances(data, x):
    """Of points to each moon, in the plane; arcs end."""
    z = data.mean + data.std * x.double()
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    arcs = [(angles.cos(), angles.sin()), (1 - angles.cos(), 0.5 - angles.sin())]
    return torch.stack([torch.cdist(z, torch.stack(arc, dim=1)).amin(dim=1) for arc in arcs], dim=1)


@pytest.mark.parametrize(("samples", "noise", "seed"), [(10, 0.0, 0), (101, 0.05, 3), (1000, 0.2, 7)])
def test_they_are_scikit_learns(samples, noise, seed):
    data = moons(samples=samples, noise=noise, seed=seed)
    points, labels = make_moons(samples, noise=noise, random_state=seed)
    expected = ((torch.from_numpy(points) - data.mean) / data.std).float()
    found = torch.cat([whole(data, "train")[0], whole(data, "validation")[0]])
    own = torch.cat([whole(data, "train")[1], whole(data, "validation")[1]])
    order = torch.cdist(found.double(), expected.double()).argmin(dim=1)
    assert sorted(order.tolist()) == list(range(samples))
    assert torch.equal(found, expected[order])
    assert torch.equal(own, torch.from_numpy(labels)[order])


def test_without_noise_they_lie_on_their_moon():
    data = moons(samples=500, noise=0.0)
    for part in ("train", "validation"):
        x, labels = whole(data, part)
        assert distances(data, x).gather(1, labels[:, None]).max() < 1e-3


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_both_coordinates_have_mean_0_and_variance_1(noise):
    x, _ = whole(moons(samples=200_000, noise=noise), "train")
    torch.testing.assert_close(x.mean(dim=0), torch.zeros(2), rtol=0, atol=0.01)
    torch.testing.assert_close(x.var(dim=0), torch.ones(2), rtol=0, atol=0.015)


def test_what_is_held_out_is_a_fifth_of_each_moon_and_never_trained_on():
    data = moons(samples=1000)
    (train, train_labels), (held_out, held_out_labels) = whole(data, "train"), whole(data, "validation")
    assert torch.bincount(train_labels).tolist() == [400, 400]
    assert torch.bincount(held_out_labels).tolist() == [100, 100]
    assert torch.cdist(train, held_out).min() > 0


def test_its_identity_is_of_its_samples():
    assert moons().identity == moons().identity
    others = [moons(seed=1), moons(noise=0.06), moons(samples=4002), moons(validation=0.21)]
    assert len({one.identity for one in (moons(), *others)}) == 5


def test_points_are_no_images():
    config = component("dataset", "two_moons")
    assert config.build().images(torch.zeros(3, 2)) is None
    assert config.view().images(torch.zeros(3, 2)) is None
    assert config.facts == config.build().facts


@pytest.mark.parametrize(
    "options",
    [
        {"samples": 3}, {"samples": 4.5}, {"samples": 10**9}, {"noise": -0.1}, {"noise": math.nan},
        {"validation": 0}, {"validation": 1.0}, {"seed": -1}, {"seed": 2**32},
    ],
    ids=str,
)  # fmt: skip
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        moons(**options)
