"""Every component: its config, its docstring and what building it leaves alone."""

import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import attrs
import pytest

import thalweg
from contracts.catalogue import (
    FACTS,
    PROTOCOLS,
    REGISTRY,
    REQUIRED,
    SMALL,
    VARIATIONS,
    autoencoder_weights,
    built,
    components,
    leaves,
    made,
    small,
)
from image_makers import every_source
from shard_makers import make_shards
from teacher_makers import every_teacher
from thalweg.config import component, dump, dump_component, structure, to_toml

EVERY = pytest.mark.parametrize(("kind", "name"), components())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder in which shards and images stand."""
    monkeypatch.chdir(tmp_path)
    make_shards(tmp_path / "shards")
    every_source(tmp_path)
    autoencoder_weights(tmp_path)
    every_teacher(tmp_path)
    return tmp_path


def defaults(kind, name):
    return component(kind, {"type": name, **REQUIRED.get((kind, name), {})})


def test_all_built_in_plugins_are_sound():
    assert REGISTRY.faults == [] or all(fault.deliberate for fault in REGISTRY.faults)
    for one in REGISTRY:
        REGISTRY.config_class(one.kind, one.name)
    known = {(one.kind, one.name) for one in REGISTRY}
    assert known >= {*REQUIRED, *SMALL, *VARIATIONS}


@EVERY
def test_the_config_is_a_frozen_attrs_class_that_builds(kind, name):
    cls = REGISTRY.config_class(kind, name)
    config = defaults(kind, name)
    assert attrs.has(cls)
    assert callable(cls.build)
    for field in [*(field.name for field in attrs.fields(cls)), "something_else"]:
        with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
            setattr(config, field, None)
    assert hash(config) == hash(defaults(kind, name))


@EVERY
def test_every_field_but_the_required_has_a_default(kind, name):
    fields = attrs.fields(REGISTRY.config_class(kind, name))
    without = {field.alias for field in fields if field.default is attrs.NOTHING}
    assert without == REQUIRED.get((kind, name), {}).keys()


@EVERY
def test_the_config_survives_being_written_and_read(kind, name):
    for config in (defaults(kind, name), component(kind, small(kind, name))):
        assert structure(type(config), dump(config)) == config
        written = dump_component(kind, config)
        assert None not in leaves(written)
        assert component(kind, json.loads(json.dumps(written))) == config
        assert component(kind, tomllib.loads(to_toml(written))) == config
        assert REGISTRY.name_of(kind, type(config)) == name


@EVERY
def test_an_unknown_key_is_refused(kind, name):
    with pytest.raises(thalweg.ConfigError, match=f"{kind}.no_such_key: unknown key"):
        component(kind, small(kind, name, no_such_key=1))


@EVERY
def test_the_docstring_says_what_every_field_is(kind, name):
    cls = REGISTRY.config_class(kind, name)
    doc = inspect.cleandoc(cls.__doc__ or "")
    assert doc.partition("\n")[0], "the first line says what it is"
    fields = {field.alias for field in attrs.fields(cls)}
    _, _, section = doc.partition("Attributes:\n")
    described = set(re.findall(r"^    (\w+): \S", section, re.MULTILINE))
    assert described == fields


@EVERY
def test_what_is_built_keeps_the_contract_of_its_kind(kind, name, folder):
    one = made(kind, name, folder)
    assert isinstance(one, PROTOCOLS[kind])
    if kind == "logger":
        one.close()


def test_building_draws_nothing_from_the_global_generators(folder):
    # In a process of its own: the type checker that runs under these tests draws from Python's.
    script = """
import random, sys
from pathlib import Path
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
from contracts.catalogue import REGISTRY, made
def states():
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()
for one in REGISTRY:
    # The first time, libraries are imported, and some draw while they are.
    for _ in range(2):
        before = states()
        built = made(one.kind, one.name, Path("run"))
        if one.kind == "logger":
            built.close()
        same = states() == before
    print(one.kind, one.name, same)
"""
    arguments = [sys.executable, "-c", script, str(Path(__file__).parents[1])]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [f"{one.kind} {one.name} True" for one in REGISTRY]


@EVERY
def test_building_takes_nothing_from_its_config_away(kind, name, folder):
    config = component(kind, small(kind, name))
    written = dump(config)
    one = built(kind, config, FACTS, folder)
    if kind == "logger":
        one.close()
    assert dump(config) == written
