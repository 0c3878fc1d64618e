"""Recipes that state what differs from another: ``base = "other.toml"``."""

import json
import shutil
import tomllib

import pytest

import thalweg
from thalweg.cli.main import main
from thalweg.config import FaultyConfigError, dump, load_config
from thalweg.errors import ConfigError
from thalweg.generation.models import data_of
from thalweg.storage import Location

WHOLE = """
name = "whole"
branches = 2
data = "digits"

[backbone]
type = "dit"
patch = 2
width = 16
depth = 4
heads = 2

[refiner]
type = "vera"
channels = [16]
residual = true

[plan]
time_sampler = { mean = 0.5 }

[objectives]
velocity = { beta = 0.4 }
second = { type = "acceleration", weight = 0.3 }

[training]
steps = 4
batch_size = 8
optimizer.lr = 5e-4
precision = "32-true"
compile = "off"
validate_every = 0
sample_every = 0

[sampling]
sampler = { type = "euler", steps = 3 }
guidance = { type = "cfg", scale = 1.8, interval = [0.0, 0.7] }
count = 4
batch_size = 4
"""


@pytest.fixture
def write(tmp_path):
    def written(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    written("whole.toml", WHOLE)
    return written


def changed(write, text):
    """A recipe on top of the whole one, and what stating all in one file by overrides gives."""
    return dump(load_config(write("changed.toml", f'base = "whole.toml"\nname = "whole"\n{text}')))


def overridden(write, *overrides):
    return dump(load_config(write("whole.toml", WHOLE), overrides))


def test_a_recipe_that_changes_nothing_is_its_base_by_another_name(write):
    config = load_config(write("mine.toml", 'base = "whole.toml"'))
    assert config.name == "mine", "or it would be trained in the folder of its base"
    assert dump(config) == {**overridden(write), "name": "mine"}


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("[training]\nsteps = 9\noptimizer.lr = 1e-3", ["training.steps=9", "training.optimizer.lr=1e-3"]),
        ("[refiner]\nresidual = false", ["refiner.residual=false"]),
        ('[refiner]\ntype = "vera"\nresidual = false', ["refiner.residual=false"]),
        ('refiner = "vera"', []),
        ("[plan.time_sampler]\nstd = 2.0", ["plan.time_sampler.std=2.0"]),
        ("[objectives.second]\nweight = 0.7", ["objectives.second.weight=0.7"]),
        ('[objectives]\nsecond = "none"', ["objectives.second=none"]),
        ('branches = 1\nrefiner = "none"', ["branches=1", "refiner=none"]),
        ("[sampling.guidance]\nscale = 3.0", ["sampling.guidance.scale=3.0"]),
        ('[sampling]\nguidance = ["cfg"]', ['sampling.guidance=["cfg"]']),
        ("[refiner]\nchannels = [8, 8]", ["refiner.channels=[8, 8]"]),
        ("branches = [1, 4]", ["branches=[1, 4]"]),
    ],
)
def test_tables_are_merged_and_everything_else_replaces(write, text, overrides):
    assert changed(write, text) == overridden(write, *overrides)


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ('[sampling.sampler]\ntype = "euler_maruyama"', 'sampling.sampler={type="euler_maruyama"}'),
        ('[sampling.sampler]\ntype = "heun"\nsteps = 5', 'sampling.sampler={type="heun", steps=5}'),
        ('[sampling]\nsampler = "heun"', 'sampling.sampler={type="heun"}'),
        # Which the base names by nothing, as it is the default there.
        ('[plan.time_sampler]\ntype = "uniform"', 'plan.time_sampler={type="uniform"}'),
        ('[training.optimizer]\ntype = "muon"', 'training.optimizer={type="muon"}'),
        ('[objectives.second]\ntype = "velocity"', 'objectives.second={type="velocity"}'),
    ],
)
def test_another_component_takes_the_place_of_the_whole_table(write, text, override):
    assert changed(write, text) == overridden(write, override)


def test_a_bare_name_in_the_base_is_the_component_that_is_changed(write):
    text = WHOLE.replace('[refiner]\ntype = "vera"\nchannels = [16]\nresidual = true', "")
    write("whole.toml", text.replace("branches = 2", 'branches = 2\nrefiner = "plain"'))
    mine = write("mine.toml", 'base = "whole.toml"\n[refiner]\ntype = "vera"\nresidual = true')
    assert type(load_config(mine).refiner).__name__ == "VeRAConfig"
    with pytest.raises(FaultyConfigError, match=r"mine\.toml: refiner\.residual: unknown key"):
        load_config(write("mine.toml", 'base = "whole.toml"\n[refiner]\nresidual = true'))


