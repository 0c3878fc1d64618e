"""Ablations from beginning to end: what they leave, how they resume, what they refuse."""

import json

import pytest

from thalweg.cli.main import main
from thalweg.config import to_toml
from thalweg.errors import ConfigError, ThalwegError
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.folder import alone
from thalweg_eval.ablation.running import run
from tiny_ablations import AXIS, PROTOCOL
from tiny_runs import lines, recipe


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Two cells of the tiny run, each under two seeds and scored twice."""
    folder = tmp_path_factory.mktemp("ablation")
    (folder / "moment.toml").write_text(to_toml(PROTOCOL))
    return {
        "recipe": recipe(folder, steps=4, sample_every=4),
        "protocol": str(folder / "moment.toml"),
        "folder": folder,
    }


@pytest.fixture(autouse=True)
def cache(asked, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(asked["folder"] / "cache"))


def ablation(asked, **options):
    given = {"axes": (AXIS,), "protocol": asked["protocol"], "times": 2, "seeds": 2}
    return read_ablation(asked["recipe"], **(given | options))


def numbers(found):
    return [
        [(scored["step"], scored["numbers"]) for one in cell["runs"] for scored in one["scored"]]
        for cell in found["cells"]
    ]


@pytest.fixture(scope="module")
def whole(asked):
    """The folder of an ablation that nothing interrupted, called as from a shell."""
    out = asked["folder"] / "whole"
    arguments = ["ablate", str(asked["recipe"]), "--axis", AXIS, "--protocol", asked["protocol"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(asked["folder"] / "cache"))
        assert main([*arguments, "--times", "2", "--seeds", "2", "--out", str(out)]) == 0
    return out


def test_every_run_is_trained_scored_and_told(whole):
    found = json.loads((whole / "results.json").read_text())
    assert found["complete"]
    assert [cell["objectives_left_out"] for cell in found["cells"]] == [["acceleration"], ["acceleration"]]
    for cell in found["cells"]:
        assert [one["seed"] for one in cell["runs"]] == [0, 1]
        assert cell["numbers"]["fd_small_classifier"]["count"] == 2
        for one in cell["runs"]:
            assert [scored["step"] for scored in one["scored"]] == [2, 4]
            assert 0 < one["scored"][0]["seconds"] < one["scored"][1]["seconds"] == one["seconds"]
            for scored in one["scored"]:
                passport = json.loads((whole / scored["passport"]).read_text())
                assert passport["subject"]["step"] == scored["step"]
                told = {name: number["value"] for name, number in passport["numbers"].items()}
                assert told == scored["numbers"]
    assert not list(whole.rglob("checkpoints"))
    assert "So far" not in (whole / "table.md").read_text()
    page = (whole / "report.html").read_text()
    assert page.count('src="data:image/png') == 2, "a grid of samples for each cell"
    assert "thalweg ablate" in page


def test_what_was_done_is_not_done_again_and_seeds_may_be_added(asked, whole):
    out, said = asked["folder"] / "interrupted", []

    def until_the_second(text):
        said.append(text)
        if text.startswith("[2/2]"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(ablation(asked, seeds=1), out, until_the_second)
    assert "So far 1 of 2 runs are done" in (out / "table.md").read_text()
    (done,) = (out / "cells").rglob("*seconds.json")
    before = done.stat().st_mtime_ns

    said.clear()
    found = run(ablation(asked), out, said.append)
    assert [text[:5] for text in said] == ["[2/4]", "[3/4]", "[4/4]"]
    assert done.stat().st_mtime_ns == before
    assert numbers(found) == numbers(json.loads((whole / "results.json").read_text()))


def test_a_run_that_could_not_be_scored_is_scored_later_and_not_trained_again(asked, tmp_path, monkeypatch):
    one = ablation(asked, axes=("refiner=plain",), seeds=1)
    (tmp_path / "file").touch()
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        with pytest.raises(ThalwegError, match="cannot be written"):
            run(one, tmp_path / "out", print)
    (trained,) = tmp_path.rglob("metrics.jsonl")
    before = trained.read_bytes()
    assert run(one, tmp_path / "out", print)["complete"]
    assert trained.read_bytes() == before, "its seconds would be others"


def test_another_ablation_in_the_folder_is_refused(asked, whole, tmp_path, capsys):
    def refused(*changes):
        arguments = ["ablate", str(asked["recipe"]), "--axis", AXIS, "--protocol", asked["protocol"]]
        code = main([*arguments, "--times", "2", *changes])
        return code, capsys.readouterr().err

    before = {path: path.read_bytes() for path in whole.iterdir() if path.is_file()}
    for changes, differs in (
        (("training.optimizer.lr=0.1",), "overrides"),
        (("--equal", "compute"), "equal"),
    ):
        code, said = refused("--out", str(whole), *changes)
        assert code == 2
        assert f"holds another ablation, it differs in {differs}; choose another --out" in said
    assert {path: path.read_bytes() for path in whole.iterdir() if path.is_file()} == before

    (tmp_path / "letter.txt").write_text("dear")
    code, said = refused("--out", str(tmp_path))
    assert (code, [path.name for path in tmp_path.iterdir()]) == (2, ["letter.txt"])
    assert "is not empty and holds no ablation" in said


DIVERGING = """
recipe = "tiny.toml"
seeds = 2

