"""Evaluations and drawings by two processes, some of which are ended on the way."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import evaluated
from evaluated import FAST, npz, run_folder
from thalweg.cli.main import main

TESTS = Path(evaluated.__file__).parent
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
THALWEG = [sys.executable, "-c", "import sys; from thalweg.cli.main import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run")


def test_two_processes_come_to_the_numbers_of_one(run, tmp_path):
    command = ["evaluate", str(run), "--protocol", "quick", "count=30", *FAST, "--batch-size", "8"]
    for devices in ("1", "2"):
        places = ["--work", str(tmp_path / devices), "--out", str(tmp_path / f"{devices}.json")]
        assert main([*command, *places, "--devices", devices]) == 0
    one, two = (json.loads((tmp_path / f"{devices}.json").read_text()) for devices in ("1", "2"))
    assert one["conditions"] == two["conditions"]
    for name, number in one["numbers"].items():
        assert two["numbers"][name]["value"] == pytest.approx(number["value"], rel=1e-5)
    assert (one["machine"]["processes"], two["machine"]["processes"]) == (1, 2)
    assert list((tmp_path / "2/unfinished").iterdir()) == []


def test_what_a_process_meets_is_said_by_the_first(tmp_path, capsys):
    """A row that is damaged where the first process does not look itself."""
    samples = npz(tmp_path / "a.npz", 40, (32, 32, 1))
    content = bytearray(samples.read_bytes())
    content[35_000] ^= 1
    samples.write_bytes(content)
    real = npz(tmp_path / "real.npz", 40, (32, 32, 1), seed=1)
    command = [
        "evaluate", str(samples), "--reference", str(real), "--metrics", "frechet_distance", "--devices", "2",
        "--extractor", "small_classifier", "judges.small_classifier.extractor.steps=2",
        "--work", str(tmp_path / "work"), "--out", str(tmp_path / "p.json"),
    ]  # fmt: skip
    assert main(command) == 4
    said = capsys.readouterr().err
    assert "a.npz is damaged" in said
    assert "Traceback" not in said
    assert not (tmp_path / "p.json").exists()


def waiting_for(process, condition):
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    process.kill()
    pytest.fail(process.communicate()[1])


def kept(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*unfinished*/*.safetensors")}


def ended(arguments, folder, how, beyond):
    """Start it, end it once the second process has drawn a sample beyond, and say what it said."""
    process = subprocess.Popen([*THALWEG, *arguments], env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
    waiting_for(process, lambda: any(int(name.partition("-")[0]) >= beyond for name in kept(folder)))
    process.send_signal(how)
    return process, process.communicate(timeout=60)[1]


def test_a_drawing_that_is_ended_goes_on(run, tmp_path):
    out = tmp_path / "x.npz"
    how = ["count=100", "batch_size=4", "sampler=euler", "sampler.steps=60", "--precision", "32-true"]
    arguments = ["sample", str(run), str(out), *how, "--devices", "2"]
    process, said = ended(arguments, tmp_path, signal.SIGINT, beyond=50)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    first = kept(tmp_path)
    assert 0 < len(first) < 25
    # The other process sees only when it next speaks that nobody listens, and holds the lock until then.
    ended(arguments, tmp_path, signal.SIGKILL, beyond=75)
    assert not out.exists()
    assert first.items() <= kept(tmp_path).items()
    lock = next(tmp_path.glob("*unfinished*")) / "lock"
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
    assert main(["--debug", *arguments]) == 0
    assert main(["sample", str(run), str(tmp_path / "one.npz"), *how]) == 0
    two, one = (np.load(path)["arr_0"].astype(int) for path in (out, tmp_path / "one.npz"))
    assert len(two) == 100
    assert np.abs(two - one).max() <= 1
    assert not list(tmp_path.glob("*unfinished*"))
