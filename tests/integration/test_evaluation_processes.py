"""Evaluations and drawings by two processes, some of which are ended on the way."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import evaluated
from evaluated import FAST, npz, run_folder
from thalweg.cli.main import main

TESTS = Path(evaluated.__file__).parent
PATHS = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PATHS}
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
        "--extractor", "small_classifier", "features.small_classifier.extractor.steps=2",
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


def children(pid):
    """Processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()]


def wait_for_lock(folder):
    """Until no process holds the unfinished work: those that a killed one had started stop at once."""
    with (next(folder.glob("*unfinished*")) / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def ended(arguments, folder, how, whom=lambda pid: pid):
    """Start it, end it or one that it has started once there are new samples of the second half, and say what
    it said."""
    before = kept(folder)
    process = subprocess.Popen([*THALWEG, *arguments], env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
    waiting_for(process, lambda: any(int(name[:9]) >= 24 for name in kept(folder) if name not in before))
    os.kill(whom(process.pid), how)
    return process, process.communicate(timeout=60)[1]


def content(folder):
    """All files below, of notes what does not depend on time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(folder))
            found[name] = path.read_bytes()
            if path.suffix == ".json":
                note = json.loads(found[name])
                found[name] = {key: note[key] for key in note if key not in ("seconds", "digest")}
    return found


@pytest.mark.parametrize("name", ["x.npz", "x.tar", "pngs", "tensors"])
def test_samples_are_the_same_to_the_byte_whichever_process_is_killed(run, tmp_path, monkeypatch, name):
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    for place in ("whole", "cut"):
        (tmp_path / place).mkdir()
    how = ["count=48", "batch_size=2", "sampler=euler", "sampler.steps=20", "--precision", "32-true"]
    how += ["--device", "cpu", *(["--png"] if name == "pngs" else [])]
    assert main(["sample", str(run), str(tmp_path / "whole" / name), *how]) == 0
    cut = tmp_path / "cut"
    arguments = ["sample", str(run), str(cut / name), *how, "--devices", "2"]

    process, said = ended(arguments, cut, signal.SIGKILL, lambda pid: children(pid)[0])
    assert process.returncode == 1, said
    assert "error: process 2 of 2 was killed by signal 9 (SIGKILL)" in said
    assert said.rstrip().endswith("run the same command to resume")
    assert "Traceback" not in said
    first = kept(cut)
    assert 0 < len(first) < 24

    process, said = ended(arguments, cut, signal.SIGINT)
    assert process.returncode == 130, said
    assert "the same command resumes" in said
    assert "Traceback" not in said
    second = kept(cut)
    assert first.items() < second.items()
    assert len(second) < 24

    ended(arguments, cut, signal.SIGKILL)
    assert not (cut / name).exists()
    wait_for_lock(cut)
    assert second.items() <= kept(cut).items()

    assert main(["--debug", *arguments]) == 0
    assert not list(cut.glob("*unfinished*"))
    assert content(cut) == content(tmp_path / "whole")