[evaluation]
protocol = "moment.toml"

[cells]
"calm" = []
"wild" = ["training.optimizer.lr=1e30"]
"plain" = ["refiner=plain", "objectives.acceleration=none"]

[controls]
"wild" = "last"
"""


def test_a_run_that_diverges_leaves_its_cell_without_a_mean_and_the_others_go_on(asked, capsys, monkeypatch):
    folder = asked["folder"]
    monkeypatch.chdir(folder)
    path = folder / "diverging.toml"
    path.write_text(DIVERGING.replace("tiny.toml", asked["recipe"].name))
    out, said = folder / "diverging", []
    found = run(read_ablation(path), out, said.append)
    calm, wild, plain = found["cells"]
    assert found["complete"]
    assert [one["seed"] for one in wild["diverged"]] == [0, 1]
    assert "training diverged at step" in wild["diverged"][0]["said"]
    assert (wild["numbers"], wild["difference"], wild["runs"], wild["seconds"]) == ({}, {}, [], None)
    assert calm["diverged"] == plain["diverged"] == []
    assert plain["difference"]["fd_small_classifier"]["count"] == 2
    assert found["controls"]["held"] == {"wild": True}, "nothing is worse"
    assert sum(text.startswith("warning: training diverged") for text in said) == 2
    for text in ((out / "table.md").read_text(), (out / "report.html").read_text()):
        assert "wild diverged under the seeds 0 and 1, so it has no mean" in text
        assert "So far" not in text

    # Not trained again to the same end, not even as part of a table that has grown.
    trained = {path: path.read_bytes() for path in out.rglob("metrics.jsonl")}
    said.clear()
    again = run(read_ablation(path, seeds=3), out, said.append)
    assert [text[:5] for text in said if text.startswith("[")] == ["[7/9]", "[8/9]", "[9/9]"]
    assert {path: path.read_bytes() for path in trained} == trained
    assert [one["seed"] for one in again["cells"][1]["diverged"]] == [0, 1, 2]


def test_a_recipe_that_has_changed_since_is_refused_by_its_key(asked, whole, tmp_path, capsys):
    """Cells trained before and after are not of one table."""
    changed = tmp_path / asked["recipe"].name
    changed.write_text(asked["recipe"].read_text().replace("steps = 4\n", "steps = 6\n", 1))
    assert changed.read_text() != asked["recipe"].read_text()
    arguments = ["ablate", str(changed), "--axis", AXIS, "--protocol", asked["protocol"], "--times", "2"]
    assert main([*arguments, "--seeds", "2", "--out", str(whole)]) == 2
    said = capsys.readouterr().err
    assert "it differs in training.steps of the cell refiner=none, which was 4 and is 6" in said


def test_a_damaged_plan_is_named(asked, tmp_path):
    (tmp_path / "ablation.json").write_text("{")
    assert main(["ablate", str(asked["recipe"]), "--axis", AXIS, "--out", str(tmp_path)]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["ablation.json"]


@pytest.mark.parametrize(
    ("protocol", "says"),
    [("no-such", "no-such"), ("moment.toml", "features.small_classifier.metrics.no_such")],
)
def test_a_faulty_evaluation_is_named_before_anything_is_trained(
    asked, tmp_path, monkeypatch, capsys, protocol, says
):
    monkeypatch.chdir(tmp_path)
    faulty = {**PROTOCOL, "features": {"small_classifier": {"metrics": {"no_such": {}}}}}
    (tmp_path / "moment.toml").write_text(to_toml(faulty))
    arguments = ["ablate", str(asked["recipe"]), "--axis", AXIS, "--protocol", protocol, "--out", "out"]
    assert main(arguments) in (2, 3)
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


WAYS = "sampling.seed=1,4"  # noise is all that tells the samples of networks so young apart


@pytest.fixture(scope="module")
def ways(asked):
    """Two ways of sampling, of two networks."""
    out = asked["folder"] / "ways"
    command = ["ablate", str(asked["recipe"]), "--axis", WAYS, "--axis", AXIS, "--seeds", "1", "--times", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(asked["folder"] / "cache"))
        assert main([*command, "--protocol", asked["protocol"], "--out", str(out)]) == 0
    return out


def test_ways_of_sampling_score_one_network_and_are_ranked(asked, ways):
    trained = sorted(path.parent.relative_to(ways) for path in ways.rglob("metrics.jsonl"))
    assert [str(path) for path in trained] == ["cells/01/seed-0", "cells/02/seed-0"]
    found = json.loads((ways / "results.json").read_text())
    assert [cell["name"] for cell in found["cells"]] == [
        f"sampling.seed={seed}, refiner={name}" for seed in (1, 4) for name in ("none", "plain")
    ]
    assert [cell["network"] for cell in found["cells"]] == ["refiner=none", "refiner=plain"] * 2
    few, many = found["cells"][0], found["cells"][2]
    assert few["numbers"] != many["numbers"], "they were drawn otherwise"
    assert few["seconds"] == many["seconds"], "it was trained once"
    assert many["difference"]["fd_small_classifier"]["mean"] != 0
    for cell in (few, many):
        for one in cell["runs"][0]["scored"]:
            drawn = json.loads((ways / one["passport"]).read_text())["conditions"]["sampling"]
            assert drawn["seed"] == int(cell["name"].partition("=")[2].partition(",")[0])
            assert drawn["sampler"]["steps"] == 2, "the rest is the protocol's"
    best = min((few, many), key=lambda cell: cell["numbers"]["fd_small_classifier"]["mean"])["name"]
    way = best.removeprefix("sampling.").partition(",")[0]
    first = f"Ways of sampling from refiner=none, the best first. fd_small_classifier: {way} ("
    assert first in (ways / "table.md").read_text(encoding="utf-8")
    page = (ways / "report.html").read_text()
    assert page.count('src="data:image/png') == 2, "a grid of samples for each network"
    assert not list(ways.rglob("checkpoints"))


def test_ways_of_sampling_resume_where_they_were(asked, ways):
    out, said = asked["folder"] / "ways-interrupted", []
    ablation_ = ablation(asked, axes=(WAYS, AXIS), seeds=1)

    def until_the_third(text):
        said.append(text)
        if text.startswith("[3/4]"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(ablation_, out, until_the_third)
    trained = {path: path.read_bytes() for path in out.rglob("metrics.jsonl")}
    assert len(trained) == 2
    assert len(list(out.rglob("checkpoints"))) == 2, "what is still to be scored is kept"
    said.clear()
    found = run(ablation_, out, said.append)
    assert [text[:5] for text in said] == ["[3/4]", "[4/4]"]
    assert {path: path.read_bytes() for path in out.rglob("metrics.jsonl")} == trained
    assert numbers(found) == numbers(json.loads((ways / "results.json").read_text()))
    assert not list(out.rglob("checkpoints"))


def test_no_grid_is_drawn_that_the_recipe_does_not_ask_for(asked, tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg.training.progress._SHOWN", 0.0)  # however quick the machine is
    asked = {**asked, "recipe": recipe(tmp_path, steps=2)}
    run(ablation(asked, axes=("refiner=plain",), seeds=1, times=1), tmp_path / "out", print)
    assert not list(tmp_path.rglob("*.png"))
    (trained,) = tmp_path.rglob("metrics.jsonl")
    assert lines(trained.parent)
    found = json.loads((tmp_path / "out/results.json").read_text())
    (one,) = found["cells"][0]["runs"]
    assert one["beside"]["samples"] == 0.0
    assert one["beside"]["validation"] > 0.0
    assert "for training, besides" in (tmp_path / "out/table.md").read_text()


def test_all_numbers_of_the_protocol_are_compared_but_those_of_the_reference(asked, tmp_path):
    metrics = {"frechet_distance": {}, "precision_recall": {}, "nearest_neighbour": {}}
    features = {"small_classifier": {**PROTOCOL["features"]["small_classifier"], "metrics": metrics}}
    protocol = tmp_path / "more.toml"
    protocol.write_text(to_toml({**PROTOCOL, "features": features}))
    more = {"axes": ("sampling.seed=1,4", "sampling.sampler.steps=2,3"), "times": 1}
    found = run(ablation(asked, protocol=str(protocol), **more), tmp_path / "out", print)
    assert [cell["nfe"] for cell in found["cells"]] == [2.0, 3.0, 2.0, 3.0]
    scored = set(found["cells"][0]["numbers"])
    assert {"fd_small_classifier", "recall_small_classifier", "nearest_neighbour_small_classifier"} <= scored
    of_reference = {name for name in scored if "_real" in name}
    compared = found["cells"][1]["difference"]
    assert of_reference
    assert scored - set(compared) <= {name for name in scored if not found["better"][name]}
    assert not of_reference & set(compared)
    assert "nearest_neighbour_small_classifier" in compared
    assert found["comparisons"] == 3
    table = (tmp_path / "out" / "table.md").read_text()
    header = table.splitlines()[2]
    assert all(f"| {name} |" in header for name in (*compared, "NFE", "training s"))
    assert not any(f"| {name} |" in header for name in of_reference)
    assert "The same in all runs: nearest_neighbour_real" in table
    text = (tmp_path / "out" / "report.html").read_text()
    assert "The noise that samples begin at is not the same for all cells: seed 1 for" in text


def test_a_file_where_the_folder_is_to_be_is_told(tmp_path):
    (tmp_path / "table").write_text("")
    with (
        pytest.raises(ConfigError, match=r"table is a file; choose another --out"),
        alone(tmp_path / "table"),
    ):
        pass
    assert (tmp_path / "table").read_text() == ""
