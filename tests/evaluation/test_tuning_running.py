"""Tunings from beginning to end on a tiny network: pairing, files, what is resumed, and what is refused."""

import json
import shutil

import pytest

import thalweg_eval
from evaluated import FAST, npz, run_folder
from thalweg.cli.main import main
from thalweg.errors import ConfigError
from thalweg_eval.evaluation.evaluator import Evaluator
from thalweg_eval.tuning import tune_guidance

QUICK = (*FAST, "count=20")
GRID = {"scales": (1.0, 1.5, 2.5), "strengths": (0.0, 2.0)}
FD = "fd_small_classifier"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def tuned(run, work, tmp_path_factory):
    """A folder, and what was found there."""
    out = tmp_path_factory.mktemp("tuned")
    shutil.rmtree(out)
    options = {"around": [{"type": "cfg", "scale": 1.2}], "seeds": 2, "write": out.parent / "best.toml"}
    return out, tune_guidance(run, out=out, settings=QUICK, work=work, **GRID, **options)


def numbers_of(found):
    return {point["name"]: point["numbers"] for point in found["points"]}


def counted(monkeypatch, stop=None):
    """How many points are scored from here on; the one after ``stop`` of them is interrupted."""
    scored, score = [], Evaluator.score

    def counting(self, way, begun=None):
        if len(scored) == stop:
            raise KeyboardInterrupt
        scored.append(way)
        return score(self, way, begun)

    monkeypatch.setattr(Evaluator, "score", counting)
    return scored


def test_no_guidance_by_any_way_gives_the_numbers_of_none(tuned):
    numbers = numbers_of(tuned[1])
    alone = numbers["cfg alone"]
    assert numbers["internal, scale 1"] == numbers["calibrated internal, strength 0"] == alone
    for name in ("unguided", "internal, scale 1.5", "internal, scale 2.5", "calibrated internal, strength 2"):
        assert numbers[name] != alone, name


def test_every_point_has_the_number_that_it_has_alone(run, work, tuned):
    out, found = tuned
    options = {"protocol": "quick", "settings": (*QUICK, "sampling.seed=1"), "work": work}
    guidance = [{"type": "internal", "scale": 1.5}, {"type": "cfg", "scale": 1.2}]
    alone = thalweg_eval.evaluate(run, sampling={"guidance": guidance}, **options)
    point = next(one for one in found["points"] if one["name"] == "internal, scale 1.5")
    assert point["guidance"] == guidance
    assert point["nfe"] == alone.subject["nfe"] == 4
    kept = json.loads((out / point["passports"][1]).read_text())
    assert kept["numbers"] == alone.numbers
    assert kept["conditions"] == alone.conditions


def test_heads_that_nobody_measured_are_measured_for_a_calibrated_scale(run, work):
    options = {"protocol": "quick", "settings": QUICK, "work": work}
    calibrated = {"type": "internal", "scale": "calibrated", "strength": 2.0}
    one, two = (
        thalweg_eval.evaluate(run, sampling={"guidance": calibrated}, devices=devices, **options)
        for devices in (1, 2)
    )
    assert one.values == two.values


def test_the_best_by_the_protocols_first_number_is_named_and_written(run, work, tuned):
    out, found = tuned
    means = {name: one[FD]["mean"] for name, one in numbers_of(found).items()}
    best = min(means, key=means.__getitem__)
    assert (found["by"], found["best"]["name"]) == (FD, best)
    written = thalweg_eval.evaluate(run, protocol=out.parent / "best.toml", work=work)
    kept = json.loads((out / found["best"]["passports"][0]).read_text())
    assert written.numbers == kept["numbers"]
    stored = json.loads((out / "results.json").read_text())
    assert {key: stored[key] for key in found} == found
    assert "<h1>Guidance of" in (out / "report.html").read_text()


def test_another_number_can_be_chosen_by(run, tuned, monkeypatch):
    scored = counted(monkeypatch)
    out, _ = tuned
    options = {"around": [{"type": "cfg", "scale": 1.2}], "seeds": 2, "settings": QUICK, **GRID}
    found = tune_guidance(run, out=out, by="accuracy", **options)
    assert found["by"] == "accuracy_small_classifier"
    means = [point["numbers"][found["by"]]["mean"] for point in found["points"]]
    assert found["best"]["name"] == found["points"][means.index(max(means))]["name"]
    assert not scored


def test_an_interrupted_tuning_resumes_and_comes_to_the_same(run, work, tmp_path, monkeypatch):
    options = {"settings": QUICK, "work": work, **GRID}
    whole = tune_guidance(run, out=tmp_path / "whole", **options)
    counted(monkeypatch, stop=2)
    with pytest.raises(KeyboardInterrupt):
        tune_guidance(run, out=tmp_path / "cut", **options)
    monkeypatch.undo()
    scored = counted(monkeypatch)
    assert tune_guidance(run, out=tmp_path / "cut", **options)["points"] == whole["points"]
    assert len(scored) == 4
    # More of a grid is more of the same folder.
    longer = tune_guidance(run, out=tmp_path / "cut", **{**options, "scales": "1,1.5,2.5,3"})
    assert len(scored) == 5
    assert len(longer["points"]) == 7
    path = tmp_path / "cut" / whole["points"][2]["passports"][0]
    path.write_text(path.read_text().replace("value", "valve", 1))
    said = []
    assert tune_guidance(run, out=tmp_path / "cut", say=said.append, **options)["points"] == whole["points"]
    assert len(scored) == 6
    assert any("is damaged or was changed" in line and line.endswith("it is made anew") for line in said)