def test_what_the_base_takes_out_is_stated_anew(write):
    write("one.toml", 'base = "whole.toml"\nbranches = 1\nrefiner = "none"\nobjectives.second = "none"')
    two = 'base = "one.toml"\nbranches = 2\nrefiner = { type = "vera", channels = [4] }\nobjectives.second = '
    config = load_config(write("two.toml", two + '{ type = "acceleration" }'))
    assert (config.refiner.channels, config.refiner.residual) == ((4,), False)
    assert config.objectives["second"].weight != 0.3, "what was taken out is gone"


def test_a_base_of_one_guidance_in_a_list_is_changed_like_one(write):
    write("whole.toml", WHOLE.replace("guidance = {", "guidance = [{").replace("0.7] }", "0.7] }]"))
    config = load_config(write("mine.toml", 'base = "whole.toml"\n[sampling.guidance]\nscale = 3.0'))
    (guidance,) = config.sampling.guidance
    assert (guidance.scale, guidance.interval) == (3.0, (0.0, 0.7))


def test_a_chain_is_followed_and_each_base_is_found_beside_the_file_that_names_it(write, tmp_path):
    write("far/middle.toml", 'base = "../whole.toml"\nseed = 1\ntraining.steps = 5')
    last = write("near/last.toml", 'base = "../far/middle.toml"\nseed = 2')
    config = load_config(last, ["training.batch_size=2"])
    assert (config.name, config.seed) == ("last", 2)
    assert (config.training.steps, config.training.batch_size) == (5, 2)
    absolute = write("absolute.toml", f'base = "{tmp_path}/far/middle.toml"')
    assert load_config(absolute).seed == 1


def test_overrides_come_on_top(write):
    mine = write("mine.toml", 'base = "whole.toml"\nseed = 2')
    config = load_config(mine, ["seed=3", "refiner.channels=[2]", "sampling.sampler=heun"])
    assert (config.seed, config.refiner.channels, config.refiner.residual) == (3, (2,), True)
    assert type(config.sampling.sampler).__name__ == "HeunConfig"
    with pytest.raises(ConfigError, match=r"mine\.toml: base: a recipe's file states it"):
        load_config(mine, ["base=whole.toml"])


def test_bases_are_read_from_urls(write):
    for name, text in {
        "whole.toml": WHOLE,
        "sub/mine.toml": 'base = "../whole.toml"\nseed = 5',
        "sub/out.toml": 'base = "../../../whole.toml"\nseed = 6',
    }.items():
        Location(f"memory://bases/{name}").write(text.encode())
    assert load_config("memory://bases/sub/mine.toml").seed == 5
    assert load_config("memory://bases/sub/out.toml").seed == 6, "nothing lies above the root"
    there = load_config(write("here.toml", 'base = "memory://bases/sub/mine.toml"'))
    assert (there.name, there.seed) == ("here", 5)
    with pytest.raises(ConfigError, match=r"lost\.toml: base: .*memory://bases/no\.toml"):
        load_config(write("lost.toml", 'base = "memory://bases/no.toml"'))


def test_a_circle_is_refused_with_its_chain(write, tmp_path):
    for name, base in {"a": "b", "b": "c", "c": "b", "self": "self"}.items():
        write(f"{name}.toml", f'base = "{base}.toml"')
    a, b, c = (tmp_path / f"{name}.toml" for name in "abc")
    with pytest.raises(ConfigError) as caught:
        load_config(a)
    assert f"circle, {a} -> {b} -> {c} -> {b};" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="circle"):
        load_config(tmp_path / "self.toml")
    for number in range(30):
        write(f"{number}.toml", f'base = "{number + 1}.toml"')
    with pytest.raises(ConfigError, match="more than 16 files"):
        load_config(tmp_path / "0.toml")


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ('"wohle.toml"', r"wohle\.toml does not exist, did you mean '.*whole\.toml'"),
        ('"broken.toml"', r"broken\.toml is no valid TOML: .*line 2"),
        ('""', "cannot be read"),
        ("3", "expected a path or URL, got 3"),
        ('["whole.toml"]', "expected a path or URL, got a list"),
        ('"note:/whole.toml"', "does not exist"),
    ],
)
def test_a_base_that_cannot_be_read_is_named_with_the_recipe(write, base, said):
    write("broken.toml", "a = 1\nb = \nc = 2")
    with pytest.raises(ConfigError, match=r"mine\.toml: base: .*" + said) as caught:
        load_config(write("mine.toml", f"base = {base}"))
    assert "\n" not in str(caught.value)


