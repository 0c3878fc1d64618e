"""Integers that are too large, or too small: one sentence, from Python, a recipe and the command line."""

import re

import attrs
import numpy as np
import pytest
import torch

from thalweg.arguments import INDEX, SEED, SEED_OF_NUMPY
from thalweg.cli.main import main
from thalweg.composition import compose
from thalweg.config import FaultyConfigError, structure
from thalweg.config.run import SamplingConfig, TrainingConfig
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.generation.generate import generate
from thalweg.generation.settings import SamplesConfig
from thalweg.plugins import registry
from thalweg.randomness import generator
from thalweg.sampling import sample
from thalweg.saved_network import save
from thalweg_backbones.encoding.job import EncodingJob
from thalweg_eval.evaluation.evaluate import evaluate
from thalweg_eval.evaluation.protocol import EvaluationConfig
from thalweg_eval.quickstart.flow import Settings

BEYOND = [2**63, 2**64, 10**5000, -1, -(2**63)]
RECIPE = """
data = "digits"
backbone = {type = "dit", width = 16, depth = 2, heads = 2, patch = 4}
objectives.velocity = {}
training = {steps = 2, batch_size = 8}
"""


def test_seeds_at_both_ends_are_taken_by_what_takes_them():
    for seed in (SEED.low, SEED.high):
        SEED.check("seed", seed)
        torch.Generator().manual_seed(seed)
        generator(seed, "noise", INDEX.high)
    for seed in (SEED_OF_NUMPY.low, SEED_OF_NUMPY.high):
        np.random.RandomState(seed)


@pytest.mark.parametrize("number", [np.int64(3), torch.tensor(3)])
def test_integers_of_others_are_integers(number):
    SEED.check("seed", number)


@pytest.mark.parametrize("number", [1.0, "1", None, True, float("nan")])
def test_what_is_no_integer_is_named(number):
    with pytest.raises(ConfigError, match="'seed' must be an integer, got"):
        SEED.check("seed", number)


@pytest.mark.parametrize("seed", BEYOND, ids=lambda seed: f"{seed.bit_length()} bits")
@pytest.mark.parametrize(
    ("cls", "others"),
    [
        (SamplingConfig, {}),
        (SamplesConfig, {}),
        (Settings, {}),
        (EncodingJob, {"size": 8, "autoencoder": {"type": "identity"}, "source": "a", "target": "b"}),
    ],
    ids=lambda cls: getattr(cls, "__name__", ""),
)
def test_a_seed_beyond_is_named_from_tables_and_from_python(cls, others, seed):
    with pytest.raises(FaultyConfigError) as read:
        structure(cls, {**others, "seed": seed})
    assert [problem.path for problem in read.value.problems] == [("seed",)]
    assert len(str(read.value)) < 200
    with pytest.raises(ConfigError, match="'seed' must be at"):
        cls(**others, seed=seed)


@pytest.mark.parametrize("count", [0, -1, 2**31, 2**64])
@pytest.mark.parametrize(
    ("cls", "others", "name"),
    [
        (SamplesConfig, {}, "count"),
        (SamplesConfig, {}, "batch_size"),
        (SamplingConfig, {}, "batch_size"),
        (TrainingConfig, {"batch_size": 8}, "steps"),
        (TrainingConfig, {"steps": 8}, "batch_size"),
        (EvaluationConfig, {"features": {"a": 1}}, "count"),
        (Settings, {}, "steps"),
        (Settings, {}, "samples"),
    ],
)
def test_counts_beyond_are_named(cls, others, name, count):
    with pytest.raises(ConfigError, match=f"'{name}' must be at"):
        cls(**others, **{name: count})


def test_every_integer_of_a_component_has_64_bits():
    """Whatever its validators say: none comes to a tensor that cannot hold it."""
    tried = 0
    for one in registry():
        fields = attrs.fields_dict(attrs.resolve_types(registry().config_class(one.kind, one.name)))
        for name, field in fields.items():
            if field.type not in (int, int | None) or not field.init:
                continue
            with pytest.raises(FaultyConfigError) as caught:
                structure(registry().config_class(one.kind, one.name), {name: 2**64})
            assert any(problem.path == (name,) for problem in caught.value.problems), (one.kind, one.name)
            tried += 1
    assert tried > 20


