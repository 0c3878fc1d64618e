"""Runs, networks and numbers of a part that one file brings: what is recorded, and what is said of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import thalweg.plugins
from image_makers import image_folder
from plugin_makers import GATE, plugins_of_one_test
from thalweg.cli.main import main
from thalweg.config import read_recorded, to_toml
from thalweg.plugins import process
from thalweg.plugins.loading import read_file
from tiny_ablations import PROTOCOL
from tiny_runs import TINY, TRAINING, lines, tensor_files

SAMPLER = '''

@thalweg.register("sampler", "stay")
@attrs.frozen
class StayConfig:
    """Goes nowhere."""

    def build(self, facts):
        return lambda field, x_1, increments=None, interpolant=None: x_1
'''
CPU = ["--device", "cpu", "--quiet"]


@pytest.fixture(autouse=True)
def own_registry():
    with plugins_of_one_test():
        yield


def another_process():
    """What is loaded is forgotten, as by another process that begins."""
    process._Process.known.clear()


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "code" / "mine.py"
    path.parent.mkdir()
    path.write_text(GATE + SAMPLER)
    return path


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "gated.toml"
    run = {**TINY, "refiner": {"type": "gate", "start": 0.5}, "objectives": {"velocity": {}}}
    path.write_text(to_toml({**run, "training": {**TRAINING, "steps": 4, "validate_every": 0}}))
    return path


def train(mine, recipe, run, *more):
    another_process()
    files = [] if mine is None else ["-p", str(mine)]
    return main([*files, "train", str(recipe), *more, "--run-dir", str(run), *CPU])


def test_run_network_and_checkpoint_record_name_and_hash_and_no_path(mine, recipe, tmp_path):
    run = tmp_path / "run"
    assert train(mine, recipe, run) == 0
    digest = read_file(mine)[0].sha256
    wanted = {"mine.py": {"sha256": digest, "components": ["refiner gate"]}}
    assert read_recorded(run / "config.toml")["plugin_files"] == wanted
    assert json.loads((run / "model" / "model.json").read_text())["plugin_files"] == wanted
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    assert json.loads((newest / "model.json").read_text())["plugin_files"] == wanted
    for file in run.rglob("*"):
        if file.suffix in (".json", ".toml", ".jsonl"):
            assert str(mine.parent) not in file.read_text(), file


def test_what_is_not_used_is_not_recorded(mine, recipe, tmp_path):
    assert train(mine, recipe, tmp_path / "run", "refiner=plain") == 0
    assert "plugin_files" not in read_recorded(tmp_path / "run" / "config.toml")
    assert main(["sample", str(tmp_path / "run"), str(tmp_path / "out"), "--device", "cpu"]) == 0


def test_without_the_file_everything_says_which_one_it_is(mine, recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(mine, recipe, run) == 0
    wanted = (
        f"mine.py (SHA-256 {read_file(mine)[0].sha256}), which is not loaded; give it by 'thalweg -p mine.py"
    )
    capsys.readouterr()
    assert main(["sample", str(run), str(tmp_path / "out"), "--device", "cpu"]) == 3
    assert wanted in capsys.readouterr().err
    assert main(["evaluate", str(run), "--metrics", "pixel_fid", "count=4", "--device", "cpu"]) != 0
    assert train(None, recipe, run, "training.steps=6") == 2
    assert wanted in capsys.readouterr().err
    with pytest.raises(thalweg.PluginError, match="was made with the plugin file mine"):
        thalweg.load(run)
    # With it, all of them work.
    another_process()
    assert main(["-p", str(mine), "sample", str(run), str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert train(mine, recipe, run, "training.steps=6") == 0


def test_a_sampler_of_the_file_is_asked_for_by_whoever_draws(mine, recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(mine, recipe, run, "refiner=plain", "sampling.sampler=stay") == 0
    record = read_recorded(run / "config.toml")["plugin_files"]
    assert record["mine.py"]["components"] == ["sampler stay"]
    assert "plugin_files" not in json.loads((run / "model" / "model.json").read_text())
    capsys.readouterr()
    assert main(["sample", str(run), str(tmp_path / "out"), "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "unknown sampler 'stay'" in said
    assert "it came from the plugin file mine.py (SHA-256 " in said
    assert main(["sample", str(run), str(tmp_path / "out"), "sampler=euler", "--device", "cpu"]) == 0


def test_a_file_that_changed_stops_a_resumed_run_until_it_is_accepted(mine, recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(mine, recipe, run) == 0
    before = read_file(mine)[0].sha256
    mine.write_text(mine.read_text() + "\n# another line\n")
    after = read_file(mine)[0].sha256
    capsys.readouterr()
    assert train(mine, recipe, run, "training.steps=6") == 3
    said = capsys.readouterr().err
    assert f"the plugin file mine.py had SHA-256 {before} and has SHA-256 {after} now" in said
    assert "--accept-changed-files" in said
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4]
    assert train(mine, recipe, run, "training.steps=6", "--dry-run") == 3
    assert train(mine, recipe, run, "training.steps=6", "--accept-changed-files") == 0
    assert "warning: the run resumes with other code" in capsys.readouterr().err
    record = read_recorded(run / "config.toml")["plugin_files"]["mine.py"]
    assert (record["sha256"], record["former"]) == (after, [before])
    # From now on it is this one, and what was before is not forgotten.
    assert train(mine, recipe, run, "training.steps=8") == 0
    assert read_recorded(run / "config.toml")["plugin_files"]["mine.py"]["former"] == [before]


def test_a_network_that_is_drawn_from_with_another_file_is_warned_of(mine, recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(mine, recipe, run) == 0
    mine.write_text(mine.read_text() + "\n# another line\n")
    another_process()
    capsys.readouterr()
    assert main(["-p", str(mine), "sample", str(run), str(tmp_path / "out"), "--device", "cpu"]) == 0
    said = capsys.readouterr().err
    assert "was made with the plugin file mine.py of SHA-256" in said
    assert "and the one that is loaded has" in said


def test_a_recorded_configuration_is_a_recipe_that_knows_its_file(mine, recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(mine, recipe, run) == 0
    capsys.readouterr()
    assert train(None, run / "config.toml", tmp_path / "again") == 2
    assert "it came from the plugin file mine.py (SHA-256 " in capsys.readouterr().err
    assert train(mine, run / "config.toml", tmp_path / "again", "name=again") == 0
    assert tensor_files(tmp_path / "again") == tensor_files(run)


def test_nothing_that_a_run_names_is_loaded(mine, recipe, tmp_path, monkeypatch):
    """The folder that is run in has the file, and it stays unread."""
    run = tmp_path / "run"
    assert train(mine, recipe, run) == 0
    (tmp_path / "mine.py").write_text("raise SystemExit('loaded')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["sample", str(run), str(tmp_path / "out"), "--device", "cpu"]) == 3
    assert "mine" not in sys.modules


def command(*arguments, timeout=240, **environment):
    return subprocess.run(
        [sys.executable, "-m", "thalweg", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=timeout, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def relative(tmp_path, monkeypatch, mine):
    monkeypatch.chdir(tmp_path)
    return Path("code") / "mine.py"


def test_two_processes_train_with_the_file_and_agree_with_one(relative, recipe, tmp_path):
    both = command(
        *("-p", relative, "train", recipe, "--run-dir", tmp_path / "two", *CPU, "--devices", 2),
    )
    assert both.returncode == 0, both.stderr
    one = command(
        *("-p", relative, "train", recipe, "training.accumulate=2", "--run-dir", tmp_path / "one", *CPU)
    )
    assert one.returncode == 0, one.stderr
    losses = [[line["loss"] for line in lines(tmp_path / name)] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    record = [read_recorded(tmp_path / name / "config.toml")["plugin_files"] for name in ("one", "two")]
    assert record[0] == record[1]


def test_processes_that_draw_together_load_it_too(relative, recipe, tmp_path):
    assert command("-p", relative, "train", recipe, "--run-dir", "run", *CPU).returncode == 0
    drawn = [
        command("-p", relative, "sample", "run", f"{count}.npz", "sampler=stay", "--devices", count)
        for count in (1, 2)
    ]
    assert [one.returncode for one in drawn] == [0, 0], drawn[1].stderr
    assert Path("1.npz").read_bytes() == Path("2.npz").read_bytes()


def test_evaluation_records_the_file(relative, recipe, tmp_path):
    assert command("-p", relative, "train", recipe, "--run-dir", "run", *CPU).returncode == 0
    settings = ["count=32", "sampling.sampler=stay", "--metrics", "frechet_distance"]
    evaluate = ["--reference", "run", "--extractor", "small_classifier", "--device", "cpu", "--json"]
    done = command("-p", relative, "evaluate", "run", *settings, *evaluate)
    assert done.returncode == 0, done.stderr
    digest = read_file(tmp_path / relative)[0].sha256
    assert json.loads(done.stdout)["software"]["files"] == {"mine.py": digest}
    assert str(tmp_path / "code") not in done.stdout


def test_a_worker_that_finds_another_file_ends_the_run(relative, recipe, tmp_path):
    """The first process loads the file, and it changes before the second one does."""
    changing = tmp_path / "code" / "mine.py"
    text = changing.read_text()
    changing.write_text(
        text + "\nimport os, pathlib\nif 'LOCAL_RANK' not in os.environ:\n"
        f"    pathlib.Path({str(changing)!r}).write_text({text!r})\n"
    )
    done = command("-p", relative, "train", recipe, "--run-dir", "run", *CPU, "--devices", 2)
    assert done.returncode != 0
    assert "mine.py has changed since the command began; start it again" in done.stderr


def test_samples_of_edited_code_are_not_taken_for_those_that_are_asked_for(mine, recipe, tmp_path, capsys):
    """Neither a sampler's code nor the network's may change in between, and what was drawn stays."""
    run = tmp_path / "run"
    assert train(mine, recipe, run) == 0
    ways = {tmp_path / "sampler": ["sampler=stay"], tmp_path / "network": []}

    def drawn():
        another_process()
        return [
            main(["-p", str(mine), "sample", str(run), str(place), *way, "--device", "cpu"])
            for place, way in ways.items()
        ]

    before = {"mine.py": read_file(mine)[0].sha256}
    assert drawn() == drawn() == [0, 0]
    for place in ways:
        assert json.loads((place / "samples.json").read_text())["plugin_files"] == before
    mine.write_text(mine.read_text() + "\n# edited\n")
    capsys.readouterr()
    assert drawn() == [2, 2]
    assert "complete already" not in capsys.readouterr().err
    for place in ways:
        assert json.loads((place / "samples.json").read_text())["plugin_files"] == before


def test_numbers_of_edited_code_are_of_other_conditions(mine):
    """A sampler, an extractor or a metric of a file that was edited sees nothing that is kept as its own."""
    from thalweg.config import component
    from thalweg.facts import Facts
    from thalweg.generation.recording import recorded
    from thalweg.plugins import build_component
    from thalweg_eval.evaluation.features import FeatureMetrics

    files = {"plugin_files": {"mine.py": read_file(mine)[0].sha256}}
    thalweg.use_file(mine)
    config = component("sampler", "stay")
    sampler = build_component(config, Facts(shape=(2,)))
    assert recorded({"type": "stay"}, sampler, config) == {"type": "stay", **files}
    known = type("Known", (), {"identity": {"type": "known"}})()
    assert FeatureMetrics("it", known, {}, (config,)).identity == {"type": "known", **files}
    assert FeatureMetrics("it", known, {}).identity == {"type": "known"}


def test_an_ablation_resumes_with_the_files_that_it_began_with(mine, recipe, tmp_path, capsys):
    (tmp_path / "moment.toml").write_text(to_toml(PROTOCOL))
    options = ["--protocol", str(tmp_path / "moment.toml"), "--out", str(tmp_path / "out")]

    def ablate(seeds):
        another_process()
        grid = ["--axis", "refiner=plain,gate", "--seeds", str(seeds), "training.steps=2"]
        return main(["-p", str(mine), "ablate", str(recipe), *grid, *options])

    assert ablate(1) == 0
    mine.write_text(mine.read_text() + "\n# edited\n")
    capsys.readouterr()
    assert ablate(2) == 2
    assert "it differs in the plugin file mine.py, whose SHA-256 was" in capsys.readouterr().err


PIXELS = '''
import attrs, thalweg
from thalweg_backbones.autoencoder.identity import IdentityConfig


@thalweg.register("autoencoder", "pixels")
@attrs.frozen
class PixelsConfig(IdentityConfig):
    """Pixels as they are."""
'''


def test_shards_of_edited_code_are_not_gone_on_with(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image_folder(tmp_path / "images", each=4, edge=8)
    code = tmp_path / "pixels.py"

    def encode(text):
        another_process()
        code.write_text(text)
        made = ["--size", "8", "--autoencoder", "pixels", "--device", "cpu"]
        return main(["-p", str(code), "encode", "images", "out", *made])

    assert encode(PIXELS) == encode(PIXELS) == 0
    capsys.readouterr()
    assert encode(PIXELS + "# edited") == 2
    assert "header.autoencoder.plugin_files.pixels.py is" in capsys.readouterr().err