def test_a_folder_is_of_one_network_one_protocol_and_one_method(run, work, tmp_path):
    options = {"work": work, "scales": (1.0, 2.0)}
    tune_guidance(run, out=tmp_path / "out", settings=QUICK, **options)
    other = run_folder(tmp_path / "other", seed=1)
    for subject, more, key in (
        (other, {"settings": QUICK}, "network"),
        (run, {"settings": (*QUICK, "sampling.sampler.steps=3")}, "protocol"),
        (run, {"settings": QUICK, "method": "cfg"}, "method"),
        (run, {"settings": QUICK, "around": ["cfg"]}, "around"),
    ):
        with pytest.raises(ConfigError, match=f"holds another tuning, it differs in {key}; choose another"):
            tune_guidance(subject, out=tmp_path / "out", **options, **more)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no tuning"):
        tune_guidance(run, out=tmp_path / "full", settings=QUICK, **options)


def test_what_a_tuning_wrote_is_written_anew_and_nothing_else(run, work, tmp_path, monkeypatch):
    scored = counted(monkeypatch)
    options = {"out": tmp_path / "out", "settings": QUICK, "work": work, "scales": (1.0, 2.0)}
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "mine"\n')
    with pytest.raises(ConfigError, match=r"mine.toml exists and was not written by a tuning"):
        tune_guidance(run, write=mine, **options)
    with pytest.raises(ConfigError, match=r"a protocol's file ends in .toml"):
        tune_guidance(run, write=tmp_path / "best.json", **options)
    assert not scored
    for by in (FD, "accuracy"):
        tune_guidance(run, write=tmp_path / "best.toml", by=by, **options)
    assert mine.read_text() == 'name = "mine"\n'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--method", "half", "--scales", "1,2", "--after", "5"],
            "half guidance is to read the head after 5",
        ),
        (["--method", "intrnal"], "did you mean 'internal'"),
        (["--scales", "1"], "the scan has one scale alone"),
        (["--scales", "one,two"], "scales cannot be read from 'one,two'"),
        (["--intervals", "1:0"], "intervals has 1:0"),
        (["--scales", "-1,1"], "scale"),
        (["--by", "fid"], "the protocol computes no 'fid'"),
        (["--fit", "kid"], "take method ladder"),
        (["--method", "ladder", "--fit", "recall"], "weights are fitted to frechet_distance or kid"),
        (["--method", "ladder", "--fit", "kid"], "the protocol computes no 'kid'"),
        (["sampling.guidance=cfg"], "sampling.guidance is what is tuned"),
        (["--seeds", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_one_sentence(run, work, tmp_path, capsys, arguments, said):
    command = ["tune", "guidance", str(run), "--out", str(tmp_path / "out"), "--work", str(work), *QUICK]
    assert main([*command, *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_what_is_no_network_or_has_no_heads_is_refused(tmp_path, work):
    options = {"out": tmp_path / "out", "settings": QUICK, "work": work}
    with pytest.raises(ConfigError, match="holds no network whose guidance could be tuned"):
        tune_guidance(npz(tmp_path / "x.npz", 20), **options)
    plain = {"branches": 1, "refiner": "none", "objectives": {"velocity": {}}}
    headless = run_folder(tmp_path / "plain", **plain)
    with pytest.raises(ConfigError, match="needs an intermediate head, and this network has none"):
        tune_guidance(headless, **options)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"subject": 3}, "subject is 3; give a run, a network"),
        ({"write": 5}, "write is 5; give the path"),
        ({"out": None}, "out is None; give the path of the folder of the tuning"),
        ({"around": "cfg"}, "around is 'cfg'; give a list"),
        ({"after": "3"}, "after is '3'; give a sequence of integers"),
        ({"settings": "count=20"}, "settings is 'count=20'; give a list of strings"),
        ({"fit": "kid", "method": {"type": "ladder", "weights": [1.0]}}, "weights are stated and fitted"),
        ({"evaluations": 1}, "'evaluations' must be at least 2"),
    ],
)
def test_mistaken_arguments_are_named(run, tmp_path, given, said):
    options = {"subject": run, "out": tmp_path / "out", **given}
    with pytest.raises(ConfigError, match=said):
        tune_guidance(options.pop("subject"), **options)
    assert not list(tmp_path.iterdir())


def test_the_command_prints_a_table_and_what_it_says(run, work, tmp_path, capsys):
    out = tmp_path / "out"
    command = [
        "tune",
        "guidance",
        str(run),
        "--out",
        str(out),
        "--work",
        str(work),
        "--scales",
        "1,2",
        *QUICK,
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    header, first, *_ = printed.splitlines()
    assert header.split() == [FD, "less", "unguided", "NFE", "accuracy_small_classifier"]
    assert first.startswith("unguided")
    assert f"report: {out / 'report.html'}" in printed
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["points"] == json.loads((out / "results.json").read_text())["points"]
    assert told["command"].startswith("thalweg tune guidance")
