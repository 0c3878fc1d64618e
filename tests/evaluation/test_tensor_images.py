"""Images in memory: evaluated as those of files are, and refused in one sentence where they are none."""

import pytest
import torch

import thalweg_eval
from evaluated import npz, pictures
from thalweg.errors import ConfigError
from thalweg.image_sets.npz import NpzImages
from thalweg_eval.evaluation.image_sets.tensor import TensorImages

SETTINGS = ("features.small_classifier.extractor.steps=2",)
METRICS = ["frechet_distance", "accuracy"]


def tensor(count, seed=0, shape=(8, 8, 1)):
    return torch.from_numpy(pictures(count, shape, seed)).permute(0, 3, 1, 2)


def held(count, seed=0):
    return TensorImages(tensor(count, seed), labels=torch.arange(count) % 10)


def evaluated(subject, work, **options):
    options = {"metrics": METRICS, "settings": SETTINGS, "extractor": "small_classifier", **options}
    return thalweg_eval.evaluate(subject, work=work, **options)


def test_a_tensor_gives_the_numbers_of_the_same_images_in_a_file(tmp_path):
    ours, theirs = npz(tmp_path / "a.npz", 40), npz(tmp_path / "b.npz", 50, seed=1)
    by_path = evaluated(ours, tmp_path / "paths", reference=theirs)
    in_memory = evaluated(held(40), tmp_path / "memory", reference=held(50, seed=1))
    assert in_memory.values == by_path.values
    assert set(in_memory.values) == {"fd_small_classifier", "accuracy_small_classifier"}
    assert in_memory.subject["what"] == "TensorImages in memory"
    assert in_memory.subject["kind"] == "tensor"
    assert in_memory.conditions["reference"]["images"]["count"] == 50


def test_a_bare_tensor_is_images_without_labels(tmp_path):
    passport = evaluated(tensor(40), tmp_path, reference=held(50, seed=1), metrics=["frechet_distance"])
    assert passport["fd_small_classifier"] > 0
    with pytest.raises(ConfigError, match="needs data with classes"):
        evaluated(tensor(40), tmp_path, reference=tensor(50, seed=1), metrics=["frechet_distance"])


def test_pieces_are_those_of_the_file(tmp_path):
    file, memory = NpzImages(npz(tmp_path / "a.npz", 12)), held(12)
    for start, stop in ((3, 7), (0, 12)):
        one, other = file.read(start, stop), memory.read(start, stop)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
    assert (file.shape, file.classes, len(file)) == (memory.shape, memory.classes, len(memory))


def test_equal_images_are_known_by_their_content():
    assert held(12).identity == held(12).identity
    others = [
        held(12, seed=1),
        TensorImages(tensor(12)),
        TensorImages(tensor(12), labels=[0] * 12),
        TensorImages(tensor(12), captions=["one"] * 12),
        TensorImages(tensor(12), captions=["two"] * 12),
    ]
    digests = {str(dict(one.identity)) for one in [held(12), *others]}
    assert len(digests) == 6


def test_captions_are_read_by_index():
    images = TensorImages(tensor(3), captions=["a", "b", "c"])
    assert images.read(1, 3).captions == ["b", "c"]
    assert images.captions([2, 0]) == ["c", "a"]


def test_images_of_this_process_are_not_shared(tmp_path):
    for subject, reference, name in ((held(40), "b.npz", "subject"), ("a.npz", tensor(50), "reference")):
        with pytest.raises(ConfigError, match=f"{name} is an object of this process.*devices=1"):
            evaluated(subject, tmp_path, reference=reference, devices=2)