@pytest.mark.parametrize("seed", BEYOND[:2])
def test_networks_are_not_built_from_such_seeds(seed):
    with pytest.raises(ConfigError, match="'seed' must be at most"):
        compose(backbone="dit", facts=Facts(shape=(1, 8, 8)), seed=seed)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"first": 2**63}, "start"),
        ({"first": -1}, "start"),
        ({"devices": 0}, "devices"),
        ({"devices": 10**9}, "devices"),
    ],
)
def test_drawing_says_so_before_it_looks_at_anything(tmp_path, options, name):
    with pytest.raises(ConfigError, match=f"'{name}' must be at"):
        generate(tmp_path / "no-network", tmp_path / "out.npz", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_last_of_as_many_samples_as_the_network_says_has_an_index_too(tmp_path):
    backbone = {"type": "dit", "width": 16, "depth": 1, "heads": 2, "patch": 4}
    network = compose(backbone=backbone, facts=Facts(shape=(1, 8, 8)))
    save(tmp_path / "model", network, sampling={"count": 9})
    with pytest.raises(ConfigError, match="'start' must be at most"):
        generate(tmp_path / "model", tmp_path / "out", first=INDEX.high - 8)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("options", [{"devices": 10**9}, {"batch_size": 0}, {"batch_size": 2**40}])
def test_so_does_an_evaluation(tmp_path, options):
    with pytest.raises(ConfigError, match=f"'{next(iter(options))}' must be at"):
        evaluate(tmp_path / "no-network", **options)


def test_indices_beyond_are_named():
    backbone = {"type": "dit", "width": 16, "depth": 1, "heads": 2, "patch": 4}
    network = compose(backbone=backbone, facts=Facts(shape=(1, 8, 8)))
    with pytest.raises(ConfigError, match=re.escape("'indices[1]' must be at most")):
        sample(network, labels=None, indices=[0, 2**63])


@pytest.mark.parametrize(
    "command",
    [
        ["config", "validate", "RECIPE", "seed=9223372036854775808"],
        ["config", "validate", "RECIPE", "seed=18446744073709551616"],
        ["config", "validate", "RECIPE", "seed=-1"],
        ["config", "validate", "RECIPE", "training.steps=18446744073709551616"],
        ["config", "validate", "RECIPE", "training.batch_size=1000000000000"],
        ["train", "RECIPE", "--run-dir", "OUT", "sampling.seed=18446744073709551616"],
        ["train", "RECIPE", "--run-dir", "OUT", "--devices", "1000000000"],
        ["train", "RECIPE", "--run-dir", "OUT", "--nodes", "1000000000"],
        ["train", "RECIPE", "--run-dir", "OUT", "--timeout", "nan"],
        ["train", "RECIPE", "--run-dir", "OUT", "--timeout", "1e300"],
        ["sample", "RUN", "OUT", "seed=9223372036854775808"],
        ["sample", "RUN", "OUT", "--start", "9223372036854775808"],
        ["sample", "RUN", "OUT", "--start", "-1"],
        ["sample", "RUN", "OUT", "count=0"],
        ["sample", "RUN", "OUT", "count=1000000000000000000000"],
        ["sample", "RUN", "OUT", "--devices", "0"],
        ["evaluate", "RUN", "--metrics", "frechet_distance", "sampling.seed=9223372036854775808"],
        ["evaluate", "RUN", "--metrics", "frechet_distance", "--batch-size", "1000000000000"],
        ["encode", "IMAGES", "OUT", "--size", "8", "--seed", "18446744073709551616"],
        ["encode", "IMAGES", "OUT", "--size", "1000000000000"],
        ["encode", "IMAGES", "OUT", "--size", "8", "--batch-size", "0"],
        ["quickstart", "--out", "OUT", "--seed", "9223372036854775808"],
        ["quickstart", "--out", "OUT", "--steps", "1000000000000"],
        ["ablate", "RECIPE", "--axis", "seed=1,2", "--seeds", "1000000000000", "--out", "OUT"],
        ["tune", "guidance", "RUN", "--seeds", "1000000000000", "--out", "OUT"],
        ["tune", "guidance", "RUN", "--evaluations", "1", "--out", "OUT"],
        ["tune", "guidance", "RUN", "--batch-size", "0", "--out", "OUT"],
        ["tune", "sampler", "RUN", "--seeds", "1000000000000", "--out", "OUT"],
    ],
    ids=" ".join,
)
def test_a_command_ends_in_one_sentence_before_the_work(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RECIPE").write_text(RECIPE, encoding="utf-8")
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
    assert "must be" in said or "expected an integer" in said
    assert [path.name for path in tmp_path.iterdir()] == ["RECIPE"]
