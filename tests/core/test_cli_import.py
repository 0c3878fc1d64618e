"""``thalweg import`` from a released checkpoint to a network that samples, and what it refuses."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from golden_files import golden
from thalweg.cli.main import main


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A folder of released checkpoints in the forms that one meets."""
    folder = tmp_path_factory.mktemp("released")
    deepflow = golden("deepflow_2t").weights
    torch.save(
        {"model": {}, "ema": {f"module.{name}": one for name, one in deepflow.items()}}, folder / "df.pt"
    )
    save_file(golden("sit").weights, folder / "sit.safetensors")
    save_file(golden("repa_sit").weights, folder / "repa.safetensors")
    whole = (folder / "df.pt").read_bytes()
    (folder / "truncated.pt").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize(
    ("source", "file", "branches"),
    [("deepflow", "df.pt", 2), ("sit", "sit.safetensors", 1), ("repa", "repa.safetensors", 1)],
)
def test_a_checkpoint_becomes_a_network_that_samples(checkpoints, tmp_path, capsys, source, file, branches):
    model, out = tmp_path / "new" / "model", tmp_path / "drawn"
    assert main(["import", source, str(checkpoints / file), str(model), "--heads", "4"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{model}: {branches} branches, ")
    assert printed.err == ""
    assert json.loads((model / "model.json").read_text())["source"] == source
    assert main(["sample", str(model), str(out), "count=2", "sampler=euler", "sampler.steps=2"]) == 0
    drawn = load_file(out / "samples.safetensors")["x"]
    assert drawn.shape == (2, 4, 8, 8)
    assert torch.isfinite(drawn).all()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sitt", "sit.safetensors", "--heads", "4"], 2, "unknown importer 'sitt', did you mean 'sit'"),
        (["sit", "sit.safetensors"], 2, "width 64 is none of the named sizes"),
        (["sit", "sit.safetensors", "--heads", "0"], 2, "'--heads'"),
        (["sit", "sit.safetensors", "--heads", "5"], 2, "the 5 heads"),
        (["deepflow", "sit.safetensors", "--heads", "4"], 4, "it is no DeepFlow checkpoint"),
        (["sit", "nowhere.pt"], 4, "nowhere.pt is no file"),
        (["deepflow", "truncated.pt"], 4, "truncated.pt cannot be read"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(checkpoints, tmp_path, capsys, arguments, code, message):
    source, file, *options = arguments
    target = tmp_path / "model"
    assert main(["import", source, str(checkpoints / file), str(target), *options]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert "Traceback" not in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_network_is_not_replaced(checkpoints, tmp_path, capsys):
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter.tex").write_text("text")
    arguments = ["import", "sit", str(checkpoints / "sit.safetensors"), str(target), "--heads", "4"]
    assert main(arguments) == 4
    assert "exists and is no saved network" in capsys.readouterr().err
    assert [path.name for path in target.iterdir()] == ["chapter.tex"]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_a_place_that_cannot_be_written_is_one_sentence(checkpoints, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "model"
    arguments = ["import", "sit", str(checkpoints / "sit.safetensors"), str(target), "--heads", "4"]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: cannot write {target}")
    assert "unexpected" not in error


class Malice:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def test_pickled_objects_are_never_executed(tmp_path, capsys):
    torch.save({"ema": Malice(tmp_path / "canary")}, tmp_path / "evil.pt")
    assert main(["import", "sit", str(tmp_path / "evil.pt"), str(tmp_path / "model")]) == 4
    error = capsys.readouterr().err
    assert "never executed" in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pt"]
