"""Signals at any moment of a command's beginning: the exit code and one sentence, never a traceback."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = """
data = "digits"
[backbone]
type = "dit"
depth = 2
width = 32
heads = 2
patch = 2
[objectives.velocity]
[training]
steps = 100000
batch_size = 8
log_every = 1000
validate_every = 0
sample_every = 0
checkpoint_every = 0
"""

COMMANDS = {
    "train": ["train", "recipe.toml", "--run-dir", "run", "--device", "cpu"],
    "fit-head": ["fit-head", "recipe.toml", "--after", "1", "--run-dir", "run"],
    "sample": ["sample", "recipe.toml", "out"],
    "evaluate": ["-p", "no:refiners", "evaluate", "recipe.toml"],
    "encode": ["encode", "recipe.toml", "out", "--size", "8"],
    "ablate": ["ablate", "recipe.toml", "--axis", "training.optimizer.lr=0.1,0.2", "--out", "ablation"],
    "bench": ["bench", "smoke", "--out", "bench", "training.steps=100000"],
    "tune": ["tune", "guidance", "recipe.toml", "--out", "tuning"],
    "quickstart": ["quickstart", "--out", "quick", "--steps", "100000"],
}


def is_held(process):
    """Whether the process has taken SIGTERM over, as the kernel knows."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def stopped(tmp_path, words, number, delay):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    process = subprocess.Popen(
        [sys.executable, "-m", "thalweg", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not is_held(process) and process.poll() is None:
        time.sleep(0.0005)
    time.sleep(delay)
    ended = process.poll() is not None
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    return process.returncode, err, ended


TRAINING = "before training began; to resume: thalweg"

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
@pytest.mark.parametrize("seed", range(2))
def test_training_is_stopped_at_any_moment(tmp_path, name, seed):
    moment = random.Random(f"{name} {seed}").choice([0.002, 0.02, 0.1, 0.5, 2.0])
    delay = moment * random.Random(seed).uniform(0.5, 1.5)
    code, err, _ = stopped(tmp_path, COMMANDS["train"], getattr(signal, name), delay)
    assert code == (130 if name == "SIGINT" else 75), (delay, err)
    assert "Traceback" not in err
    if name != "SIGINT":
        told = (f"stopped by {name}; the same command resumes", "pre-empted and saved", TRAINING)
        assert sum(one in err for one in told) == 1, err


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_commands_that_resume_say_so_when_they_are_stopped_early(tmp_path, command, name):
    delay = random.Random(f"{command} {name}").uniform(0.0, 0.3)
    code, err, ended = stopped(tmp_path, COMMANDS[command], getattr(signal, name), delay)
    if ended:
        pytest.skip("the machine was faster than the signal")
    assert code == (130 if name == "SIGINT" else 75), (delay, err)
    assert "Traceback" not in err
    said = ("", "interrupted; the same command resumes")
    said = said if name == "SIGINT" else (f"stopped by {name}; the same command resumes",)
    begun = "interrupted" if name == "SIGINT" else "pre-empted"
    trains = command in ("train", "fit-head") and err.startswith(f"{begun} {TRAINING} {command} ")
    assert err.strip() in said or trains


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGINT", 130)])
def test_a_signal_while_an_object_is_taken_apart_is_not_lost(tmp_path, name, code):
    program = (
        "import signal, sys, time\n"
        "import thalweg_eval.evaluation.evaluate as evaluation\n"
        "from thalweg.cli.main import main\n"
        "class Last:\n"
        "    def __del__(self):\n"
        f"        signal.raise_signal(signal.{name})\n"
        "        time.sleep(0)\n"
        "def evaluate(*_, **__):\n"
        "    Last()\n"
        "    time.sleep(60)\n"
        "evaluation.evaluate = evaluate\n"
        "sys.argv = ['thalweg', 'evaluate', 'run']\n"
        "sys.exit(main())\n"
    )
    (tmp_path / "recipe.toml").write_text(RECIPE)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "the same command resumes" in done.stderr


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGINT", 130)])
def test_a_signal_before_anybody_catches_it_is_one_sentence(name, code):
    program = (
        "import signal, sys\n"
        "sys.argv = ['thalweg', 'sample', 'run', 'out']\n"
        "import thalweg.cli.starting\n"
        f"signal.raise_signal(signal.{name})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    said = "" if name == "SIGINT" else f"stopped by {name}; the same command resumes\n"
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("seed", range(4))
def test_other_commands_end_as_any_program(tmp_path, seed):
    delay = random.Random(seed).uniform(0.0, 0.2)
    for number, code in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)):
        found, err, ended = stopped(tmp_path, ["summary", "recipe.toml"], number, delay)
        if not ended:
            assert (found, err.strip()) == (code, ""), delay


def test_what_is_ignored_stays_ignored(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    code = (
        "import os, signal, subprocess, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'thalweg', 'summary', 'recipe.toml'])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not is_held(process) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
