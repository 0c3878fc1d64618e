"""What stands against an evaluation's numbers is said before its first image; what was seen is never lost."""

import shutil
import sys

import numpy as np
import pytest

import thalweg_eval
from evaluated import npz, pictures, run_folder
from thalweg.cli import console
from thalweg.cli.main import main
from thalweg.errors import ConfigError, DataError, PluginError, ThalwegError
from thalweg.generation.generate import generate
from thalweg.image_sets.npz import NpzImages
from thalweg_eval.metrics.frechet import FrechetDistance
from thalweg_eval.metrics.precision_recall import PrecisionRecall


@pytest.fixture
def sets(tmp_path):
    return npz(tmp_path / "samples.npz", 50), npz(tmp_path / "real.npz", 40, seed=1)


@pytest.fixture
def seen(monkeypatch):
    """How many images were read, by file; the real ones once more, for the classifier."""
    found = {}
    read = NpzImages.read

    def reading(self, start, stop):
        found[self._path.stem] = found.get(self._path.stem, 0) + stop - start
        return read(self, start, stop)

    monkeypatch.setattr(NpzImages, "read", reading)
    return found


def evaluated(sets, tmp_path, metrics, **options):
    return thalweg_eval.evaluate(
        sets[0], reference=sets[1], metrics=metrics, extractor={"type": "small_classifier", "steps": 2},
        work=tmp_path / "work", out=tmp_path / "p.json", batch_size=8, **options,
    )  # fmt: skip


@pytest.mark.parametrize("metric", ["precision_recall", "kid"])
def test_a_package_that_is_missing_is_named_before_the_first_image(sets, tmp_path, monkeypatch, seen, metric):
    for name in ("metric_prc", "metric_kid"):
        monkeypatch.setitem(sys.modules, f"torch_fidelity.{name}", None)
    metrics = ["frechet_distance", {"type": metric, **({"subset_size": 5} if metric == "kid" else {})}]
    with pytest.raises(PluginError, match="pip install 'torch-fidelity"):
        evaluated(sets, tmp_path, metrics)
    assert seen == {"real": 40}  # the classifier is fitted, and nothing else is looked at
    assert not (tmp_path / "p.json").exists()


def test_samples_without_labels_or_captions_are_found_out_before_the_first_image(sets, tmp_path, seen):
    np.savez(tmp_path / "bare.npz", arr_0=pictures(50))
    bare = (tmp_path / "bare.npz", sets[1])
    with pytest.raises(ConfigError, match="'accuracy' needs the classes"):
        evaluated(bare, tmp_path, ["accuracy"])
    with pytest.raises(ConfigError, match="needs the captions"):
        evaluated(bare, tmp_path, [{"type": "caption_retrieval", "candidates": 2}])
    with pytest.raises(ConfigError, match="spatial features are requested"):
        evaluated(bare, tmp_path, ["spatial_frechet_distance"])
    assert seen == {"real": 120}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({"type": "precision_recall", "neighbours": 50}, "look for 50 neighbours"),
        ({"type": "kid", "subset_size": 41}, "subsets of 41 images, but there are 40"),
        ({"type": "inception_score", "splits": 51}, "cannot be cut into 51"),
        ({"type": "kid", "seed": 2**32}, "seed"),
        ({"type": "inception_score", "seed": 2**32}, "seed"),
    ],
)
def test_too_few_images_and_seeds_out_of_range_are_found_out_before_the_first(
    sets, tmp_path, seen, metric, message
):
    with pytest.raises(ThalwegError, match=message):
        evaluated(sets, tmp_path, [metric])
    assert seen in ({}, {"real": 40})


def test_a_metric_that_stands_twice_under_an_extractor_is_found_out_before_the_first(sets, tmp_path, seen):
    twice = [f"features.small_classifier.metrics.{name}.type=frechet_distance" for name in ("a", "b")]
    settings = ["features.small_classifier.extractor.type=small_classifier", *twice]
    with pytest.raises(ConfigError, match="has the metric 'frechet_distance' twice"):
        thalweg_eval.evaluate(sets[0], reference=sets[1], settings=settings, work=tmp_path / "work")
    assert seen == {}


