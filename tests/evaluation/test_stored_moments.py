"""Moments that a file brings: what is wrong with them is said before the first image is read."""

import json

import numpy as np
import pytest
import torch

from inception_maker import random_inception
from thalweg.cli.main import main
from thalweg.errors import DataError
from thalweg.image_sets.npz import NpzImages
from thalweg.storage import Location
from thalweg_eval.statistics.moments import FeatureMoments

WIDTH = 2048


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    random_inception(folder / "inception.pth")
    pictures = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "samples.npz", arr_0=pictures)
    return [
        "evaluate", str(folder / "samples.npz"), "--metrics", "fid", "features.inception.extractor.sha256=''",
        f"features.inception.extractor.weights={folder / 'inception.pth'}",
    ]  # fmt: skip


def stored(**changed):
    return {"mu": np.zeros(WIDTH), "sigma": np.eye(WIDTH), **changed}


WRONG = {
    "of NaN": (stored(mu=np.full(WIDTH, np.nan)), "is not finite"),
    "of infinite covariances": (stored(sigma=np.full((WIDTH, WIDTH), np.inf, np.float32)), "is not finite"),
    "beyond all bounds": (stored(mu=np.full(WIDTH, 1e200)), "beyond all bounds"),
    "of another width": (
        {"mu": np.zeros(64), "sigma": np.eye(64)},
        "of width 2048 cannot be compared with features of width 64",
    ),
    "with a mean that is a matrix": (stored(mu=np.zeros((1, WIDTH))), "a mean of shape (1, 2048)"),
    "with a covariance that is no square": (stored(sigma=np.zeros((WIDTH, 3))), "scatter of shape (2048, 3)"),
    "with a covariance that is not symmetric": (
        stored(sigma=np.triu(np.full((WIDTH, WIDTH), 0.1)) + np.eye(WIDTH)), "is not symmetric"
    ),
    "with variances below zero": (stored(sigma=-np.eye(WIDTH)), "variances below zero"),
    "with covariances above variances": (stored(sigma=np.eye(WIDTH) + 3), "larger"),
    "of words": (stored(mu=np.array(["a"] * WIDTH)), "no array of numbers"),
    "of complex numbers": (stored(mu=np.zeros(WIDTH, complex)), "no array of numbers"),
}  # fmt: skip
WRONG["with covariances above variances"][0]["sigma"][0, 1] = 9.0
WRONG["with covariances above variances"][0]["sigma"][1, 0] = 9.0


@pytest.mark.parametrize("what", WRONG)
def test_broken_moments_are_refused_before_the_first_image(command, tmp_path, capsys, monkeypatch, what):
    arrays, message = WRONG[what]
    np.savez(tmp_path / "real.npz", **arrays)
    monkeypatch.setattr(NpzImages, "read", lambda *_: pytest.fail("an image was read"))
    out = tmp_path / "passport.json"
    given = ["--reference", str(tmp_path / "real.npz"), "--out", str(out), "--work", str(tmp_path / "work")]
    assert main([*command, *given, "--json"]) == 4
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert not out.exists()


def test_moments_of_single_precision_are_taken(command, tmp_path, capsys):
    vectors = np.random.default_rng(1).normal(size=(50, WIDTH)).astype(np.float32)
    sigma = np.cov(vectors, rowvar=False).astype(np.float32)
    np.savez(tmp_path / "real.npz", mu=vectors.mean(0), sigma=sigma)
    Location("memory://moments/real.npz").write((tmp_path / "real.npz").read_bytes())
    found = []
    for place in (str(tmp_path / "real.npz"), "memory://moments/real.npz"):
        given = ["--reference", place, "--work", str(tmp_path / "work"), "--json"]
        assert main([*command, *given]) == 0
        passport = json.loads(capsys.readouterr().out)
        found.append((passport["numbers"]["fd_inception_other"]["value"], passport["conditions"]))
    assert found[0] == found[1]
    assert 0 < found[0][0] < 1e9


def test_constant_features_have_moments():
    moments = FeatureMoments()
    state = {"count": 3, "mean": np.ones(2), "scatter": np.zeros((2, 2))}
    moments.load_state({key: torch.as_tensor(one) for key, one in state.items()})
    assert moments.covariance().tolist() == [[0, 0], [0, 0]]
    with pytest.raises(DataError, match="not symmetric"):
        moments.load_state(
            {
                "count": torch.tensor(3),
                "mean": torch.zeros(2),
                "scatter": torch.tensor([[1.0, 0.5], [0.1, 1]]),
            }
        )
