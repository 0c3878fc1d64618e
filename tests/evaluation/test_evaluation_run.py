"""Evaluations from beginning to end on tiny images: what they say, what they keep, what they refuse."""

import json
import tarfile
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image

import thalweg_eval
from evaluated import FAST, npz, pictures, run_folder
from thalweg.errors import ConfigError, DataError
from thalweg.image_sets.npz import NpzImages
from thalweg.passport import read_passport
from thalweg.training.trainer import Trainer
from tiny_runs import tiny

QUICK = {"protocol": "quick", "settings": (*FAST, "count=40")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def passport(run, work):
    return thalweg_eval.evaluate(run, work=work, **QUICK)


def evaluated(subject, **options):
    """Images without a protocol, by the small classifier."""
    settings = ("features.small_classifier.extractor.steps=2", *options.pop("settings", ()))
    metrics = options.pop("metrics", ["frechet_distance"])
    return thalweg_eval.evaluate(
        subject, metrics=metrics, extractor="small_classifier", settings=settings, **options
    )


def test_a_run_is_evaluated_against_its_own_data(passport):
    assert set(passport.values) == {"fd_small_classifier", "accuracy_small_classifier"}
    assert passport["fd_small_classifier"] > 0
    assert passport.numbers["fd_small_classifier"]["better"] == "lower"
    assert passport.numbers["accuracy_small_classifier"]["better"] == "higher"


def test_a_passport_says_how_its_numbers_were_made(passport, run):
    conditions = passport.conditions
    assert conditions["count"] == 40
    assert conditions["sampling"]["sampler"] == {"type": "euler", "steps": 2}
    assert conditions["sampling"]["labels"] == "balanced"
    assert conditions["sampling"]["precision"] == "32-true"
    assert conditions["reference"]["images"]["data"]["type"] == "digits"
    assert len(conditions["features"]["small_classifier"]["extractor"]["weights"]) == 64
    description = json.loads((run / "model/model.json").read_text())
    assert passport.subject["checkpoint"] == description["sha256"]
    assert passport.subject["step"] == 6
    assert passport.protocol["name"] == "quick"
    assert passport.protocol["changed"] == [*FAST, "count=40"]
    assert passport.software["packages"]["torch"] == version("torch")
    assert passport.software["plugins"]["thalweg-eval"]


def test_a_passport_is_read_as_it_was_written(passport, tmp_path):
    passport.write(tmp_path / "a.json")
    assert read_passport(tmp_path / "a.json") == passport


def test_numbers_are_the_same_in_any_batch(passport, run, work):
    again = thalweg_eval.evaluate(run, work=work, batch_size=7, **QUICK)
    assert again.values == pytest.approx(passport.values, rel=1e-4)
    assert again.conditions == passport.conditions


def test_the_reference_is_seen_once(passport, run, work, monkeypatch):
    told = []
    thalweg_eval.evaluate(run, work=work, progress=lambda what, *_: told.append(what), **QUICK)
    assert set(told) == {"samples"}
    assert not list((work / "unfinished").iterdir())


def test_another_count_of_the_reference_is_another_reference(passport, run, work):
    options = {"protocol": "quick", "settings": (*FAST, "count=40", "reference.count=200")}
    fewer = thalweg_eval.evaluate(run, work=work, **options)
    assert fewer["fd_small_classifier"] != passport["fd_small_classifier"]
    assert fewer.conditions["reference"]["images"]["count"] == 200


def interrupted(monkeypatch, cls, after):
    """``cls.read`` raises KeyboardInterrupt once, at its n-th call; the ranges that were read."""
    read, ranges = cls.read, []

    def reading(self, start, stop):
        ranges.append((start, stop))
        if len(ranges) == after:
            raise KeyboardInterrupt
        return read(self, start, stop)

    monkeypatch.setattr(cls, "read", reading)
    return ranges


@pytest.mark.parametrize("save_seconds", [0.0, 30.0])
def test_an_interrupted_evaluation_resumes(tmp_path, monkeypatch, save_seconds):
    samples = npz(tmp_path / "samples.npz", 50)
    options = {
        "reference": npz(tmp_path / "real.npz", 40, seed=1),
        "batch_size": 8,
        "work": tmp_path / "work",
    }
    whole = evaluated(samples, **{**options, "work": tmp_path / "other"})
    # One reading for the classifier to be fitted, five of the reference, then samples.
    ranges = interrupted(monkeypatch, NpzImages, 10)
    with pytest.raises(KeyboardInterrupt):
        evaluated(samples, save_seconds=save_seconds, **options)
    assert len(list((tmp_path / "work/unfinished").iterdir())) == 1
    del ranges[:]
    ranges += [(0, 0)] * 10  # no further interruption
    told = []
    again = evaluated(samples, progress=lambda what, done, _: told.append((what, done)), **options)
    assert again.values == pytest.approx(whole.values, rel=1e-9)
    assert told[0] == ("samples", 24)
    assert list((tmp_path / "work/unfinished").iterdir()) == []


def test_a_set_is_never_evaluated_by_another_sets_unfinished_work(tmp_path, monkeypatch):
    options = {
        "reference": npz(tmp_path / "real.npz", 40, seed=1),
        "batch_size": 8,
        "work": tmp_path / "work",
    }
    interrupted(monkeypatch, NpzImages, 10)
    with pytest.raises(KeyboardInterrupt):
        evaluated(npz(tmp_path / "a.npz", 50), save_seconds=0.0, **options)
    told = []
    evaluated(
        npz(tmp_path / "b.npz", 50, seed=5),
        progress=lambda what, done, _: told.append((what, done)),
        **options,
    )
    assert told[0] == ("samples", 0)


def test_folders_tar_files_and_npz_of_the_same_images_give_the_same_numbers(tmp_path):
    stored = pictures(30)
    np.savez(tmp_path / "x.npz", arr_0=stored)
    (tmp_path / "x").mkdir()
    for index, image in enumerate(stored):
        Image.fromarray(image[:, :, 0]).save(tmp_path / "x" / f"{index:03d}.png")
    options = {"reference": npz(tmp_path / "real.npz", 40, seed=1), "work": tmp_path / "work"}
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for path in sorted((tmp_path / "x").iterdir()):
            archive.add(path, path.name)
    by_npz, by_folder, by_tar = (evaluated(tmp_path / name, **options) for name in ("x.npz", "x", "x.tar"))
    assert by_npz.values == by_folder.values == by_tar.values
    assert by_folder.conditions["sampling"] == "not stated"


def test_statistics_stand_in_for_the_images_they_were_taken_of(tmp_path, run, passport, work):
    path = tmp_path / "reference.safetensors"
    thalweg_eval.evaluate(run, work=work, save_reference=path, **QUICK)
    by_statistics = thalweg_eval.evaluate(run, reference=path, work=tmp_path / "work", **QUICK)
    assert by_statistics.values == passport.values
    assert by_statistics.conditions == passport.conditions


def test_statistics_of_another_extractor_are_refused(tmp_path, run, work):
    path = tmp_path / "reference.safetensors"
    thalweg_eval.evaluate(run, work=work, save_reference=path, **QUICK)
    other = (*QUICK["settings"], "features.small_classifier.extractor.seed=5")
    with pytest.raises(DataError, match="was made by another extractor: weights"):
        thalweg_eval.evaluate(run, reference=path, protocol="quick", settings=other, work=tmp_path / "work")
    with pytest.raises(DataError, match="has no statistic"):
        thalweg_eval.evaluate(
            run, reference=path, settings=QUICK["settings"], metrics=["precision_recall"], work=work,
            extractor="small_classifier",
        )  # fmt: skip


def test_moments_are_inceptions_and_no_others(tmp_path, run, work):
    np.savez(tmp_path / "adm.npz", mu=np.zeros(64), sigma=np.eye(64))
    with pytest.raises(DataError, match="moments of Inception's features"):
        thalweg_eval.evaluate(run, reference=tmp_path / "adm.npz", work=work, **QUICK)


def nothing_was_done(tmp_path, *names):
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("count", "shape", "settings", "message"),
    [
        (1, (8, 8, 1), (), "has one image; an evaluation needs at least two"),
        (20, (8, 8, 1), ("count=21",), "has 20 images and 21 are requested"),
    ],
)
def test_too_few_images_are_refused(tmp_path, count, shape, settings, message):
    samples = npz(tmp_path / "a.npz", count, shape)
    with pytest.raises(DataError, match=message):
        evaluated(
            samples, reference=samples, settings=settings, work=tmp_path / "work", out=tmp_path / "p.json"
        )
    nothing_was_done(tmp_path, "a.npz")


