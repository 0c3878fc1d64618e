"""Networks are drawn from as their runs say, unless told otherwise, and where that is from is said."""

import json
import shutil

import pytest
import torch

import thalweg
import thalweg_eval
from evaluated import run_folder
from thalweg.cli.main import main
from thalweg.config import FaultyConfigError, read_recorded
from thalweg.generation.settings import sample_settings
from thalweg.inherited import Inherited
from thalweg.saved_network import save
from thalweg.storage import Location
from thalweg.training.trainer import Trainer
from thalweg_eval.evaluation.compare import compare
from thalweg_eval.evaluation.protocol import read_protocol
from tiny_runs import tiny

CFG = {"type": "cfg", "scale": 1.8, "interval": [0.0, 0.7]}
SAMPLING = {"sampler": {"type": "heun", "steps": 3}, "guidance": CFG, "count": 7, "batch_size": 5, "seed": 11}
OURS = {key: SAMPLING[key] for key in ("sampler", "guidance", "seed", "count")}
BY_DEFAULT = {"type": "euler_maruyama", "steps": 250, "last": 0.04}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run", sampling=SAMPLING)


def drawn(model, out, capsys, *words, code=0):
    """What ``thalweg sample --json`` says on stdout, and on stderr."""
    assert main(["sample", str(model), str(out), *words, "--json", "--precision", "32-true"]) == code
    said = capsys.readouterr()
    return json.loads(said.out) if code == 0 else None, said.err


def taken(told):
    return {key: told["sampling"][key] for key in OURS}


def test_samples_are_drawn_as_the_run_says(run, tmp_path, capsys):
    told, said = drawn(run, tmp_path / "out", capsys)
    assert taken(told) == OURS
    assert set(told["origins"].values()) == {"run"}
    assert "with sampler heun steps=3 (of the run), guidance cfg scale=1.8" in said
    assert "count 7 (of the run)" in said
    note = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert note["sampling"]["guidance"] == CFG


def test_what_is_stated_goes_before_and_leaves_the_rest(run, tmp_path, capsys):
    told, _ = drawn(run, tmp_path / "a", capsys, "sampler.steps=2", "seed=1", "guidance=none", "count=3")
    assert taken(told) == {
        "sampler": {"type": "heun", "steps": 2}, "guidance": "none", "seed": 1, "count": 3
    }  # fmt: skip
    assert told["origins"] == {
        "sampler": "run with changes", "guidance": "stated", "seed": "stated", "count": "stated",
        "batch_size": "run",
    }  # fmt: skip
    told, _ = drawn(run, tmp_path / "b", capsys, "sampler=heun", "guidance.scale=2.0")
    assert told["sampling"]["sampler"] == SAMPLING["sampler"]
    assert told["sampling"]["guidance"] == {**CFG, "scale": 2.0}
    told, _ = drawn(run, tmp_path / "c", capsys, "sampler=euler", "sampler.steps=4")
    assert told["sampling"]["sampler"] == {"type": "euler", "steps": 4}
    assert told["origins"]["sampler"] == "stated"


def test_a_component_that_is_stated_as_a_table_is_meant_as_a_whole(run, tmp_path, capsys):
    told, _ = drawn(run, tmp_path / "out", capsys, 'guidance={type="cfg", scale=3.0}')
    assert told["sampling"]["guidance"]["interval"] != CFG["interval"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    config = tiny(top={"sampling": SAMPLING})
    Trainer(config, folder, accelerator="cpu", quiet=True).train()
    return folder


@pytest.mark.parametrize("below", ["", "model", "checkpoints/step-00000004"])
def test_every_network_of_a_run_is_drawn_from_as_the_run_says(trained, below, tmp_path, capsys):
    told, _ = drawn(trained / below, tmp_path / "out", capsys, "count=2")
    assert taken(told) == {**OURS, "count": 2}
    assert told["origins"]["sampler"] == "run"


def test_a_network_away_from_its_run_has_its_settings_with_it(trained, tmp_path, capsys):
    shutil.copytree(trained / "model", tmp_path / "elsewhere" / "best")
    told, said = drawn(tmp_path / "elsewhere" / "best", tmp_path / "out", capsys, "count=2")
    assert taken(told) == {**OURS, "count": 2}
    assert told["origins"] == {**dict.fromkeys(OURS, "network"), "batch_size": "network", "count": "stated"}
    assert "sampler heun steps=3 (of the saved network)" in said


@pytest.mark.parametrize("below", ["", "/model"])
def test_a_run_behind_a_url_says_it_too(trained, below, tmp_path, capsys):
    there = Location("memory://own-sampling/run")
    for path in trained.rglob("*"):
        if path.is_file() and "checkpoints" not in path.parts:
            (there / path.relative_to(trained).as_posix()).write(path.read_bytes())
    told, _ = drawn(f"{there}{below}", tmp_path / "out", capsys, "count=2")
    there.remove()
    assert taken(told) == {**OURS, "count": 2}


def network_alone(folder, **more):
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "depth": 1, "heads": 2, "patch": 2},
        facts=thalweg.Facts(shape=(1, 4, 4), classes=3),
    )
    save(folder, network, **more)
    return folder