FAILURES = [
    RuntimeError("no kernel image"), MemoryError(), np.linalg.LinAlgError("Singular matrix"),
    KeyboardInterrupt(), PluginError("a package is missing"), DataError("it does not fit"),
]  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_of_the_last_computation_loses_nothing(sets, tmp_path, monkeypatch, seen, failure):
    whole = evaluated(sets, tmp_path / "other", ["frechet_distance"]).values
    computed, calls = FrechetDistance.__call__, []

    def failing(self, *sides):
        calls.append(sides)
        if len(calls) == 1:
            raise failure
        return computed(self, *sides)

    monkeypatch.setattr(FrechetDistance, "__call__", failing)
    seen.clear()
    with pytest.raises((ThalwegError, KeyboardInterrupt)) as raised:
        evaluated(sets, tmp_path, ["frechet_distance"])
    if not isinstance(failure, ThalwegError | KeyboardInterrupt):
        assert "'frechet_distance' cannot be computed" in str(raised.value)
        assert "the same command resumes" in str(raised.value)
    assert seen == {"samples": 50, "real": 80}
    assert not (tmp_path / "p.json").exists()
    seen.clear()
    assert evaluated(sets, tmp_path, ["frechet_distance"]).values == whole
    assert seen == {"real": 40}  # the classifier again, and no image is seen twice
    assert list((tmp_path / "work/unfinished").iterdir()) == []


def test_who_asks_for_fewer_numbers_sees_no_image_again(sets, tmp_path, monkeypatch, seen):
    def failing(self, *_):
        raise MemoryError

    other = evaluated(sets, tmp_path / "other", ["frechet_distance"]).values
    with monkeypatch.context() as patched:
        patched.setattr(PrecisionRecall, "__call__", failing)
        with pytest.raises(ThalwegError, match="'precision_recall' cannot be computed"):
            evaluated(sets, tmp_path, ["frechet_distance", "precision_recall"], save_seconds=0.0)
    seen.clear()
    assert evaluated(sets, tmp_path, ["frechet_distance"]).values == pytest.approx(other, rel=1e-9)
    assert seen == {"real": 40}  # the classifier alone
    seen.clear()
    both = evaluated(sets, tmp_path, ["frechet_distance", "precision_recall"])
    assert both["fd_small_classifier"] == pytest.approx(other["fd_small_classifier"], rel=1e-9)
    assert seen == {"real": 40}
    assert list((tmp_path / "work/unfinished").iterdir()) == []


def test_what_was_seen_by_another_extractor_or_of_other_images_is_not_taken(
    sets, tmp_path, monkeypatch, seen
):
    with monkeypatch.context() as patched:
        patched.setattr(PrecisionRecall, "__call__", lambda *_: 1 / 0)
        with pytest.raises(ThalwegError):
            evaluated(sets, tmp_path, ["frechet_distance", "precision_recall"])
    seen.clear()
    others = npz(tmp_path / "others.npz", 50, seed=7), sets[1]
    evaluated(others, tmp_path, ["frechet_distance"])
    assert seen["others"] == 50
    seen.clear()
    thalweg_eval.evaluate(
        sets[0], reference=sets[1], metrics=["frechet_distance"], work=tmp_path / "work",
        extractor={"type": "small_classifier", "steps": 3},
    )  # fmt: skip
    assert seen["samples"] == 50


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_no_number(sets, tmp_path, monkeypatch, capsys, value):
    monkeypatch.setattr(FrechetDistance, "__call__", lambda self, *_: {self.name: value})
    command = [
        "evaluate", str(sets[0]), "--reference", str(sets[1]), "--metrics", "frechet_distance",
        "--extractor", "small_classifier", "features.small_classifier.extractor.steps=2",
        "--work", str(tmp_path / "work"), "--out", str(tmp_path / "p.json"), "--json",
    ]  # fmt: skip
    assert main(command) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert f"'frechet_distance' by small_classifier trained on 40 images of npz is {value}" in said.err
    assert not (tmp_path / "p.json").exists()


def test_json_for_programs_never_holds_what_is_no_json():
    with pytest.raises(ValueError, match="JSON"):
        console.result_json({"loss": float("nan")})


def test_a_disk_that_is_too_small_is_found_out_before_the_first_image(sets, tmp_path, monkeypatch, seen):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    # 50 images of 64 float32 features and a place each, twice.
    with pytest.raises(ThalwegError, match=r"are going to be written to .*unfinished.*--work"):
        evaluated(sets, tmp_path, [{"type": "nearest_neighbour"}])
    assert seen == {"real": 40}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=60_000))
    assert evaluated(sets, tmp_path, [{"type": "nearest_neighbour"}]).values


@pytest.mark.parametrize(("name", "needed"), [("x.npz", 2 * 64), ("x.tar", 64), ("x", 2 * 4 * 64)])
def test_samples_that_have_no_room_are_not_begun(tmp_path, monkeypatch, name, needed):
    run, usage = run_folder(tmp_path / "run"), shutil.disk_usage(tmp_path)
    stated = {"count": 30, "sampler": {"type": "euler", "steps": 1}}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=30 * needed - 1))
    with pytest.raises(ThalwegError, match="make room, or name another place by OUT"):
        generate(run, tmp_path / name, stated)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=30 * needed))
    assert generate(run, tmp_path / name, stated)["nfe"] == 1
