"""Runs with several averages: each is that of a run of its own, is measured, saved and exported by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg
from thalweg import Trainer
from thalweg.averages.ema import EMA
from thalweg.cli.main import main
from thalweg.config import FaultyConfigError, component
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.facts import Facts
from thalweg.training.components import checked_average
from tiny_runs import lines, recipe, tensor_files, tiny

FACTS = Facts(shape=(1, 8, 8))
SEVERAL = {"decay": [0.9, 0.5, 0.0], "warmup": False}


def train(folder: Path, **training: Any) -> Path:
    Trainer(tiny(**training), folder, accelerator="cpu", quiet=True).train()
    return folder


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("several") / "run", average=SEVERAL, validate_every=2)


@pytest.mark.parametrize("decay", [0.9, 0.5, 0.0])
def test_each_is_that_of_a_run_with_that_decay_alone(several: Path, tmp_path: Path, decay: float) -> None:
    alone = train(tmp_path, average={"decay": decay, "warmup": False}, validate_every=2)
    folder = "model" if decay == 0.9 else f"model-{decay}"
    assert (several / folder / "model.safetensors").read_bytes() == (
        alone / "model" / "model.safetensors"
    ).read_bytes()
    prefix = "validation/" if decay == 0.9 else f"validation/{decay}/"
    for one, other in zip(lines(several), lines(alone), strict=True):
        own = {key.removeprefix("validation/"): number for key, number in other.items() if "valid" in key}
        assert {name: one[f"{prefix}{name}"] for name in own} == own
        assert one["loss"] == other["loss"]


def test_they_are_opened_by_name(several: Path, tmp_path: Path) -> None:
    main_one = thalweg.load(several).state_dict()
    for name, folder in (("0.9", "model"), ("0.5", "model-0.5"), ("0.0", "model-0.0")):
        expected = thalweg.load(several / folder).state_dict()
        for place in (several, several / "checkpoints" / "step-00000006"):
            found = thalweg.load(place, average=name).state_dict()
            assert all(torch.equal(one, expected[key]) for key, one in found.items())
        same = all(torch.equal(one, main_one[key]) for key, one in expected.items())
        assert same == (name == "0.9")
    assert json.loads((several / "model-0.5" / "model.json").read_text())["run"]["average"] == "0.5"
    with pytest.raises(DataError, match=r"has no average '0\.7' \(there are 0\.9, 0\.5, 0\.0\)"):
        thalweg.load(several / "checkpoints" / "step-00000006", average="0.7")
    for wrong in ("0.7", "../model", ""):
        with pytest.raises(DataError, match=r"has no average .* \(it is 0\.9\)"):
            thalweg.load(several, average=wrong)


def test_a_run_without_its_model_opens_them_from_the_checkpoint(several: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(several, copy)
    for folder in copy.glob("model*"):
        shutil.rmtree(folder)
    found = thalweg.load(copy, average="0.5").state_dict()
    expected = thalweg.load(several / "model-0.5").state_dict()
    assert all(torch.equal(one, expected[key]) for key, one in found.items())


def test_the_command_line_draws_from_each_by_its_folder(several: Path, tmp_path: Path) -> None:
    for folder in ("model", "model-0.5"):
        arguments = ["count=4", "batch_size=4", "--device", "cpu"]
        assert main(["sample", str(several / folder), str(tmp_path / f"{folder}.npz"), *arguments]) == 0
    first, second = ((tmp_path / f"{folder}.npz").read_bytes() for folder in ("model", "model-0.5"))
    assert first != second


def test_a_resumed_run_keeps_them_all(several: Path, tmp_path: Path) -> None:
    settings = {"average": SEVERAL, "validate_every": 2}
    train(tmp_path, steps=3, **settings)
    assert (tmp_path / "model-0.5").is_dir()
    train(tmp_path, **settings)
    once, twice = tensor_files(several), tensor_files(tmp_path)
    assert {"step-00000006/ema.safetensors", "step-00000006/ema-0.5.safetensors"} <= once.keys()
    assert once == twice
    for folder in ("model-0.5", "model-0.0"):
        name = f"{folder}/model.safetensors"
        assert (several / name).read_bytes() == (tmp_path / name).read_bytes()


def test_another_set_of_averages_is_another_run(several: Path) -> None:
    with pytest.raises(ConfigError, match=r"belongs to a run with another configuration: training\.average"):
        train(several, average={"decay": [0.9, 0.5], "warmup": False}, validate_every=2)


@pytest.mark.parametrize(
    ("decay", "said"),
    [
        ([], "must be a number, or several that differ"),
        ([0.9, 0.9], "name each decay once"),
        ([0.9, 1.0], "must be below 1, got 1.0"),
        ([0.9, -0.1], "must be at least 0"),
        ("much", "expected a number or a list"),
        ([0.9, "x"], "expected a number"),
    ],
)
def test_bad_decays_are_refused(decay: Any, said: str) -> None:
    with pytest.raises(FaultyConfigError, match=said):
        component("average", {"type": "ema", "decay": decay})


def test_what_reaches_back_to_before_training_is_said_of_the_worst() -> None:
    average = component("average", {"type": "ema", "decay": [0.5, 0.9999], "warmup": False}).build(FACTS)
    assert average.names == ("0.5", "0.9999")
    assert "(training.average.decay is 0.9999)" in average.warning(1000)
    assert component("average", {"type": "ema", "decay": [0.5, 0.9]}).build(FACTS).warning(1000) is None
    assert average.described(1000) == (
        "over about the last 2 steps (decay 0.5) and over about the last 10,000 steps (decay 0.9999)"
    )


def test_an_average_without_file_names_is_refused() -> None:
    class Odd:
        names = ("main", "a/b")

        def __call__(self, network: nn.Module) -> EMA:
            return EMA(network, 0.5)

    with pytest.raises(
        PluginError, match="the average Odd names its EMA weights 'main', 'a/b'; give each a name"
    ):
        checked_average(Odd())


def test_something_else_in_the_place_of_an_averages_model_is_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "config.toml").parent.mkdir(exist_ok=True)
    run = train(tmp_path / "run", steps=2, average=SEVERAL)
    for file in (run / "model-0.5").iterdir():
        file.unlink()
    (run / "model-0.5" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"model-0\.5 is no saved network"):
        train(run, steps=4, average=SEVERAL)


class PostHoc:
    """A stranger's average, written from nothing but the contract: the plain mean of all weights so far."""

    names = ("mean",)

    def __call__(self, network: nn.Module) -> "MeanOfAll":
        return MeanOfAll(network)


