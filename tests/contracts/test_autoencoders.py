"""Every autoencoder."""

import json

import pytest
import torch

from contracts.catalogue import autoencoder_weights, names, small
from thalweg.config import component

EVERY = pytest.mark.parametrize("name", names("autoencoder"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    autoencoder_weights(tmp_path)


def built(name):
    return component("autoencoder", small("autoencoder", name)).build()


def images(count=3, size=16):
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draws)


@EVERY
def test_the_shape_is_that_of_what_is_encoded(name):
    one = built(name)
    for height, width in [(16, 16), (32, 16)]:
        pixels = torch.zeros(2, 3, height, width, dtype=torch.uint8)
        mean, std = one.encode(pixels)
        assert mean.shape == (2, *one.shape(3, height, width))
        assert mean.dtype == torch.float32
        assert std is None or (
            std.shape == mean.shape and std.dtype == torch.float32 and bool((std > 0).all())
        )


@EVERY
def test_decoding_gives_images_of_the_same_size(name):
    one = built(name)
    mean, _ = one.encode(images())
    decoded = one.decode(mean * one.scale)
    assert decoded.shape == images().shape
    assert decoded.dtype == torch.uint8


@EVERY
def test_a_sample_does_not_depend_on_its_neighbours(name):
    one = built(name)
    mean, _ = one.encode(images())
    alone, _ = one.encode(images()[1:2])
    # To rounding: a kernel may sum in another order for another number of images.
    assert torch.allclose(alone[0], mean[1], rtol=1e-4, atol=1e-5)
    decoded = one.decode(mean * one.scale).float()
    assert float((one.decode(mean[1:2] * one.scale).float()[0] - decoded[1]).abs().max()) <= 1


@EVERY
def test_encoding_twice_gives_the_same(name):
    one, other = built(name), built(name)
    first, again, elsewhere = (each.encode(images()) for each in (one, one, other))
    for tensor, same, too in zip(first, again, elsewhere, strict=True):
        assert tensor is None or (torch.equal(tensor, same) and torch.equal(tensor, too))


@EVERY
def test_nothing_is_left_to_be_differentiated(name):
    mean, std = built(name).encode(images())
    assert not mean.requires_grad
    assert std is None or not std.requires_grad


@EVERY
def test_the_identity_is_plain_and_the_same_every_time(name):
    one = built(name)
    assert one.identity["type"] == name
    assert json.loads(json.dumps(dict(one.identity))) == dict(built(name).identity)
    assert one.scale > 0
