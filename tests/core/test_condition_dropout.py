"""What a network was trained without is not requested: guidance where every condition was shown."""

import json
from pathlib import Path

import pytest

import thalweg
from thalweg import Trainer
from thalweg.cli.main import main
from thalweg.config import to_toml
from thalweg.errors import ConfigError
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.planning import plan
from tiny_ablations import PROTOCOL
from tiny_runs import recipe, tiny

NO_DROPOUT = {"condition_dropout": 0.0}
REFUSED = "trained with every condition shown"


def trained(folder: Path, **training: object) -> Path:
    result = Trainer(tiny(**training, steps=2), folder, accelerator="cpu", quiet=True).train()
    assert result.model is not None
    return result.model


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every label was shown."""
    folder = tmp_path_factory.mktemp("shown")
    trained(folder, **NO_DROPOUT)
    return folder


def test_a_run_records_whether_conditions_were_hidden(shown: Path, tmp_path: Path) -> None:
    hidden = trained(tmp_path)
    for folder, dropout in ((shown / "model", False), (hidden, True)):
        assert json.loads((folder / "model.json").read_text())["facts"]["condition_dropout"] is dropout
        assert thalweg.load(folder).facts.condition_dropout is dropout
    newest = sorted((shown / "checkpoints").iterdir())[-1]
    assert not thalweg.load(newest).facts.condition_dropout


def test_what_a_network_knew_before_is_not_what_it_is_trained_for_now(tmp_path: Path) -> None:
    network = Trainer(tiny(), tmp_path / "a", accelerator="cpu").components.network
    assert network.facts.condition_dropout
    Trainer(tiny(**NO_DROPOUT), tmp_path / "b", network=network, accelerator="cpu")
    assert not network.facts.condition_dropout


def test_training_is_refused_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sampling = {"sampling": {"sampler": {"type": "euler", "steps": 2}, "guidance": "cfg"}}
    for every in (0, 1):
        with pytest.raises(ConfigError, match=REFUSED):
            Trainer(tiny(top=sampling, **NO_DROPOUT, sample_every=every), tmp_path / "run")
    command = ["train", str(recipe(tmp_path)), "--run-dir", str(tmp_path / "run")]
    assert main([*command, "training.condition_dropout=0", "sampling.guidance=cfg"]) == 2
    said = capsys.readouterr().err
    assert REFUSED in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_sampling_and_evaluating_are_refused_and_leave_nothing(
    shown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    out = tmp_path / "out"
    words = {
        "sample": [
            "sample", str(shown), str(out), "count=4", "sampler=euler", "sampler.steps=2", "guidance=cfg",
        ],
        "evaluate": [
            "evaluate", str(shown), "--protocol", "quick", "--out", str(out), "count=20",
            "sampling.sampler=euler", "sampling.sampler.steps=2", "sampling.guidance=cfg",
        ],
    }  # fmt: skip
    assert main(words[command]) == 2
    said = capsys.readouterr().err
    assert REFUSED in said
    assert not out.exists()


def test_an_ablation_is_refused_before_its_first_run(tmp_path: Path) -> None:
    guided = {**PROTOCOL, "sampling": {**PROTOCOL["sampling"], "guidance": "cfg"}}
    protocol = tmp_path / "guided.toml"
    protocol.write_text(to_toml(guided))
    dropout = "training.condition_dropout=0.1,0"
    ablation = read_ablation(recipe(tmp_path), axes=(dropout,), protocol=str(protocol))
    with pytest.raises(ConfigError, match=f"condition_dropout=0.*{REFUSED}"):
        plan(ablation, tmp_path / "out")
    assert not (tmp_path / "out").exists()
