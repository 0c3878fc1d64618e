import json
import tomllib
from typing import Any

import attrs
import pytest

import thalweg
from thalweg.config import (
    FaultyConfigError,
    RunConfig,
    TrainingConfig,
    apply_override,
    dump,
    load_config,
    structure,
    to_toml,
)
from thalweg.errors import ConfigError
from tiny_runs import TINY, TRAINING

RECIPE = """
branches = 2
data = "digits"
refiner = "vera"

[backbone]
type = "dit"
patch = 2

[objectives.velocity]

[training]
steps = 100
batch_size = 32
"""


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "first.toml"
    file.write_text(RECIPE)
    return file


def faults(path, *overrides):
    with pytest.raises(FaultyConfigError) as caught:
        load_config(path, overrides)
    return [str(problem) for problem in caught.value.problems]


def test_defaults_are_the_protocol(recipe):
    config = load_config(recipe)
    assert config.name == "first"
    assert type(config.plan.time_sampler).__name__ == "LogitNormalConfig"
    assert type(config.sampling.sampler).__name__ == "EulerMaruyamaConfig"
    assert config.sampling.guidance == ()
    assert type(config.interpolant).__name__ == "LinearConfig"
    assert type(config.plan).__name__ == "BranchTimesConfig"
    assert (config.plan.max_time_gap, config.training.condition_dropout) == (0.01, 0.1)
    assert config.training == TrainingConfig(steps=100, batch_size=32)
    assert (config.training.optimizer.lr, config.training.optimizer.betas, config.training.average.decay) == (
        1e-4,
        (0.9, 0.999),
        0.9999,
    )
    assert (config.training.optimizer.weight_decay, config.training.max_grad_norm) == (0.0, 1.0)


def test_dump_is_complete_and_comes_back(recipe):
    config = load_config(
        recipe, ["sampling.guidance=cfg", "training.max_grad_norm=none", "loggers.tensorboard={}"]
    )
    dumped = dump(config)
    assert structure(RunConfig, dumped) == config
    assert structure(RunConfig, tomllib.loads(to_toml(dumped))) == config
    assert structure(RunConfig, json.loads(json.dumps(dumped))) == config
    assert set(dumped) == {field.name for field in attrs.fields(RunConfig)}
    assert dumped["training"]["max_grad_norm"] == "none"
    assert dumped["backbone"]["type"] == "dit"


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("refiner=plain", lambda c: type(c.refiner).__name__ == "PlainConfig"),
        ('refiner="plain"', lambda c: type(c.refiner).__name__ == "PlainConfig"),
        ("refiner.residual=true", lambda c: c.refiner.residual is True),
        ("backbone.patch=4", lambda c: c.backbone.patch == 4),
        ("sampling.sampler.steps=9", lambda c: c.sampling.sampler.steps == 9),
        ("training.precision=bf16-mixed", lambda c: c.training.precision == "bf16-mixed"),
        ("training.compile=off", lambda c: c.training.compile == "off"),
        ("training.optimizer.lr=3e-4", lambda c: c.training.optimizer.lr == 3e-4),
        ("training.optimizer.betas=[0.8, 0.9]", lambda c: c.training.optimizer.betas == (0.8, 0.9)),
        ("training.max_grad_norm=none", lambda c: c.training.max_grad_norm is None),
        ("training.max_grad_norm = 2", lambda c: c.training.max_grad_norm == 2.0),
        ("name=a = b", lambda c: c.name == "a = b"),
        ("objectives.acceleration.weight=0.5", lambda c: c.objectives["acceleration"].weight == 0.5),
    ],
)
def test_override(recipe, override, read):
    assert read(load_config(recipe, [override]))


