"""Runs of which something was removed, and links where a command keeps its own: refused before anything is
touched."""

import json
import shutil

import pytest

from evaluated import run_folder
from thalweg.cli.main import main
from thalweg.storage.redaction import register_secrets
from tiny_ablations import AXIS, PROTOCOL
from tiny_runs import lines, recipe

SECRET = "Zq9LongCanary0123456789abcdefGHIJKLMNOPQRSTUVWXYZ9876543210xyzw"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    path = recipe(folder, steps=6, checkpoint_every=2, sample_every=3)
    assert main(["train", str(path), "--run-dir", str(folder / "run"), "--device", "cpu", "--quiet"]) == 0
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def again(run, *overrides):
    path = recipe(run.parent, steps=8, checkpoint_every=2, sample_every=3)
    return main(["train", str(path), *overrides, "--run-dir", str(run), "--device", "cpu", "--quiet"])


@pytest.mark.parametrize("left", ["config.toml", "metrics.jsonl"])
def test_a_run_without_its_network_is_not_evaluated_by_its_pictures(run, capsys, left):
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoints")
    (run / ("metrics.jsonl" if left == "config.toml" else "config.toml")).unlink()
    command = ["evaluate", str(run), "--metrics", "frechet_distance", "--extractor", "small_classifier"]
    assert main([*command, "--reference", str(run / "samples"), "--out", str(run.parent / "p.json")]) == 4
    assert "is a run that holds no network" in capsys.readouterr().err
    assert not (run.parent / "p.json").exists()


def test_what_is_left_of_a_model_is_said_before_training(run, capsys):
    (run / "model" / "model.json").unlink()
    before = (run / "metrics.jsonl").read_bytes()
    assert again(run) == 4
    assert "model is no saved network, or what is left of one" in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_bytes() == before
    shutil.rmtree(run / "model")
    assert again(run) == 0
    assert [line["step"] for line in lines(run)] == list(range(1, 9))


def test_numbers_tell_of_checkpoints_that_are_gone(run, capsys):
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "model")
    (run / "saved.json").unlink()
    before = (run / "metrics.jsonl").read_bytes()
    assert again(run) == 4
    assert "its checkpoints are gone" in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_bytes() == before


def test_what_a_kill_kept_the_last_save_from_is_done(run):
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    (run / "checkpoints" / "latest").write_text("step-00000001\n")
    old = shutil.copytree(newest, newest.with_name("step-00000001"))
    assert again(run, "training.steps=6") == 0
    assert (run / "checkpoints" / "latest").read_text() == f"{newest.name}\n"
    assert not old.exists()


@pytest.mark.parametrize("place", ["cells", "cells/01", "cells/01/seed-0", ".lock"])
def test_an_ablation_writes_through_no_link_in_its_folder(tmp_path, capsys, place):
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.mkdir()
    (out / place).parent.mkdir(parents=True)
    (out / place).symlink_to(victim)
    (out / "ablation.json").write_text("")
    command = ["ablate", str(recipe(tmp_path, steps=2)), "--axis", AXIS, "--seeds", "1", "--out", str(out)]
    assert main(command) == 2
    assert "is a link, and nothing is written through links" in capsys.readouterr().err
    assert list(victim.iterdir()) == []


def test_the_quick_start_writes_through_no_link_in_its_folder(tmp_path, capsys):
    (tmp_path / "victim").mkdir()
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "sit").symlink_to(tmp_path / "victim")
    assert main(["quickstart", "--out", str(tmp_path / "q"), "--steps", "2"]) == 2
    assert "is a link" in capsys.readouterr().err
    assert list((tmp_path / "victim").iterdir()) == []


@pytest.mark.parametrize("place", ["references", "unfinished"])
def test_an_evaluation_works_through_no_link_in_its_folder(tmp_path, capsys, place):
    from thalweg.config import to_toml

    (tmp_path / "victim").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / place).symlink_to(tmp_path / "victim")
    (tmp_path / "moment.toml").write_text(to_toml(PROTOCOL))
    command = ["evaluate", str(run_folder(tmp_path / "run")), "--protocol", str(tmp_path / "moment.toml")]
    assert main([*command, "--work", str(tmp_path / "work")]) == 2
    assert "is a link" in capsys.readouterr().err
    assert list((tmp_path / "victim").iterdir()) == []


def test_a_folder_in_place_of_a_lock_is_one_sentence(tmp_path, capsys):
    (tmp_path / "out" / ".lock").mkdir(parents=True)
    command = ["ablate", str(recipe(tmp_path, steps=2)), "--axis", AXIS, "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert ".lock is no regular file; remove it" in capsys.readouterr().err


def test_half_a_secret_is_not_shown(tmp_path, monkeypatch, capsys):
    register_secrets({"token": SECRET})
    path = str(recipe(tmp_path))
    data = 'data={type="images",size=8,channels=1,source={type="idx",url="%s"}}'
    assert main(["config", "show", path, f"name=https://ada:{SECRET}@{'host' * 20}"]) == 2
    assert main(["train", path, data % f"s3+{SECRET}://x", "--run-dir", str(tmp_path / "run")]) == 2
    monkeypatch.setenv("THALWEG_STORAGE_PROTOCOLS", f"https://a:{SECRET}@h")
    assert main(["train", path, data % "http://127.0.0.1:9/x", "--run-dir", str(tmp_path / "run")]) == 2
    monkeypatch.setenv("THALWEG_STORAGE_PROTOCOLS", "")
    monkeypatch.setenv("THALWEG_STORAGE_OPTIONS", json.dumps({f"ftp://ada:{SECRET}@host": {}}))
    assert main(["train", path, data % "http://127.0.0.1:9/x", "--run-dir", str(tmp_path / "run")]) == 2
    said = "".join(capsys.readouterr())
    assert SECRET[:12].lower() not in said.lower()