def test_a_network_of_which_nothing_is_known_has_the_defaults_and_says_so(tmp_path, capsys):
    told, said = drawn(network_alone(tmp_path / "sit"), tmp_path / "out", capsys, "count=2")
    assert told["sampling"]["sampler"] == BY_DEFAULT
    assert told["origins"] == {**dict.fromkeys([*OURS, "batch_size"], "default"), "count": "stated"}
    assert "sampler euler_maruyama steps=250 last=0.04 (the default), guidance none (the default)" in said


@pytest.mark.parametrize("words", ["junk", ["a"], 3])
def test_settings_of_a_network_that_are_none_are_no_settings(tmp_path, capsys, words):
    told, _ = drawn(network_alone(tmp_path / "sit", sampling=words), tmp_path / "out", capsys, "count=2")
    assert told["sampling"]["sampler"] == BY_DEFAULT


def strange(folder):
    """A run that was sampled by a plugin which is not here."""
    network_alone(folder / "model")
    data = read_recorded(run_folder(folder.with_name("other"), sampling=SAMPLING) / "config.toml")
    from thalweg.config import recorded_text

    data["sampling"] = {"sampler": {"type": "leapfrog", "order": 4}, "guidance": {"type": "whisper"}}
    (folder / "config.toml").write_text(recorded_text(data))
    return folder


def test_a_runs_own_sampler_that_is_not_installed_is_named_with_its_cure(tmp_path, capsys):
    run = strange(tmp_path / "run")
    _, said = drawn(run, tmp_path / "out", capsys, code=2)
    assert "unknown sampler 'leapfrog'" in said
    assert "it is of the run: install the plugin that it needs, or state another sampler" in said
    assert "or state another guidance" in said
    assert not (tmp_path / "out").exists()
    told, _ = drawn(
        run, tmp_path / "out", capsys, "sampler=euler", "sampler.steps=2", "guidance=none", "count=2"
    )
    assert told["sampling"]["sampler"] == {"type": "euler", "steps": 2}


def evaluated(subject, tmp_path, **options):
    settings = ("features.small_classifier.extractor.steps=2", *options.pop("settings", ()))
    metrics = None if "protocol" in options else ["frechet_distance"]
    return thalweg_eval.evaluate(
        subject, reference=options.pop("reference", subject), metrics=metrics or (),
        extractor="small_classifier" if metrics else None, settings=settings,
        work=tmp_path / "work", **options,
    )  # fmt: skip


def test_an_evaluation_without_a_protocol_takes_the_runs_settings_and_its_passport_says_so(run, tmp_path):
    said = []
    passport = evaluated(run, tmp_path, settings=("count=12",), say=said.append)
    conditions = passport.conditions["sampling"]
    assert {key: conditions[key] for key in ("sampler", "guidance", "seed")} == {
        key: SAMPLING[key] for key in ("sampler", "guidance", "seed")
    }
    assert passport.conditions["count"] == 12  # a grid's count is none of a set to be evaluated
    assert passport.protocol["sampling"] == dict.fromkeys(("sampler", "guidance", "seed"), "run")
    assert "with sampler heun steps=3 (of the run), guidance cfg" in said[0]


PROTOCOL = """
version = 1
count = 12
[sampling]
{stated}
[reference]
set = "train"
[features.small_classifier]
extractor = {{ type = "small_classifier", steps = 2 }}
[features.small_classifier.metrics]
frechet_distance = {{}}
"""