def test_later_overrides_win_and_none_takes_out(recipe):
    config = load_config(recipe, ["seed=1", "seed=2", "refiner=none", "branches=1"])
    assert (config.seed, config.refiner, config.branches) == (2, None, 1)
    config = load_config(recipe, ["objectives.acceleration={}", "objectives.velocity=none"])
    assert list(config.objectives) == ["acceleration"]


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["backbone.widht=3"], "backbone.widht: unknown key, did you mean 'width'?"),
        (['training.steps="12"'], "training.steps: expected an integer, got '12'"),
        (["training.steps=1.5"], "training.steps: expected an integer, got 1.5"),
        (["training.steps=0"], "training.steps: must be at least 1, got 0"),
        (["training.optimizer.lr=0"], "training.optimizer.lr: must be above 0, got 0.0"),
        (["training.optimizer.lr=nan"], "training.optimizer.lr: expected a finite number, got nan"),
        (["training.max_grad_norm=-1"], "training.max_grad_norm: must be above 0, got -1.0"),
        (["training.average.decay=1"], "training.average.decay: must be below 1, got 1.0"),
        (["training.average.decay=-0.5"], "training.average.decay: must be at least 0, got -0.5"),
        (["training.optimizer.betas=[0.9, 1.0]"], "training.optimizer.betas: must be below 1, got 1.0"),
        (["training.accumulate=5"], "training.accumulate: must divide the batch size 32, got 5"),
        (["training.keep=0"], "training.keep: must be at least 1, got 0"),
        (["training.sample_every=-1"], "training.sample_every: must be at least 0, got -1"),
        (
            ["training.precision=bf16"],
            "training.precision: must be one of 'auto', '32-true', 'bf16-mixed', '16-mixed', got 'bf16',"
            " did you mean 'bf16-mixed'?",
        ),
        (["training.compile=true"], "training.compile: must be one of 'auto', 'on', 'off', got true"),
        (
            ["interpolant=cosin"],
            "interpolant.type: unknown interpolant 'cosin', did you mean 'cosine'? (known: cosine, linear)",
        ),
        (["training.condition_dropout=1.1"], "training.condition_dropout: must be at most 1, got 1.1"),
        (["plan.max_time_gap=-0.1"], "plan.max_time_gap: must be at least 0, got -0.1"),
        (["sampling.count=0"], "sampling.count: must be at least 1, got 0"),
        (["seed=-1"], "seed: must be at least 0, got -1"),
        (['name=""'], "name: must be a name that a folder can have; '' is empty"),
        (["branches=0"], "branches: must be at least 1, got 0"),
        (["refiner=none"], "branches: 2 branches need a refiner between them, such as refiner=plain"),
        (
            ["branches=1"],
            "branches: one branch leaves the refiner nothing to do: set branches=2 or refiner=none",
        ),
        (
            ["refiner=verra"],
            "refiner.type: unknown refiner 'verra', did you mean 'vera'? (known: film, gated, plain, vera)",
        ),
        (["objectives.velocity=none"], "objectives: its length must be at least 1, got 0"),
        (["training"], "override 'training' is not of the form key.path=value"),
        (["=3"], "override '=3' is not of the form key.path=value"),
        (["a..b=3"], "override 'a..b=3' is not of the form key.path=value"),
        (["training.optimizer.betas=[0.9"], "training.optimizer.betas: the override [0.9 is no TOML value"),
        (["training.steps="], "training.steps: the override without a value is no TOML value"),
        (["name='a"], "name: the override 'a is no TOML value"),
    ],
)
def test_bad_override_is_one_clear_fault(recipe, overrides, fault):
    assert faults(recipe, *overrides) == [fault]


def test_override_cannot_smuggle_in_another_key(recipe):
    assert faults(recipe, "seed=1\nbranches=7")[0].startswith("seed: the override")


def test_all_faults_at_once_name_the_file(recipe):
    with pytest.raises(ConfigError) as caught:
        load_config(recipe, ["backbone.widht=3", "training.steps=0", "x"])
    assert str(caught.value).splitlines() == [
        f"{recipe} has 3 faults:",
        "  override 'x' is not of the form key.path=value",
        "  backbone.widht: unknown key, did you mean 'width'?",
        "  training.steps: must be at least 1, got 0",
    ]
    with pytest.raises(ConfigError) as caught:
        load_config(recipe, ["training.steps=0"])
    assert str(caught.value) == f"{recipe}: training.steps: must be at least 1, got 0"


def test_what_is_required(tmp_path):
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    missing = [fault.partition(":")[0] for fault in faults(empty)]
    assert missing == ["data", "backbone", "objectives", "training"]


def test_override_turns_a_bare_name_into_its_table():
    data = {"backbone": "dit", "refiner": "none"}
    apply_override(data, "backbone.depth=4")
    apply_override(data, "refiner.residual=true")
    assert data == {"backbone": {"type": "dit", "depth": 4}, "refiner": {"residual": True}}


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_recipe_that_cannot_be_read(tmp_path, make):
    file = tmp_path / "recipe.toml"
    make(file)
    with pytest.raises(ConfigError, match=r"recipe\.toml (does not exist|cannot be read)"):
        load_config(file)


