"""Processes started by fabric run, torchrun and SLURM train together as those of --devices do."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import torch.distributed

from run_processes import THALWEG, ended, start
from thalweg.cli.main import main
from thalweg.errors import ConfigError
from thalweg.training.launch.fabric import make_fabric
from thalweg.training.launch.signals import Interruption
from tiny_runs import lines, recipe

SCRIPT = """
import sys, thalweg
if __name__ == "__main__":
    thalweg.Trainer(thalweg.load_config(sys.argv[1]), sys.argv[2]).train()
"""
RUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by one process that accumulates."""
    folder = tmp_path_factory.mktemp("alone")
    command = ["train", str(recipe(folder, steps=4, accumulate=2)), "--device", "cpu", "--quiet"]
    assert main([*command, "--run-dir", str(folder / "run")]) == 0
    return folder / "run"


def assert_alike(run_dir: Path, alone: Path) -> None:
    for two, one in zip(lines(run_dir), lines(alone), strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    assert (run_dir / "model" / "model.safetensors").is_file()


def test_torchrun_trains_and_a_refusal_is_said_once(tmp_path: Path, alone: Path) -> None:
    path, run_dir = recipe(tmp_path, steps=4), tmp_path / "run"
    command = ["-m", "thalweg", "train", str(path), "--device", "cpu", "--run-dir", str(run_dir)]
    code, out, said = ended(start([*RUN, "--standalone", *command]))
    assert code == 0, said
    assert out.splitlines() == [str(run_dir / "model")]
    assert_alike(run_dir, alone)
    code, _, said = ended(start([*RUN, "--standalone", *command, "--resume", "never"]))
    assert code != 0
    assert said.count("holds a run already") == 1
    # torchrun may end the second process before it has left by itself.
    assert said.count("exitcode  : 2") >= 1


def test_fabric_run_trains(tmp_path: Path, alone: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    path, run_dir = recipe(tmp_path, steps=4), tmp_path / "run"
    code, _, said = ended(
        start(
            [
                sys.executable, "-m", "lightning_fabric.cli", "--accelerator=cpu", "--devices=2",
                f"--main-port={free_port()}", str(tmp_path / "script.py"), str(path), str(run_dir),
            ]
        )
    )  # fmt: skip
    assert code == 0, said
    assert_alike(run_dir, alone)


def test_slurm_trains_on_two_machines(tmp_path: Path, alone: Path) -> None:
    path, run_dir = recipe(tmp_path, steps=4), tmp_path / "run"
    command = [*THALWEG, "train", str(path), "--device", "cpu", "--run-dir", str(run_dir)]
    common = {
        "SLURM_NTASKS": "2", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost", "SLURM_LOCALID": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(),
    }  # fmt: skip
    tasks = [
        start(command, **common, SLURM_PROCID=rank, SLURM_NODEID=rank, SLURM_STEP_ID="0")
        for rank in ("0", "1")
    ]
    (code, out, said), (other_code, other_out, other_said) = map(ended, tasks)
    assert (code, other_code) == (0, 0), said + other_said
    assert (out.strip(), other_out) == (str(run_dir / "model"), "")
    assert "2 x cpu, data-parallel (DDP)" in said
    assert_alike(run_dir, alone)


def test_other_numbers_than_the_launcher_started_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
    for name, value in {"TORCHELASTIC_RUN_ID": "x", **placed}.items():
        monkeypatch.setenv(name, value)
    assert torch.distributed.is_torchelastic_launched()
    chosen: dict[str, Any] = {
        "accelerator": "cpu",
        "strategy": "auto",
        "precision": "32-true",
        "timeout": 9.0,
    }
    for devices, nodes in (("3", 1), ("auto", 3)):
        with pytest.raises(ConfigError, match="torchrun started 2 processes on each of 2 machines"):
            make_fabric(devices=devices, nodes=nodes, **chosen)
    fabric = make_fabric(devices="auto", nodes=1, **chosen)
    assert (fabric.world_size, type(fabric.strategy).__name__) == (4, "DDPStrategy")


def test_a_launcher_that_passes_signals_on_does_not_end_the_run_at_once() -> None:
    echoed = Interruption(echoed=True)
    echoed._note(15, None)
    echoed._note(2, None)
    assert echoed.signal == 15
    plain = Interruption()
    plain._note(15, None)
    with pytest.raises(KeyboardInterrupt):
        plain._note(2, None)
