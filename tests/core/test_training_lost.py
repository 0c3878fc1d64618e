"""Runs that have lost something: their checkpoints, their configuration, their numbers."""

import json
import os
import shutil
from pathlib import Path

import pytest

from thalweg import checkpoint
from thalweg.cli.main import main
from thalweg.config import parse_recorded, read_recorded
from thalweg.data.digits import DigitsConfig
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.storage import Location
from thalweg.training.trainer import Trainer
from thalweg.types import ObjectiveValue, Step
from tiny_runs import lines, recipe, tensor_files, tiny

DIGITS = DigitsConfig().build()


def trainer(run_dir: Path | str, **training: object) -> Trainer:
    config = tiny(**{"steps": 4, "validate_every": 0, **training})
    return Trainer(config, run_dir, dataset=DIGITS, accelerator="cpu", quiet=True)


class Does:
    """The velocity loss, in whose n-th evaluation something happens."""

    weight = 1.0

    def __init__(self, call: int, act: object) -> None:
        self.left, self.act = call, act

    def __call__(self, step: Step) -> ObjectiveValue:
        self.left -= 1
        if self.left == 0:
            self.act()  # type: ignore[operator]
        return ObjectiveValue(
            (step.prediction.velocities[-1] - step.plan.velocity).square().mean(dim=(1, 2, 3))
        )


def during(run_dir: Path, call: int, act: object, **training: object) -> Trainer:
    """A run in whose n-th step something happens."""
    run = trainer(run_dir, **training)
    run.components.objectives.clear()  # type: ignore[attr-defined]
    run.components.objectives["own"] = Does(call, act)  # type: ignore[index]
    return run


# Checkpoints


@pytest.mark.parametrize("steps", [4, 8])
@pytest.mark.parametrize("model", [True, False])
@pytest.mark.parametrize("what", ["folder", "content"])
def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(
    tmp_path: Path, steps: int, model: bool, what: str
) -> None:
    trainer(tmp_path).train()
    shutil.rmtree(tmp_path / "checkpoints")
    if what == "content":
        (tmp_path / "checkpoints").mkdir()
    if not model:
        shutil.rmtree(tmp_path / "model")
    else:
        (tmp_path / "saved.json").unlink()  # the model alone tells enough
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=r"checkpoints are gone.*model.*another --run-dir"):
        trainer(tmp_path, steps=steps).train()
    with pytest.raises(ConfigError, match="holds a run already"):
        trainer(tmp_path, steps=steps).train("never")
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in after if after[path] != before.get(path)} <= {"run.lock"}


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    def fails() -> None:
        raise OSError("the power is gone")

    with pytest.raises(OSError, match="power"):
        during(tmp_path / "run", 2, fails, checkpoint_every=3).train()
    assert [line["step"] for line in lines(tmp_path / "run")] == [1]
    trainer(tmp_path / "run", checkpoint_every=3).train()
    trainer(tmp_path / "whole", checkpoint_every=3).train()
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_a_run_on_a_store_whose_checkpoints_are_gone_does_not_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there = "memory://lost/run"
    trainer(there).train()
    (Location(there) / "checkpoints").remove()
    (Location(there) / "model").remove()
    numbers = (Location(there) / "metrics.jsonl").read()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with pytest.raises(DataError, match="checkpoints are gone"):
        trainer(there, steps=8).train()
    assert (Location(there) / "metrics.jsonl").read() == numbers


# The configuration


