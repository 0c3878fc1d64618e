"""Slots of any number of components in an order: nothing, one, or a list."""

import json
import tomllib

import pytest

from thalweg.config import FaultyConfigError, RunConfig, SamplingConfig, dump, load_config, structure, to_toml
from thalweg.generation.settings import sample_settings
from thalweg.inherited import Inherited
from thalweg_eval.ablation.planning import settings_of
from thalweg_eval.evaluation.protocol import read_protocol
from thalweg_samplers.classifier_free import ClassifierFreeConfig
from thalweg_samplers.internal import InternalConfig
from tiny_runs import TINY, TRAINING

CFG, INTERNAL = ClassifierFreeConfig(scale=1.35), InternalConfig(scale=1.4)
TABLES = [
    {
        "type": "internal",
        "scale": 1.4,
        "strength": 3.0,
        "after": "none",
        "form": "plain",
        "interval": [0.0, 1.0],
    },
    {"type": "cfg", "scale": 1.35, "interval": [0.0, 1.0]},
]
BOTH = '["internal", {type="cfg", scale=1.35}]'


def guidance(given):
    return structure(SamplingConfig, {"guidance": given}).guidance


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ("none", ()),
        (None, ()),
        ([], ()),
        ("cfg", (ClassifierFreeConfig(),)),
        (["cfg"], (ClassifierFreeConfig(),)),
        ({"type": "cfg", "scale": 1.35}, (CFG,)),
        (CFG, (CFG,)),
        (["internal", CFG], (InternalConfig(), CFG)),
        ((INTERNAL, {"type": "cfg", "scale": 1.35}), (INTERNAL, CFG)),
    ],
)
def test_nothing_one_or_several_are_taken(given, held):
    assert guidance(given) == held
    assert SamplingConfig(guidance=given).guidance == held


@pytest.mark.parametrize(("held", "written"), [((), "none"), ((CFG,), TABLES[1]), ((INTERNAL, CFG), TABLES)])
def test_nothing_is_written_none_one_a_table_and_several_a_list(held, written):
    sampling = SamplingConfig(guidance=held)
    dumped = dump(sampling)
    assert dumped["guidance"] == written
    assert structure(SamplingConfig, dumped) == sampling
    assert structure(SamplingConfig, tomllib.loads(to_toml(dumped))) == sampling
    assert structure(SamplingConfig, json.loads(json.dumps(dumped))) == sampling


@pytest.fixture
def recipe(tmp_path):
    def write(guidance):
        file = tmp_path / "tiny.toml"
        sampling = {**TINY["sampling"], "guidance": guidance}
        file.write_text(to_toml({**TINY, "training": TRAINING, "sampling": sampling}))
        return file

    return write


@pytest.mark.parametrize("stated", [TABLES[1], [TABLES[1]], "cfg", ["cfg"]])
def test_an_override_reaches_the_single_one(recipe, stated):
    config = load_config(recipe(stated), ["sampling.guidance.scale=2"])
    (found,) = config.sampling.guidance
    assert found.scale == 2
    assert load_config(recipe(stated), ["sampling.guidance=cfg"]) == load_config(recipe(stated))


def test_an_override_states_a_whole_list_or_takes_it_out(recipe):
    config = load_config(recipe(TABLES[1]), [f"sampling.guidance={BOTH}"])
    assert config.sampling.guidance == (InternalConfig(), CFG)
    config = load_config(recipe(TABLES), ["sampling.guidance=none"])
    assert config.sampling.guidance == ()
    config = load_config(recipe(TABLES), ["sampling.guidance=none", "sampling.guidance.type=cfg"])
    assert config.sampling.guidance == (ClassifierFreeConfig(),)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sampling.guidance.scale=2"], r"guidance\.scale: there are 2 of them; state the whole list, as in"),
        (['sampling.guidance=["internal", "cgf"]'], r"sampling\.guidance\[1\]\.type: .*did you mean 'cfg'"),
        (
            ['sampling.guidance=["internal", {type="cfg", scale=-1}]'],
            r"sampling\.guidance\[1\]\.scale: must be at least 0, got -1",
        ),
        (['sampling.guidance=["none", "cfg"]'], r"sampling\.guidance\[0\]\.type: .*'none'"),
        (["sampling.guidance=3"], r"sampling\.guidance: expected the name of a guidance or a table, got 3"),
        (['sampling.guidance=["euler"]'], r"sampling\.guidance\[0\]\.type: .*'euler'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(recipe, overrides, message):
    with pytest.raises(FaultyConfigError, match=message):
        load_config(recipe(TABLES), overrides)


def test_a_network_brings_its_list_along_and_a_protocol_states_one():
    own = Inherited({"guidance": TABLES, "sampler": "euler"}, "run")
    told = sample_settings({}, (), lambda: own)
    assert told.config.guidance == (INTERNAL, CFG)
    assert told.origins["guidance"] == "run"
    told = sample_settings({}, [f"guidance={BOTH}"], lambda: own)
    assert told.config.guidance == (InternalConfig(), CFG)
    assert told.origins["guidance"] == "run with changes"
    assert sample_settings({}, ["guidance=cfg"], lambda: own).origins["guidance"] == "stated"
    read = read_protocol("quick", [f"sampling.guidance={BOTH}"])
    assert read.config.sampling.guidance == (InternalConfig(), CFG)


def test_a_cell_states_its_list_whole():
    data = {**TINY, "training": TRAINING, "sampling": {"guidance": TABLES}}
    (stated,) = settings_of(structure(RunConfig, data), [f"sampling.guidance={BOTH}"])
    read = read_protocol("quick", [stated])
    assert read.config.sampling.guidance == (INTERNAL, CFG)
