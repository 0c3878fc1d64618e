"""Weights of a ladder that are fitted on samples, and scored on noise that they have not seen."""

import json

import pytest

from evaluated import FAST, run_folder
from thalweg_eval.evaluation.evaluator import Evaluator
from thalweg_eval.tuning import tune_guidance

BACKBONE = {"type": "dit", "patch": 4, "width": 16, "depth": 3, "heads": 2}
PLAIN = {"branches": 1, "refiner": "none", "objectives": {"velocity": {}}, "heads": [1, 2]}
FD = "fd_small_classifier"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ladder")
    return {
        "subject": run_folder(folder / "run", backbone=BACKBONE, **PLAIN),
        "out": folder / "out",
        "work": folder / "work",
        "settings": (*FAST, "count=20", "sampling.seed=5"),
        "method": "ladder",
        "strengths": (0.0, 1.0),
        "fit": "frechet_distance",
        "evaluations": 8,
        "write": folder / "best.toml",
    }


@pytest.fixture(scope="module")
def found(options):
    return tune_guidance(**options)


def test_a_fit_lowers_its_own_target(found):
    fit = found["fit"]
    assert fit["target"] == found["by"] == FD
    assert len(fit["values"]) == 8
    assert min(fit["values"]) < fit["values"][0]
    assert fit["heads"] == [1, 2]
    assert len(fit["weights"]) == len(fit["start"]) == 2
    fitted = fit["points"][-1]
    assert fitted["target_where_fitted"] == min(fit["values"])
    assert fitted["guidance"] == [{"type": "ladder", "weights": fit["weights"]}]


def test_ladder_and_best_single_head_are_scored_on_noise_that_nothing_was_chosen_on(options, found):
    fit = found["fit"]
    assert (found["seeds"], fit["seed"], fit["fresh_seeds"]) == ([5], 5, [6])
    names = [point["name"] for point in fit["points"]]
    assert names[0] == "unguided"
    assert names[1] == "calibrated ladder, strength 1"
    assert names[2] in ("calibrated internal after 1, strength 1", "calibrated internal after 2, strength 1")
    assert names[3].startswith("fitted ladder")
    scanned = {point["name"]: point["numbers"] for point in found["points"]}
    for point in fit["points"]:
        assert all("seed-6" in path for path in point["passports"])
        passport = json.loads((options["out"] / point["passports"][0]).read_text())
        assert passport["numbers"][FD]["value"] == point["numbers"][FD]["mean"]
        if point["name"] in scanned:
            assert scanned[point["name"]][FD]["mean"] == point["target_where_fitted"]
            assert scanned[point["name"]] != point["numbers"]
    fresh = {point["name"]: point["numbers"][FD]["mean"] for point in fit["points"]}
    assert fit["winner"] == found["best"]["name"] == min(fresh, key=fresh.__getitem__)
    assert f"{fit['winner']} wins there" in (options["out"] / "report.html").read_text()


def test_a_fit_that_is_called_again_computes_nothing_anew(options, found, monkeypatch):
    monkeypatch.setattr(Evaluator, "score", lambda *_: pytest.fail("it was computed again"))
    again = tune_guidance(**options)
    assert again["fit"] == found["fit"]
    assert again["points"] == found["points"]