class MeanOfAll:
    """Its averages of one network."""

    names = ("mean",)

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.mean = {name: one.detach().clone() for name, one in network.named_parameters()}

    def update(self, step: int) -> None:
        for name, one in self.network.named_parameters():
            self.mean[name].lerp_(one.detach(), 1 / (step + 2))

    def applied(self, name: str) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def exchanged() -> Any:
            held = {key: one.data.clone() for key, one in self.network.named_parameters()}
            for key, one in self.network.named_parameters():
                one.data.copy_(self.mean[key])
            try:
                yield
            finally:
                for key, one in self.network.named_parameters():
                    one.data.copy_(held[key])

        return exchanged()

    def state_dict(self, name: str) -> dict[str, torch.Tensor]:
        return {**self.network.state_dict(), **self.mean}

    def load_state_dict(self, state: Any, name: str) -> None:
        for key, mean in self.mean.items():
            mean.copy_(state[key])


def test_a_strangers_average_trains_and_resumes(tmp_path: Path) -> None:
    def go(folder: Path, steps: int) -> None:
        trainer = Trainer(
            tiny(steps=steps, checkpoint_every=1, keep=9), folder, accelerator="cpu", quiet=True
        )
        object.__setattr__(trainer.components, "average", PostHoc())
        trainer.train()

    go(tmp_path / "once", 5)
    go(tmp_path / "twice", 2)
    go(tmp_path / "twice", 5)
    assert tensor_files(tmp_path / "once") == tensor_files(tmp_path / "twice")
    from safetensors.torch import load_file

    states = [
        load_file(tmp_path / "once" / "checkpoints" / f"step-{step:08d}" / "network.safetensors")
        for step in range(1, 6)
    ]
    start = Trainer(tiny(), tmp_path / "no", accelerator="cpu").components.network.state_dict()
    averaged = thalweg.load(tmp_path / "once").state_dict()
    for name in ("backbone.blocks.0.mlp.layers.0.weight", "velocity_readout.projection.weight"):
        mean = torch.stack([start[name], *(state[name] for state in states)]).mean(dim=0)
        torch.testing.assert_close(averaged[name], mean)


@pytest.mark.parametrize(("changes", "numbers"), [([], 5), (["training.average.decay=[0.9, 0.5]"], 6)])
def test_memory_counts_each_average(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[str], numbers: int
) -> None:
    path = recipe(tmp_path)
    assert main(["summary", str(path), *changes, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state_bytes"] == 4 * numbers * told["parameters"]
    options = ["--device", "cpu", "--run-dir", str(tmp_path / "run"), "--dry-run"]
    assert main(["train", str(path), *changes, *options]) == 0
    saved = 4 * (numbers - 1) * told["parameters"] / 2**20
    assert f"{saved:.2f} MiB each" in capsys.readouterr().out
