"""A dry run finds what would stop the run, and leaves nothing behind."""

from pathlib import Path

import pytest
import torch

from thalweg.cli.main import main
from thalweg.training import preflight as module
from tiny_runs import recipe

TRAIN = ["--device", "cpu"]


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def test_it_says_what_is_ahead_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, run_dir = recipe(tmp_path), tmp_path / "some" / "where" / "run"
    command = ["train", str(path), *TRAIN, "--run-dir", str(run_dir), "training.accumulate=2"]
    before = files(tmp_path)
    built: list[torch.device] = []
    compose = module.without_memory

    def watched(*arguments: object) -> torch.nn.Module:
        network = compose(*arguments)  # type: ignore[arg-type]
        built.append(next(network.parameters()).device)
        return network

    monkeypatch.setattr(module, "without_memory", watched)
    assert main([*command, "--dry-run"]) == 0
    assert files(tmp_path) == before
    assert [device.type for device in built] == ["meta"]
    said = capsys.readouterr().out
    for part in (
        "6 steps of 16 samples, 0.067 epochs",
        "16 = 1 process x 2 micro-batches accumulated x 8 samples",
        "the next checkpoint at step 2,",
        "for activations",
        "for up to 3 checkpoints",
        "a batch of 8 samples in",
    ):
        assert part in said

    assert main([*command, "--quiet", "training.steps=4"]) == 0
    before = files(tmp_path)
    assert main([*command, "--dry-run"]) == 0
    assert files(tmp_path) == before
    assert "the next checkpoint at step 6," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["training.optimizer.lr=0.5"], "belongs to a run with another configuration"),
        (["--resume", "never"], "holds a run already"),
        (["training.steps=1"], "has done 2"),
    ],
)
def test_a_run_that_is_there_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    command = ["train", str(recipe(tmp_path)), *TRAIN, "--run-dir", str(tmp_path / "run")]
    assert main([*command, "--quiet", "training.steps=2"]) == 0
    capsys.readouterr()
    before = files(tmp_path)
    assert main([*command, *more, "--dry-run"]) == 2
    assert message in capsys.readouterr().err
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--devices", "3"], "make it a multiple of 3"),
        (["--strategy", "luck"], "there are auto, ddp, fsdp"),
        (["training.precision=16-mixed", "--strategy", "fsdp"], "use bf16-mixed, or ddp"),
        (["backbone.width=18"], "multiple of 4"),
        (["training.keep_every=3"], "must be a multiple of checkpoint_every, which is 2"),
    ],
)
def test_what_would_stop_the_run_stops_the_dry_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    command = ["train", str(recipe(tmp_path)), *TRAIN, "--run-dir", str(tmp_path / "run")]
    before = files(tmp_path)
    assert main([*command, *more, "--dry-run"]) == 2
    assert message in capsys.readouterr().err
    assert files(tmp_path) == before


def test_a_run_directory_that_cannot_be_written_to_is_found_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "recipes/digits-sit.toml", *TRAIN, "--run-dir", "/proc/no", "--dry-run"]) == 2
    assert "cannot write in the run directory" in capsys.readouterr().err