def test_a_protocol_goes_before_the_run_and_leaves_open_what_it_does_not_state(run, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(PROTOCOL.format(stated='sampler = "heun"\nseed = 5'))
    passport = thalweg_eval.evaluate(
        run, protocol=mine, settings=["sampling.guidance.scale=2.5"], work=tmp_path / "w"
    )
    conditions = passport.conditions["sampling"]
    # Named by the protocol, it is the protocol's: with the defaults of its type, never with a run's options.
    assert conditions["sampler"] == {"type": "heun", "steps": 50}
    assert conditions["seed"] == 5
    assert conditions["guidance"] == {**CFG, "scale": 2.5}
    assert passport.protocol["sampling"] == {
        "sampler": "protocol", "guidance": "run with changes", "seed": "protocol"
    }  # fmt: skip


def test_two_runs_under_a_protocol_that_states_all_stay_comparable(run, tmp_path):
    other = run_folder(tmp_path / "other", sampling={"sampler": {"type": "euler", "steps": 2}})
    fast = (
        "sampling.sampler=euler",
        "sampling.sampler.steps=2",
        "features.small_classifier.extractor.steps=2",
    )
    passports = [
        thalweg_eval.evaluate(one, protocol="quick", settings=(*fast, "count=12"), work=tmp_path / "work")
        for one in (run, other)
    ]
    assert compare(passports).differing == {}
    assert {one.conditions["sampling"]["guidance"] for one in passports} == {"none"}
    free = [evaluated(one, tmp_path, reference=other, settings=("count=12",)) for one in (run, other)]
    assert "sampling.sampler.type" in compare(free).differing


def test_what_is_stated_in_full_asks_nothing_of_the_run():
    def never():
        raise AssertionError("the run was asked")

    assert read_protocol("quick", [], None, never).origins == dict.fromkeys(
        ("sampler", "guidance", "seed"), "protocol"
    )
    full = {"sampler": "euler", "guidance": "none", "seed": 0, "count": 3, "batch_size": 2}
    assert sample_settings(full, [], never).config.count == 3


def test_as_many_samples_as_prompts_and_not_as_many_as_in_a_grid():
    found = sample_settings({"prompts": ["a", "b"]}, [], lambda: Inherited(SAMPLING))
    assert (found.config.count, found.origins["count"]) == (2, "prompts")
    assert (
        sample_settings({"prompts": ["a", "b"]}, ["count=5"], lambda: Inherited(SAMPLING)).config.count == 5
    )


def test_all_faults_are_named_at_once_and_before_the_network_is_looked_for(tmp_path, capsys):
    _, said = drawn(tmp_path / "gone", tmp_path / "out", capsys, "cuont=3", "labels=odd", code=2)
    assert "did you mean 'count'" in said
    assert "labels" in said
    with pytest.raises(FaultyConfigError, match="wiggle"):
        sample_settings({}, ["sampler.wiggle=3"], lambda: Inherited(SAMPLING))


@pytest.mark.parametrize("below", ["", "model", "checkpoints/step-00000004"])
def test_a_network_that_is_loaded_draws_as_its_run_does(trained, below):
    network = thalweg.load(trained / below)
    drawing = {"labels": [3, 7], "indices": [0, 1], "precision": "32-true"}
    ours = thalweg.sample(network, **drawing)
    stated = {key: SAMPLING[key] for key in ("sampler", "guidance", "seed")}
    assert torch.equal(ours.x, thalweg.sample(network, **drawing, **stated).x)
    other = thalweg.sample(network, **drawing, guidance="none", seed=1)
    assert torch.equal(
        other.x, thalweg.sample(network, **drawing, **{**stated, "guidance": "none", "seed": 1}).x
    )
    assert other.nfe < ours.nfe


def test_a_network_that_is_composed_has_no_settings_of_its_own(tmp_path):
    network = thalweg.load(network_alone(tmp_path / "sit"))
    assert network.sampling == {}
    drawn = thalweg.sample(network, labels=[1], indices=[0])
    assert drawn.nfe == BY_DEFAULT["steps"]


def test_a_damaged_configuration_costs_the_settings_and_not_the_network(run, tmp_path, caplog):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/config.toml").write_text("junk")
    assert thalweg.load(tmp_path / "run").sampling == {}
    assert "how its run samples is not known" in caplog.text