def test_a_fault_is_named_by_the_file_that_states_it(write, tmp_path):
    write("whole.toml", WHOLE.replace("heads = 2", 'heads = 2\nwidht = 3\n[loggers]\ncsv = "cvs"'))
    mine = write("mine.toml", 'base = "whole.toml"\n[training]\nstpes = 1\n[backbone]\ndepth = "4"')
    with pytest.raises(FaultyConfigError) as caught:
        load_config(mine, ["seed=-1", "sampling.count=0"])
    base, known = f"(in {tmp_path / 'whole.toml'})", "csv, tensorboard, wandb"
    head, *lines = str(caught.value).splitlines()
    assert head == f"{mine} has 6 faults:"
    assert {line.strip() for line in lines} == {
        "seed: must be at least 0, got -1",
        "training.stpes: unknown key, did you mean 'steps'?",
        f"backbone.widht: unknown key, did you mean 'width'? {base}",
        "backbone.depth: expected an integer, got '4'",
        f"loggers.csv.type: unknown logger 'cvs', did you mean 'csv'? (known: {known}) {base}",
        "sampling.count: must be at least 1, got 0",
    }


def test_every_command_takes_it_and_a_run_stands_alone(write, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = str(write("mine.toml", 'base = "whole.toml"\nseed = 4'))
    assert main(["config", "validate", mine]) == 0
    assert capsys.readouterr().out == f"{mine} is valid\n"
    assert main(["config", "show", mine]) == 0
    printed = capsys.readouterr().out
    assert "base" not in tomllib.loads(printed)
    assert dump(load_config(write("shown.toml", printed))) == dump(load_config(mine))
    assert main(["summary", mine, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "mine"
    train = ["train", mine, "--quiet", "--device", "cpu"]
    assert main(train) == 0
    shutil.move("whole.toml", "gone.toml")
    config = load_config("runs/mine/config.toml")
    assert (config.name, config.seed, config.refiner.channels) == ("mine", 4, (16,))
    capsys.readouterr()
    assert main(["sample", "runs/mine", "drawn.npz", "count=2"]) == 0
    assert main(train) == 2
    assert "whole.toml does not exist" in capsys.readouterr().err


def test_a_run_is_a_base(write, tmp_path):
    config = load_config(write("mine.toml", 'base = "whole.toml"\nseed = 4'))
    thalweg.Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()
    again = load_config(write("again.toml", 'base = "run/config.toml"\ntraining.steps = 8'))
    assert (again.name, again.seed, again.training.steps) == ("again", 4, 8)


def test_projects_are_based_on_nothing(tmp_path):
    assert main(["init", str(tmp_path / "project")]) == 0
    assert "base" not in tomllib.loads((tmp_path / "project/recipe.toml").read_text())


def test_an_evaluation_and_an_ablation_take_it(write, tmp_path, capsys):
    mine = write("mine.toml", 'base = "whole.toml"\ndata = { type = "digits", validation = 0.2 }')
    assert data_of(mine) == {"type": "digits", "validation": 0.2}
    assert data_of(write("other.toml", 'base = "mine.toml"')) == {"type": "digits", "validation": 0.2}
    write("none.toml", "seed = 1")
    with pytest.raises(ConfigError, match=r"orphan\.toml states no data set"):
        data_of(write("orphan.toml", 'base = "none.toml"'))
    ablate = ["ablate", str(mine), "--axis", "refiner=plain,vera", "--out", str(tmp_path / "out")]
    assert main([*ablate, "--dry-run"]) == 0
    assert "refiner=vera" in capsys.readouterr().out
    write("whole.toml", WHOLE.replace("heads = 2", "heads = 2\nwidht = 3"))
    assert main([*ablate, "--dry-run"]) == 2
    assert f"(in {tmp_path / 'whole.toml'})" in capsys.readouterr().err
