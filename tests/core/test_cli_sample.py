"""``thalweg sample`` from a saved network to files, and what it refuses."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import thalweg
from thalweg.cli.main import main
from thalweg.saved_network import save

AS_TOLD = ["--json", "--precision", "32-true"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model"
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "depth": 1, "heads": 2, "patch": 2},
        refiner=None,
        branches=1,
        facts=thalweg.Facts(shape=(1, 4, 4), classes=3),
    )
    save(path, network)
    return path


QUICK = ("count=5", "sampler=euler", "sampler.steps=3")


def test_samples_and_how_they_were_drawn_are_written(model, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    code = main(
        ["sample", str(model), str(out), *QUICK, "guidance=cfg", "guidance.interval=[0.0, 0.7]", *AS_TOLD]
    )
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    # Times 1, 2/3 and 1/3: two of three are open.
    assert told["nfe"] == 5
    assert told["sampling"]["sampler"] == {"type": "euler", "steps": 3}
    written = load_file(out / "samples.safetensors")
    assert written["x"].shape == (5, 1, 4, 4)
    assert written["labels"].tolist() == [0, 1, 2, 0, 1]
    assert written["indices"].tolist() == [0, 1, 2, 3, 4]
    assert json.loads((out / "samples.json").read_text())["precision"] == "32-true"
    with Image.open(out / "samples.png") as picture:
        assert picture.width > 3 * 48
    assert sorted(path.name for path in out.parent.iterdir()) == ["out"]


def test_later_samples_are_those_of_a_longer_run(model, tmp_path):
    assert main(["sample", str(model), str(tmp_path / "all"), *QUICK, "--labels", "2"]) == 0
    rest = ["--labels", "2", "--start", "3"]
    assert main(["sample", str(model), str(tmp_path / "rest"), *QUICK, "count=2", *rest]) == 0
    whole = load_file(tmp_path / "all" / "samples.safetensors")["x"]
    part = load_file(tmp_path / "rest" / "samples.safetensors")["x"]
    torch.testing.assert_close(part, whole[3:])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--labels", "0,3"], 2, "there is no class 3; the network knows the classes 0 to 2"),
        (["--labels", "cat"], 2, "'cat' is no list of integers"),
        (["--start", "-1"], 2, "'start' must be at least 0, got -1"),
        (["--device", "teapot"], 2, "'teapot' cannot be used here"),
        (["sampler=eular"], 2, "'euler'"),
        (["sampler.step=3"], 2, "'steps'"),
        (["count=0"], 2, "count"),
        (["guidance=cfg", "guidance.interval=[0.7, 0.2]"], 2, "interval"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(model, tmp_path, capsys, arguments, code, message):
    assert main(["sample", str(model), str(tmp_path / "out"), *QUICK, *arguments]) == code
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(model, tmp_path, capsys):
    assert main(["sample", str(model), str(tmp_path), *QUICK]) == 2
    assert "choose a name that does not" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named(model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["sample", str(model), str(tmp_path / "file" / "out"), *QUICK]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_missing_model_is_named(tmp_path, capsys):
    assert main(["sample", str(tmp_path / "nothing"), str(tmp_path / "out"), *QUICK]) == 4
    assert "holds no network" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_found_out_before_drawing(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "thalweg.network_sampler.NetworkSampler.__call__", lambda *_: pytest.fail("it was drawn")
    )
    (tmp_path / "file").write_text("")
    assert main(["sample", str(model), str(tmp_path / "file" / "out"), *QUICK]) == 1
    assert "choose a place open to writing" in capsys.readouterr().err
