"""``thalweg import`` from a released checkpoint to a network that samples, and what it refuses."""

import argparse
import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from golden_files import golden
from released import drifted
from thalweg.cli.main import main
from thalweg.files import sha256


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
    sit, args = golden("sit").weights, {"num_heads": 4, "num_classes": 1000}
    stated = argparse.Namespace(**args, path_type="GVP", prediction="velocity", train_eps=None)
    averaged = {**sit, "pos_embed": drifted(sit["pos_embed"])}
    torch.save({"model": sit, "ema": averaged, "opt": {}, "args": stated}, folder / "trained.pt")
    torch.save(
        {"model": sit, "ema": sit, "args": argparse.Namespace(model="DiT-XL/2", **args)}, folder / "dit.pt"
    )
    torch.save({**sit, "blocks.0.attn.qkv.bias": torch.full((192,), torch.nan)}, folder / "nan.pt")
    whole = (folder / "df.pt").read_bytes()
    (folder / "truncated.pt").write_bytes(whole[: len(whole) // 2])
    return folder


BARE = ["--heads", "4", "--path", "linear", "--prediction", "velocity"]
BRANCHED = ["--heads", "4", "--path", "linear", "--branches-at", "2", "--no-clamp"]


@pytest.mark.parametrize(
    ("source", "file", "options", "branches"),
    [
        ("deepflow", "df.pt", BRANCHED, 2),
        ("sit", "sit.safetensors", BARE, 1),
        ("repa", "repa.safetensors", BARE[:4], 1),
        ("sit", "trained.pt", [], 1),
    ],
)
def test_a_checkpoint_becomes_a_network_that_samples(
    checkpoints, tmp_path, capsys, source, file, options, branches
):
    model, out = tmp_path / "new" / "model", tmp_path / "drawn"
    assert main(["import", source, str(checkpoints / file), str(model), *options]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{model}: {branches} branches, ")
    # Of a bare file with variances that have weights, which the reference file's have.
    assert ("make sure that this is no DiT" in printed.err) == (file == "sit.safetensors")
    description = json.loads((model / "model.json").read_text())
    assert description["source"] == source
    assert description["imported"]["sha256"] == sha256(checkpoints / file)
    assert main(["sample", str(model), str(out), "count=2", "sampler=euler", "sampler.steps=2"]) == 0
    drawn = load_file(out / "samples.safetensors")["x"]
    assert drawn.shape == (2, 4, 8, 8)
    assert torch.isfinite(drawn).all()


def test_what_was_taken_from_where_is_said(checkpoints, tmp_path, capsys):
    assert main(["import", "sit", str(checkpoints / "trained.pt"), str(tmp_path / "a")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "weights: ema (model left out)",
        "positions: the file's own (the tensors, at most 1.6e-04 off the fixed table)",
        "classes: 1000 ('num_classes' of the file's args and the tensors)",
        "heads: 4 ('num_heads' of the file's args)",
        "path: cosine ('path_type' of the file's args)",
        "prediction: velocity ('prediction' of the file's args)",
    ]
    assert main(["import", "sit", str(checkpoints / "trained.pt"), str(tmp_path / "b"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["branches"], found["source"], found["weights"]) == (1, "sit", "ema")
    assert found["left"] == ["model"]
    assert found["resolved"]["path"] == {"value": "cosine", "origin": "'path_type' of the file's args"}
    description = json.loads((tmp_path / "b" / "model.json").read_text())
    assert description["imported"]["resolved"] == found["resolved"]
    assert description["composition"]["interpolant"] == "cosine"


def test_options_are_said_too(checkpoints, tmp_path, capsys):
    assert main(["import", "deepflow", str(checkpoints / "df.pt"), str(tmp_path / "a"), *BRANCHED]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "branches_at: 2 (--branches-at)" in lines
    assert "clamp: no (--no-clamp)" in lines
    assert "prediction: velocity (the tensors)" in lines


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sitt", "sit.safetensors", *BARE], 2, "unknown importer 'sitt', did you mean 'sit'"),
        (["sit", "sit.safetensors"], 2, "give --heads, --path"),
        (["sit", "sit.safetensors", *BARE[2:]], 2, "give --heads"),
        (["sit", "sit.safetensors", *BARE[:4]], 2, "give --prediction (velocity; a DiT's file"),
        (["sit", "sit.safetensors", "--heads", "0"], 2, "'--heads'"),
        (["sit", "sit.safetensors", *BARE[2:], "--heads", "5"], 2, "5 heads are stated by --heads"),
        (["sit", "sit.safetensors", *BARE, "--no-clamp"], 2, "nothing that --no-clamp could state"),
        (["sit", "sit.safetensors", *BARE[:4], "--prediction", "noise"], 4, "predicts the noise"),
        (["sit", "sit.safetensors", *BARE[:2], *BARE[4:], "--path", "VP"], 4, "the path is vp by --path"),
        (["sit", "trained.pt", "--path", "linear"], 2, "path is linear by --path and cosine by 'path_type'"),
        (["deepflow", "sit.safetensors", *BARE], 4, "it is no DeepFlow checkpoint"),
        (["deepflow", "df.pt", *BRANCHED[:4], "--clamp", "--branches-at", "1"], 4, "end after 1 of 4 blocks"),
        (["deepflow", "df.pt", *BRANCHED[:5], "2;3"], 2, "'2;3' is no list of depths; write 4,8"),
        (["deepflow", "df.pt", *BRANCHED[:4]], 2, "give --branches-at (such as 2), --clamp or --no-clamp"),
        (["sit", "nowhere.pt"], 4, "nowhere.pt is no file"),
        (["deepflow", "truncated.pt"], 4, "truncated.pt cannot be read"),
        (["sit", "nan.pt", *BARE], 4, "'blocks.0.attn.qkv.bias' holds numbers that are not finite"),
        (["sit", "dit.pt", *BARE], 4, "those of DiT, not of SiT; import it as dit"),
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
    arguments = ["import", "sit", str(checkpoints / "sit.safetensors"), str(target), *BARE]
    assert main(arguments) == 4
    assert "exists and is no saved network" in capsys.readouterr().err
    assert [path.name for path in target.iterdir()] == ["chapter.tex"]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_a_place_that_cannot_be_written_is_one_sentence(checkpoints, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "model"
    arguments = ["import", "repa", str(checkpoints / "repa.safetensors"), str(target), *BARE]
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
