"""Protocols that are shipped never change; a change is another version in another file."""

import hashlib
from pathlib import Path

import pytest

import thalweg_eval.evaluation.protocol
from thalweg.config import dump, structure
from thalweg.errors import ConfigError
from thalweg_eval.evaluation.protocol import EvaluationConfig, features_for, names, read_protocol
from thalweg_eval.geneval.prompts import standard_prompts

FOLDER = Path(thalweg_eval.evaluation.protocol.__file__).parent / "protocols"
FROZEN = {
    "adm-50k": "76abeadc69f25f101cf3a9ea9815e39d09270f609f9a03cbd5385879b5935205",
    "coco-t2i": "5e6f2104ba696c084e0d5fd11bcfe06ac76444340d01f37a09212cd9aff15f6d",
    "emoji-t2i": "e340144abb714066795b75e04a4df1cffa9bffd890dd5cb42b37a9be395cbac4",
    "geneval": "5020504fe6be16cfd46b10e04b247e5647388104e557b5f7cbe8785a8469c1e4",
    "quick": "402a3cca1f45d48cab4dbd13f2322a67674dcd30580439195a04eeee84274baf",
    "signals": "1edb47dc67adf73a8dc1d1fcf90d10007a8ab61096482eb16813dbf073233f79",
    "sit-sde-250": "6e55b8a4d70684f41b8827561bf01d6e19ca6cf42f59b3615fdf2f50b743e75c",
}
NEEDED = {
    "coco-t2i": ["features.clip.extractor.folder=clip"],
    "geneval": ["features.geneval.extractor.detector=m2f", "features.geneval.extractor.clip=clip"],
}


def test_every_protocol_is_frozen():
    found = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.toml")}
    assert found == FROZEN
    assert names() == sorted(FROZEN)


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_every_protocol_states_everything(name):
    protocol = read_protocol(name, NEEDED.get(name, []))
    config = protocol.config
    assert config.name == name
    assert config.version == 1
    assert config.description
    assert config.reference.description
    assert protocol.sha256 == FROZEN[name]
    assert config.count is not None
    assert config.sampling.precision == "32-true"
    assert structure(EvaluationConfig, dump(config)) == config


def test_the_papers_sampler_is_the_papers():
    config = read_protocol("sit-sde-250").config
    assert dump(config.sampling)["sampler"] == {"type": "euler_maruyama", "steps": 250, "last": 0.04}
    assert config.sampling.labels == "random"
    assert config.sampling.guidance == ()


def test_a_protocol_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "quick.toml").read_text().replace('name = "quick"\n', ""))
    protocol = read_protocol(path, ["count=12"])
    assert (protocol.config.name, protocol.config.count, protocol.changed) == ("mine", 12, ("count=12",))
    assert read_protocol(str(path)).config.count == 1000


@pytest.mark.parametrize(
    ("what", "overrides", "message"),
    [
        ("adm50k", [], "did you mean 'adm-50k'"),
        ("gone.toml", [], "does not exist"),
        ("quick", ["count=1"], "must be at least 2"),
        ("quick", ["sampling.labels=some"], "balanced"),
        ("quick", ["features.small_classifier.extractor.stpes=1"], "did you mean 'steps'"),
        ("quick", ["sampling.precision=64"], "32-true"),
    ],
)
def test_what_is_wrong_is_named(what, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read_protocol(what, overrides)


def test_metrics_are_chosen_by_their_usual_names():
    features = features_for(
        ["fid", "sfid", "is", "precision", "recall", "fd_lite0", "clip_score", "kid@dinov2"]
    )
    assert {name: list(table["metrics"]) for name, table in features.items()} == {
        "inception": [
            "frechet_distance", "spatial_frechet_distance", "inception_score", "precision_recall",
        ],
        "lite0": ["frechet_distance"],
        "clip": ["clip_score"],
        "dinov2": ["kid"],
    }  # fmt: skip


def test_an_extractor_that_is_named_is_everybodys_who_names_none():
    features = features_for(
        ["kid", "fid", {"type": "frechet_distance@lite0"}], {"type": "timm", "model": "x"}
    )
    assert list(features) == ["timm", "lite0"]
    assert list(features["timm"]["metrics"]) == ["kid", "frechet_distance"]
    assert features["timm"]["extractor"] == {"type": "timm", "model": "x"}


def test_geneval_draws_four_images_of_each_of_its_prompts():
    config = read_protocol("geneval", NEEDED["geneval"]).config
    assert config.sampling.prompts == tuple(prompt.text for prompt in standard_prompts())
    assert config.count == 4 * len(config.sampling.prompts) == 4 * 553
