"""Retrieval of captions where the answer is known."""

import pytest
import torch

from thalweg.config import component
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.randomness import generator
from thalweg.types import Features
from thalweg_authoring.kinds.metrics import numbers


def metric(**options):
    return component("metric", {"type": "caption_retrieval", **options}).build(Facts(shape=(3, 8, 8)))


def side(pooled, ids):
    return [Features(pooled.float(), caption_ids=torch.as_tensor(ids))]


def retrieved(samples, reference, **options):
    return numbers(metric(**options), samples, reference)["caption_retrieval"]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"))


def test_images_near_those_of_their_caption_are_found_and_others_are_not():
    real = 10 * normal(40, 6)
    said = 7 * torch.arange(40) - 100  # captions are numbers of any kind
    reference = side(real, said)
    assert retrieved(side(real + 0.01 * normal(40, 6, seed=1), said), reference) == 1
    # Near the image of the next caption: found only where it is not among the candidates, so almost never.
    assert retrieved(side(real.roll(-1, 0), said), reference, candidates=40) == 0


def test_any_image_of_a_caption_will_do():
    # Two images a caption, far apart; samples lie near the second one.
    real, said = 10 * normal(60, 6), torch.arange(30).repeat(2)
    samples = side(real[30:] + 0.01, said[30:])
    assert retrieved(samples, side(real, said), candidates=30) == 1
    assert retrieved(samples, side(real[:30], said[:30]), candidates=30) < 1


@pytest.mark.parametrize("candidates", [2, 20])
def test_by_chance_it_is_one_in_all_candidates(candidates):
    count = 6000
    said = torch.randint(50, (count,), generator=generator(3, "test"))
    reference = side(normal(50, 400, seed=1), torch.arange(50))
    found = retrieved(side(normal(count, 400, seed=2), said), reference, candidates=candidates)
    share = 1 / candidates
    assert abs(found - share) < 4 * (share * (1 - share) / count) ** 0.5


def test_a_tie_is_a_miss():
    real = torch.zeros(20, 3)
    assert retrieved(side(real, torch.arange(20)), side(real, torch.arange(20))) == 0


def test_candidates_are_a_matter_of_the_seed_and_the_place():
    reference = side(normal(50, 3), torch.arange(50))
    samples = side(normal(50, 3) + normal(50, 3, seed=2), torch.arange(50))
    found = [retrieved(samples, reference, candidates=5, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert found[0] == found[1]
    assert len(set(found)) > 1


def test_what_cannot_be_asked_is_named():
    said = torch.arange(25)
    reference = side(normal(25, 3), said)
    with pytest.raises(ConfigError, match="needs the captions of samples and of real images"):
        retrieved([Features(normal(25, 3))], reference)
    with pytest.raises(
        DataError, match="sample 1 was generated for a caption that no image of the reference has"
    ):
        retrieved(side(normal(3, 3), [3, 25, 4]), reference)
    with pytest.raises(DataError, match="there are 25 real images"):
        retrieved(side(normal(25, 3), said), reference, candidates=26)
    few = side(normal(25, 3), said % 7)
    with pytest.raises(DataError, match="the real images have 7 different ones"):
        retrieved(side(normal(25, 3), said % 7), few)