def test_images_of_several_sizes_are_refused(tmp_path):
    (tmp_path / "x").mkdir()
    for index, edge in enumerate((8, 8, 9)):
        Image.fromarray(pictures(1, (edge, edge, 1))[0, :, :, 0]).save(tmp_path / "x" / f"{index}.png")
    reference = npz(tmp_path / "real.npz", 40)
    with pytest.raises(DataError, match=r"2\.png is 9x9 grey and 0\.png is 8x8 grey"):
        evaluated(tmp_path / "x", reference=reference, work=tmp_path / "work", out=tmp_path / "p.json")
    assert not (tmp_path / "p.json").exists()
    assert list((tmp_path / "work/unfinished").iterdir()) == []
    assert evaluated(tmp_path / "x", reference=reference, settings=("crop=8",), work=tmp_path / "work")


def test_weights_that_are_not_at_hand_are_asked_for_before_anything_is_drawn(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setattr(
        "thalweg.network_sampler.NetworkSampler.__call__", lambda *_: pytest.fail("it was drawn")
    )
    with pytest.raises(DataError, match="fetches them from https"):
        thalweg_eval.evaluate(
            run, reference=run, metrics=["fid"], settings=["count=10"], work=tmp_path / "work",
            out=tmp_path / "p.json",
        )  # fmt: skip
    nothing_was_done(tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ConfigError, "name at least one metric"),
        ({"metrics": ["fi"]}, Exception, "unknown metric 'fi'"),
        ({"protocol": "quik"}, ConfigError, "did you mean 'quick'"),
        ({"protocol": "quick", "settings": ["cuont=3"]}, ConfigError, "did you mean 'count'"),
        ({"protocol": "quick", "settings": ["count=none"]}, ConfigError, "number of samples is not stated"),
        ({"protocol": "quick", "devices": 0}, ConfigError, "at least 1"),
        ({"protocol": "quick", "device": "teapot"}, ConfigError, "'teapot' cannot be used here"),
        ({"protocol": "quick", "reference": "gone"}, DataError, "gone does not exist"),
    ],
)
def test_bad_requests_are_named_and_leave_nothing(run, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        thalweg_eval.evaluate(run, work=tmp_path / "work", out=tmp_path / "p.json", **options)
    nothing_was_done(tmp_path)


def test_several_that_a_launcher_started_are_refused(run, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="--devices 2"):
        thalweg_eval.evaluate(run, **QUICK)


def test_images_of_this_process_alone_cannot_be_shared(tmp_path):
    images = NpzImages(npz(tmp_path / "a.npz", 30))
    reference = npz(tmp_path / "real.npz", 40, seed=1)
    alone = evaluated(images, reference=reference, work=tmp_path / "work")
    assert alone["fd_small_classifier"] > 0
    with pytest.raises(ConfigError, match="an object of this process"):
        evaluated(images, reference=reference, devices=2, work=tmp_path / "work")


def test_a_runs_checkpoints_are_evaluated_on_the_way(tmp_path):
    Trainer(tiny(keep=3), tmp_path / "run", accelerator="cpu", quiet=True).train()
    places = [tmp_path / "run", *sorted((tmp_path / "run/checkpoints").glob("step-*"))]
    found = [thalweg_eval.evaluate(place, work=tmp_path / "work", **QUICK) for place in places]
    assert [one.subject["step"] for one in found] == [6, 2, 4, 6]
    assert found[0].values == found[3].values  # the model is the EMA weights of the last step
    assert len({one["fd_small_classifier"] for one in found}) == 3
    assert all(one.conditions == found[0].conditions for one in found)
