"""Signals at any step, on one process of two or on both; a process that dies takes the others along."""

import os
import random
import signal
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from run_processes import THALWEG, assert_gone, ended, started, steps_of, workers
from thalweg.cli.main import main
from thalweg.training.trainer import Trainer
from thalweg.types import ObjectiveValue, Step
from tiny_runs import lines, recipe, tensor_files, tiny

STEPS = 12


class Signals:
    """The velocity loss, during whose n-th evaluation a signal comes."""

    weight = 1.0

    def __init__(self, call: int, number: int) -> None:
        self.left, self.number = call, number

    def __call__(self, step: Step) -> ObjectiveValue:
        self.left -= torch.is_grad_enabled()
        if self.left == 0 and torch.is_grad_enabled():
            os.kill(os.getpid(), self.number)
        return ObjectiveValue(
            (step.prediction.velocities[-1] - step.plan.velocity).square().mean(dim=(1, 2, 3))
        )


def test_signals_at_random_steps_cost_nothing(tmp_path: Path) -> None:
    config = tiny(steps=STEPS, log_every=3, checkpoint_every=5)

    def train(folder: str, objective: Signals) -> tuple[int, bool, bool]:
        trainer = Trainer(
            config, tmp_path / folder, objectives={"own": objective}, accelerator="cpu", quiet=True
        )
        result = trainer.train()
        return result.step, result.interrupted, result.preempted

    assert train("whole", Signals(0, 0)) == (STEPS, False, False)
    seed = random.randrange(10**6)
    draws, step, stops = random.Random(seed), 0, []
    while step < STEPS:
        call, number = draws.randint(1, 4), draws.choice([signal.SIGTERM, signal.SIGUSR1])
        ended_at, interrupted, preempted = train("stopped", Signals(call, number))
        # In the last step there is nothing left to resume.
        stopped = step + call < STEPS
        assert (ended_at, interrupted, preempted) == (min(step + call, STEPS), stopped, stopped), seed
        step = ended_at
        stops.append(step)
    assert tensor_files(tmp_path / "stopped") == tensor_files(tmp_path / "whole"), (seed, stops)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "whole"), (seed, stops)


def test_two_processes_are_stopped_by_a_signal_to_either_or_both_and_resume(tmp_path: Path) -> None:
    path, run_dir, steps = recipe(tmp_path, validate_every=0, checkpoint_every=0), tmp_path / "run", 150
    command = ["train", str(path), f"training.steps={steps}", "--device", "cpu"]
    done = 0
    for targets, number in (((0,), signal.SIGTERM), ((1,), signal.SIGUSR1), ((0, 1), signal.SIGTERM)):
        process = started(
            [*THALWEG, *command, "--devices", "2", "--run-dir", str(run_dir)],
            run_dir, beyond=done + random.randint(1, 8),
        )  # fmt: skip
        others = workers(process, 1)
        everyone = [process.pid, others[0].pid]
        for target in targets:
            os.kill(everyone[target], number)
        code, _, said = ended(process)
        assert code == 75, said
        assert_gone(others, within=0)
        done = steps_of(run_dir / "metrics.jsonl")[-1]
        assert f"pre-empted and saved at step {done}; to resume: " in said
        assert "Traceback" not in said
    assert done < steps, "it was too fast to be stopped"
    process = started(
        [*THALWEG, *command, "--devices", "2", "--run-dir", str(run_dir)], run_dir, beyond=done
    )  # fmt: skip
    assert main([*command, "training.accumulate=2", "--run-dir", str(tmp_path / "one"), "--quiet"]) == 0
    code, out, said = ended(process)
    assert (code, out.strip()) == (0, str(run_dir / "model")), said
    assert [line["step"] for line in lines(run_dir)] == list(range(1, steps + 1))
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "run"))
    # As a whole: a key's bias has no gradient but rounding, which AdamW scales up to steps of lr.
    distance, size = torch.zeros(()), torch.zeros(())
    for name, tensor in one.items():
        distance += (tensor - two[name]).square().sum()
        size += tensor.square().sum()
    assert distance.sqrt() < 1e-3 * size.sqrt()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_takes_the_others_along(tmp_path: Path, victim: int) -> None:
    path, run_dir = recipe(tmp_path, validate_every=0), tmp_path / "run"
    command = [
        *THALWEG, "train", str(path), "training.steps=1000000", "--device", "cpu", "--devices", "2",
        "--run-dir", str(run_dir),
    ]  # fmt: skip
    process = started(command, run_dir, beyond=3)
    others = workers(process, 1)
    family = [psutil.Process(process.pid), *others]
    family[victim].kill()
    code, _, said = ended(process, timeout=30)
    assert_gone(others, within=15)
    if victim == 1:
        assert code == 1, said
        assert "error: process 1 was killed by SIGKILL; the run ends, and the same command resumes" in said
    else:
        assert code == -signal.SIGKILL
        assert "another process of the run has ended" in said or "is gone, so it ends too" in said
    assert "Traceback" not in said