@pytest.mark.parametrize("how", ["empty", "zeros", "cut", "flipped", "gone", "no digest"])
def test_a_lost_configuration_is_restored_from_a_checkpoint(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer(tmp_path / "run").train()
    path = tmp_path / "run" / "config.toml"
    whole = path.read_bytes()
    damaged = {
        "empty": b"",
        "zeros": bytes(len(whole)),
        "cut": whole[: len(whole) // 2],
        "flipped": whole.replace(b"seed = 3", b"seed = 7"),
        "no digest": whole[: whole.rindex(b"#")],
        "gone": None,
    }[how]
    path.unlink() if damaged is None else path.write_bytes(damaged)
    if damaged is not None:
        with pytest.raises(DataError, match=r"config\.toml is damaged .*train the run once more"):
            read_recorded(path)
    assert trainer(tmp_path / "run", steps=6).train().step == 6
    said = capsys.readouterr().err
    assert said.count("is restored from the checkpoint") == 1
    assert parse_recorded(path.read_bytes())["training"]["steps"] == 6
    trainer(tmp_path / "whole", steps=6).train()
    assert tensor_files(tmp_path / "run") == tensor_files(tmp_path / "whole")
    if damaged is not None:
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"training\.optimizer\.lr is 0\.5"):
            trainer(tmp_path / "run", optimizer={"lr": 0.5}).train()


def test_a_lost_configuration_without_a_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    def fails() -> None:
        raise OSError("the power is gone")

    with pytest.raises(OSError, match="power"):
        during(tmp_path, 2, fails).train()
    (tmp_path / "config.toml").write_bytes(b"")
    numbers = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(DataError, match=r"it is empty.*no checkpoint there has the configuration"):
        trainer(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == numbers


def test_an_empty_configuration_of_a_run_that_never_began_binds_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"")
    assert trainer(tmp_path).train().step == 4


def test_a_lost_configuration_on_a_store_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there = "memory://lost/config"
    for content in (b"", None):
        trainer(there).train()
        (Location(there) / "config.toml").write(b"") if content == b"" else (
            Location(there) / "config.toml"
        ).remove()
        assert trainer(there, steps=6).train().step == 6
        assert parse_recorded((Location(there) / "config.toml").read())["training"]["steps"] == 6
        Location(there).remove()


# Numbers, between two sittings


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("digit", "a number in it is not the one"),
        ("bytes", "line 2 is no text"),
        ("json", "line 2 is no JSON"),
        ("order", "line 2 is of step 3 and follows step 3"),
        ("short", "it ends at step 3 and lacks"),
        ("empty", "it ends at step 0 and lacks"),
    ],
)
def test_damaged_numbers_are_named_and_moved_away_they_stop_nothing(
    tmp_path: Path, how: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer(tmp_path).train()
    path = tmp_path / "metrics.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    place = rows[1].index(b'"loss": ') + 10
    digit = b"%d" % ((int(rows[1][place : place + 1]) + 1) % 10)
    changed = {
        "digit": [rows[0], rows[1][:place] + digit + rows[1][place + 1 :], *rows[2:]],
        "bytes": [rows[0], b"\xff\xfe" + rows[1][2:], *rows[2:]],
        "json": [rows[0], b"[" + rows[1][1:], *rows[2:]],
        "order": [rows[2], rows[2], rows[1], rows[3]],
        "short": rows[:3],
        "empty": [],
    }[how]
    path.write_bytes(b"".join(changed))
    with pytest.raises(DataError, match=rf"{said}.*put a copy in its place, or move it away"):
        trainer(tmp_path, steps=6).train()
    assert path.read_bytes() == b"".join(changed)
    path.unlink()
    assert trainer(tmp_path, steps=6).train().step == 6
    assert "metrics.jsonl is gone, and the run continues without its numbers up to step 4" in (
        capsys.readouterr().err
    )
    assert [line["step"] for line in lines(tmp_path)] == [5, 6]


def test_what_a_checkpoint_and_the_model_note_is_what_the_numbers_were(tmp_path: Path) -> None:
    trainer(tmp_path).train()
    content = (tmp_path / "metrics.jsonl").read_bytes()
    (_, last) = checkpoint.checkpoints(tmp_path / "checkpoints")
    noted = json.loads((last / "state.json").read_text())["metrics"]
    assert noted["bytes"] == len(content)


# Numbers, while they are written


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def save_alike(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("act", [remove, cut, empty, save_alike])
@pytest.mark.parametrize("step", [2, 4])
def test_numbers_that_are_removed_or_cut_are_written_again(
    tmp_path: Path, act: object, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    run = during(tmp_path / "run", step, lambda: act(path))  # type: ignore[operator]
    assert run.train().step == 4
    during(tmp_path / "whole", 99, None).train()
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert capsys.readouterr().err.count("is written again") == 1


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"step": 1000, "loss": 0.0}\n')


def replace(path: Path) -> None:
    path.unlink()
    path.write_text('{"step": 1, "loss": 7.0}\n', encoding="utf-8")


def change_in_place(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        digit = file.read(1)
        file.seek(-3, os.SEEK_END)
        file.write(b"1" if digit != b"1" else b"2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def put_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("act", [append, replace, change_in_place, put_a_folder])
@pytest.mark.parametrize("step", [2, 4])
def test_a_second_writer_ends_the_run_loudly_and_its_state_is_saved(
    tmp_path: Path, act: object, step: int
) -> None:
    run_dir = tmp_path / "run"
    path = run_dir / "metrics.jsonl"
    run = during(run_dir, step, lambda: act(path))  # type: ignore[operator]
    saved = 2 if step == 2 else 4
    message = rf"somebody else has written in .*metrics-kept\.jsonl.*the state of step {saved} is saved"
    with pytest.raises(ThalwegError, match=message):
        run.train()
    assert checkpoint.step_of(checkpoint.latest_complete(run_dir / "checkpoints", print) or Path()) == saved
    # As the message says:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (run_dir / "metrics-kept.jsonl").rename(path)
    during(run_dir, 99, None, steps=6).train()
    during(tmp_path / "whole", 99, None, steps=6).train()
    assert lines(run_dir) == lines(tmp_path / "whole")
    assert tensor_files(run_dir) == tensor_files(tmp_path / "whole")


def test_a_second_run_that_took_the_folder_ends_the_first_one(tmp_path: Path) -> None:
    """Somebody removed run.lock, and a second run began."""
    import fcntl

    held = []

    def take() -> None:
        (tmp_path / "run" / "run.lock").unlink()
        held.append((tmp_path / "run" / "run.lock").open("w"))
        fcntl.flock(held[0], fcntl.LOCK_EX)

    with pytest.raises(ThalwegError, match=r"another process .* is training in .*state of step 2 is saved"):
        during(tmp_path / "run", 2, take).train()
    held[0].close()
    assert during(tmp_path / "run", 99, None).train().step == 4


def test_a_lock_that_was_removed_is_made_again(tmp_path: Path) -> None:
    run = during(tmp_path / "run", 2, lambda: (tmp_path / "run" / "run.lock").unlink())
    assert run.train().step == 4
    assert (tmp_path / "run" / "run.lock").read_text() == f"{os.getpid()}\n"


def test_the_command_says_it_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", str(recipe(tmp_path, steps=2)), "--device", "cpu", "--quiet"]
    assert main([*command, "--run-dir", str(tmp_path / "run")]) == 0
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"\xff\xff\n")
    capsys.readouterr()
    assert main([*command, "training.steps=4", "--run-dir", str(tmp_path / "run")]) == 4
    said = capsys.readouterr().err
    assert "line 1 is no text" in said
    assert "make room" not in said
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert main([*command, "--run-dir", str(tmp_path / "run")]) == 4
    assert "its checkpoints are gone" in capsys.readouterr().err
