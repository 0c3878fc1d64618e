"""Protocols that are shipped never change; a change is another version in another file."""

import hashlib
from pathlib import Path

import pytest

import thalweg.evaluation.protocol
from thalweg.config import dump, structure
from thalweg.errors import ConfigError
from thalweg.evaluation.choosing import chosen
from thalweg.evaluation.protocol import names, read_protocol
from thalweg.evaluation.settings import EvaluationConfig
from thalweg_eval.geneval.prompts import standard_prompts

FOLDER = Path(thalweg.evaluation.protocol.__file__).parent / "protocols"
FROZEN = {
    "adm-50k": "4b55c691f8eefe02bad8d7f10030086d5f9f2caf4a2e70859a43b4b208607529",
    "coco-t2i": "405640e269f901f66ff06ea7f24196d5294f907d529d69ea68256d0824612a4d",
    "emoji-t2i": "00191d9d768e1b6b0b1ee7cab2d0a5429b4ccb7a5a1d9403286ac670a5647074",
    "geneval": "104102cdf7745febe82017a0855cb45870513de19b4ca193887c2773e2d6a993",
    "quick": "ac265321d7aa1f2ea064c1b714249a9051472f244b2656cf60da8292658a778d",
    "sit-sde-250": "f5597589f823bae246fe30e8969fd4873611216a4494b696802e3ebadd927a9e",
}
NEEDED = {
    "coco-t2i": ["judges.clip.extractor.folder=clip"],
    "geneval": ["judges.geneval.extractor.detector=m2f", "judges.geneval.extractor.clip=clip"],
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
        ("quick", ["judges.small_classifier.extractor.stpes=1"], "did you mean 'steps'"),
        ("quick", ["sampling.precision=64"], "32-true"),
    ],
)
def test_what_is_wrong_is_named(what, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read_protocol(what, overrides)


def test_metrics_are_chosen_by_their_usual_names():
    judges = chosen(["fid", "sfid", "is", "precision", "recall", "fd_lite0", "clip_score", "kid@dinov2"])
    assert {name: list(judge["metrics"]) for name, judge in judges.items()} == {
        "inception": [
            "frechet_distance", "spatial_frechet_distance", "inception_score", "precision_recall",
        ],
        "lite0": ["frechet_distance"],
        "clip": ["clip_score"],
        "dinov2": ["kid"],
    }  # fmt: skip


def test_an_extractor_that_is_named_is_everybodys_who_names_none():
    judges = chosen(["kid", "fid", {"type": "frechet_distance@lite0"}], {"type": "timm", "model": "x"})
    assert list(judges) == ["timm", "lite0"]
    assert list(judges["timm"]["metrics"]) == ["kid", "frechet_distance"]
    assert judges["timm"]["extractor"] == {"type": "timm", "model": "x"}


def test_geneval_draws_four_images_of_each_of_its_prompts():
    config = read_protocol("geneval", NEEDED["geneval"]).config
    assert config.sampling.prompts == tuple(prompt.text for prompt in standard_prompts())
    assert config.count == 4 * len(config.sampling.prompts) == 4 * 553
