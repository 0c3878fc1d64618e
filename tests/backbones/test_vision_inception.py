"""Inception: the file of its weights, its resize, its names; test_fid_parity.py compares numbers."""

import pytest
import torch
from torch import nn

from inception_maker import random_inception
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg_backbones.vision.inception import (
    FILE,
    PUBLISHED,
    Inception,
    InceptionConfig,
    tensorflow_resize,
)

FACTS = Facts(shape=(3, 8, 8))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    return path, random_inception(path)


def test_without_weights_it_says_where_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        DataError,
        match=f"checkpoints/{FILE}; 'thalweg weights get inception' fetches them from https://github.com/toshas",
    ) as error:
        InceptionConfig().build(FACTS)
    assert error.value.exit_code == 4


def test_another_file_is_named_by_its_hash(weights):
    path, sha256 = weights
    with pytest.raises(DataError, match=f"its SHA-256 is {sha256}, which does not begin with {PUBLISHED}"):
        InceptionConfig(weights=str(path)).build(FACTS)


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as plain tensors"):
        InceptionConfig(weights=str(path), sha256="").build(FACTS)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(nn.Linear(2, 3).state_dict(), path)
    with pytest.raises(DataError, match="does not hold Inception-v3 in torch-fidelity's layout"):
        InceptionConfig(weights=str(path), sha256="").build(FACTS)


def test_only_the_published_weights_give_an_fid(weights):
    path, sha256 = weights
    other = InceptionConfig(weights=str(path), sha256=sha256).build(FACTS)
    assert other.identity["weights"] == sha256
    assert other.number_name("frechet_distance") == "fd_inception_other"
    published = Inception(other.graph, PUBLISHED + sha256[8:])
    names = ("frechet_distance", "spatial_frechet_distance", "inception_score", "kid", "kid_std", "precision")
    called = ["fid", "sfid", "inception_score", "kid", "kid_std", "precision"]
    assert [published.number_name(name) for name in names] == called


def test_the_resize_matches_corners_as_tensorflow_did():
    row = torch.tensor([[[[0.0, 10, 20, 40]]]])
    # Pixel j lies at j / 2 of the image; beyond the last pixel there is but the last.
    expected = torch.tensor([0.0, 5, 10, 15, 20, 30, 40, 40])
    resized = tensorflow_resize(row.expand(1, 1, 8, 4), 8)
    torch.testing.assert_close(resized, expected.expand(1, 1, 8, 8))
    image = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(0))
    assert torch.equal(tensorflow_resize(image, 299), image)
