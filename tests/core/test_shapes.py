"""Data of any shape: what facts take, what a network is planned, evaluated, sampled and saved in."""

import numpy as np
import pytest
import torch

import thalweg
from thalweg.broadcasting import sample_mean
from thalweg.config import component
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts, check_latent, image_shape
from thalweg.network_inputs import check_samples
from thalweg.randomness import SampleNoise
from thalweg.saved_network import save
from thalweg.summary import summarise
from thalweg_authoring.numbers import randomised

SHAPES = [(2,), (1,), (7,), (3, 4), (4, 8, 8), (1, 2, 3, 4), (2, 1, 1, 1, 3)]
ANY_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)
MLP = {"type": "mlp", "width": 16, "depth": 4}
VERA = {"type": "vera", "channels": [8]}


def composed(shape, classes=3):
    facts = Facts(shape=shape, classes=classes)
    return thalweg.compose(backbone=MLP, refiner=VERA, branches=2, facts=facts)


@pytest.mark.parametrize(
    "shape", [*SHAPES, [3, 4], range(1, 4), (1,) * 16, (2**26,), (2**13, 2**13), np.array([2, 3]).tolist()],
    ids=str,
)  # fmt: skip
def test_facts_take_any_shape(shape):
    assert Facts(shape=shape).shape == tuple(shape)


@pytest.mark.parametrize(
    "shape",
    [(), [], (0,), (2, 0), (-1,), (True,), (2, False), (2**26 + 1,), (2**13, 2**13, 2), (10**30,), (1,) * 17],
    ids=repr,
)
def test_facts_refuse_what_is_no_shape(shape):
    """Other types are refused as well: tests/argument_mistakes."""
    with pytest.raises(ConfigError, match=r"^facts\.shape is .*it must be the sizes of one sample") as caught:
        Facts(shape=shape)
    assert len(str(caught.value)) < 400


def test_an_image_has_three_axes():
    assert image_shape((3, 8, 4), "it", "leave it") == (3, 8, 4)
    with pytest.raises(
        ConfigError, match=r"^it is for images alone, .* the data have the shape \(2,\); leave it$"
    ):
        image_shape((2,), "it", "leave it")


@pytest.mark.parametrize("shape", [(4097, 2, 2), (1, 8193, 2), (1, 2, 8193)])
def test_stored_images_and_latents_have_bounds_of_their_own(shape):
    with pytest.raises(ConfigError, match="none of an image or latent"):
        check_latent(shape)


@ANY_SHAPE
def test_a_network_takes_samples_of_its_shape_and_no_others(shape):
    network, times = composed(shape), torch.rand(2, 3)
    assert network(torch.randn(3, *shape), times).velocities[-1].shape == (3, *shape)
    assert network(torch.randn(3, *shape), times[0]).velocities[-1].shape == (3, *shape)
    wanted = f"the network is built for (N, {', '.join(map(str, shape))})"
    for wrong in (shape, (3, *shape, 1), (3, 1, *shape), (3, *shape[:-1], shape[-1] + 1), (3,), ()):
        with pytest.raises(DataError) as caught:
            check_samples("x_t", torch.randn(wrong), network.facts)
        assert str(caught.value) == f"x_t has the shape {tuple(wrong)}; {wanted}"
    for what in (torch.zeros(3, *shape, dtype=torch.int64), np.zeros((3, *shape)), [0.0], None):
        with pytest.raises(DataError, match=r"^x_t is"):
            check_samples("x_t", what, network.facts)


@ANY_SHAPE
def test_the_loss_of_a_sample_is_the_mean_over_its_elements(shape):
    """Ones in place of V + 1 cost 1 whatever the shape."""
    torch.testing.assert_close(sample_mean(torch.full((5, *shape), 3.0)), torch.full((5,), 3.0))
    x = torch.randn(5, *shape)
    torch.testing.assert_close(sample_mean(x), x.reshape(5, -1).mean(dim=1))


def test_the_mean_over_images_is_what_it_was_to_the_bit():
    for shape in ((64, 4, 32, 32), (3, 1, 8, 8), (5, 3, 7, 9)):
        x = torch.randn(shape)
        assert torch.equal(sample_mean(x), x.mean(dim=(1, 2, 3)))


@ANY_SHAPE
def test_sampling_draws_that_shape(shape):
    network = randomised(composed(shape), std=0.05)
    options = {"labels": [0, 1, 2], "indices": range(3), "batch_size": 2}
    for sampler in ({"type": "euler", "steps": 2}, {"type": "heun", "steps": 2}):
        drawn = thalweg.sample(network, sampler=sampler, guidance="cfg", **options)
        assert drawn.x.shape == (3, *shape)
        alone = thalweg.sample(
            network, sampler=sampler, guidance="cfg", labels=[2], indices=[2], batch_size=1
        )
        torch.testing.assert_close(alone.x[0], drawn.x[2], rtol=1e-4, atol=1e-5)


@ANY_SHAPE
def test_noise_has_an_address_whatever_the_shape(shape):
    both, one = SampleNoise(3, [0, 7], shape), SampleNoise(3, [7], shape)
    assert torch.equal(both.initial()[1], one.initial()[0])
    assert both.increments(0).shape == (2, *shape)


@ANY_SHAPE
def test_a_saved_network_comes_back(shape, tmp_path):
    network = randomised(composed(shape))
    save(tmp_path / "model", network)
    again = thalweg.load(tmp_path / "model")
    x, times = torch.randn(2, *shape), torch.rand(2, 2)
    assert again.facts.shape == shape
    assert torch.equal(again(x, times).velocities[-1], network(x, times).velocities[-1])


@ANY_SHAPE
def test_a_network_is_summed_up(shape):
    facts = Facts(shape=shape, classes=3)
    found = summarise({"backbone": MLP, "refiner": VERA, "branches": 2}, facts, 5, "32-true")
    assert found.tokens == 1
    assert found.parameters == sum(one.numel() for one in composed(shape).parameters())
    assert found.gflop_forward > 0
    assert found.activation_bytes > 0


def test_alignment_is_for_images_alone():
    facts = Facts(shape=(2,), branches=2, ends=(2, 4), depth=4, width=16, heads=1, grid=(1, 1))
    config = component("objective", {"type": "alignment", "teacher": "lite0", "after": [1]})
    with pytest.raises(ConfigError, match=r"^objectives.alignment is for images alone.*\(2,\); leave"):
        config.build(facts)


def test_a_classifier_of_images_says_so():
    with pytest.raises(ConfigError, match=r"small_classifier' is for images alone.*\(2,\)"):
        component("vision_encoder", "small_classifier").build(Facts(shape=(2,), classes=2))