def test_missing_recipe_suggests_its_neighbour(recipe):
    with pytest.raises(ConfigError, match=r"does not exist, did you mean '.*first\.toml'"):
        load_config(recipe.with_name("frist.toml"))


@pytest.mark.parametrize("content", [b"a = \n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_recipe_that_is_no_toml(tmp_path, content):
    file = tmp_path / "recipe.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"recipe\.toml is no (valid TOML: |UTF-8 text)"):
        load_config(file)


def test_python_takes_names_and_tables():
    config = thalweg.RunConfig(
        data="digits",
        backbone={"type": "dit", "patch": 2},
        objectives={"velocity": {}},
        training=TrainingConfig(steps=1, batch_size=1),
    )
    assert config.backbone.patch == 2
    with pytest.raises(ConfigError, match="2 branches need a refiner"):
        attrs.evolve(config, branches=2)


TABLES = """
name = "tables"
branches = 2
data = { type = "images", size = 8, channels = 1, source = { type = "folder", url = "pictures" } }
backbone = { type = "dit", patch = 2, width = 16, depth = 4, heads = 2 }
refiner = { type = "vera", channels = [16] }
plan = { time_sampler = { mean = 0.5 } }
objectives = { velocity = { beta = 0.4 }, second = { type = "acceleration", weight = 0.3 } }
training = { steps = 10, batch_size = 4 }
sampling = { sampler = { steps = 7 }, guidance = { type = "cfg", scale = 1.8 } }
loggers = { csv = { file = "numbers.csv" } }
"""


@pytest.mark.parametrize(
    "name",
    [
        "refiner=vera",
        "backbone=dit",
        "data=images",
        "data.source=folder",
        # The type is not stated there: it is the place's default, or the name in the table.
        "plan.time_sampler=logit_normal",
        "sampling.sampler=euler_maruyama",
        "sampling.guidance=cfg",
        "objectives.velocity=velocity",
        "objectives.second=acceleration",
        "loggers.csv=csv",
    ],
)
def test_the_name_of_what_is_there_already_keeps_its_table(tmp_path, name):
    file = tmp_path / "tables.toml"
    file.write_text(TABLES)
    assert load_config(file, [name]) == load_config(file)
    key, _, value = name.partition("=")
    if not key.startswith(("data", "loggers", "sampling.guidance")):
        assert load_config(file, [f'{key}={{type="{value}"}}', "backbone.patch=2"]) != load_config(file)


def test_the_name_of_another_component_takes_its_defaults(tmp_path):
    file = tmp_path / "tables.toml"
    file.write_text(TABLES)
    config = load_config(file, ["sampling.sampler=euler", "refiner=plain", "objectives.second=none"])
    assert config.sampling.sampler == load_config(file, ['sampling.sampler={type="euler"}']).sampling.sampler
    assert type(config.refiner).__name__ == "PlainConfig"
    config = load_config(file, ["refiner=none", "refiner=vera"])
    assert config.refiner.channels != (16,), "what was taken out is gone"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("training.lr", "training.lr: unknown key, did you mean 'optimizer.lr'?"),
        ("training.decay", "training.decay: unknown key, did you mean 'average.decay'?"),
        ("training.ema", "training.ema: unknown key, did you mean average = 'ema'?"),
        ("time_sampler", "time_sampler: unknown key, did you mean 'plan.time_sampler'?"),
        ("steps", "steps: unknown key, did you mean 'training.steps'?"),
        ("training.stepz", "training.stepz: unknown key, did you mean 'steps'?"),
        ("training.adamw_lr", "training.adamw_lr: unknown key, did you mean 'optimizer.adamw_lr'?"),
    ],
)
def test_a_key_that_belongs_in_a_table_within_is_told_which(key: str, said: str) -> None:
    data: dict[str, Any] = {**TINY, "training": {**TRAINING, "optimizer": {"lr": 0.001}}}
    if key == "training.adamw_lr":
        data["training"]["optimizer"] = "muon"
    *tables, last = key.split(".")
    (data[tables[0]] if tables else data)[last] = 1
    with pytest.raises(FaultyConfigError) as fault:
        structure(RunConfig, data)
    assert str(fault.value) == said
