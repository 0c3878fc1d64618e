"""``thalweg evaluate``: a table, or the passport; exit codes."""

import json

import pytest

from evaluated import FAST, npz, run_folder
from thalweg.cli.main import main
from thalweg.image_sets.npz import NpzImages

QUICK = ["--protocol", "quick", "count=40", *FAST]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run")


def test_numbers_are_printed_and_the_passport_is_written(run, tmp_path, capsys):
    out = tmp_path / "new" / "p.json"
    work = ["--work", str(tmp_path / "work")]
    assert main(["evaluate", str(run), *QUICK, "--out", str(out), *work]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].split() == ["number", "value", "extractor"]
    assert "fd_small_classifier" in said.out
    assert "samples: 40 of 40" in said.err
    assert main(["evaluate", str(run), *QUICK, "--json", *work]) == 0
    told = json.loads(capsys.readouterr().out)
    written = json.loads(out.read_text())
    assert told["numbers"] == written["numbers"]
    assert told["conditions"] == written["conditions"]


def test_ctrl_c_says_how_to_resume(tmp_path, capsys, monkeypatch):
    read, calls = NpzImages.read, []

    def reading(self, start, stop):
        calls.append(start)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return read(self, start, stop)

    monkeypatch.setattr(NpzImages, "read", reading)
    samples, real = npz(tmp_path / "a.npz", 30), npz(tmp_path / "b.npz", 30, seed=1)
    command = [
        "evaluate", str(samples), "--reference", str(real), "--metrics", "frechet_distance,accuracy",
        "--extractor", "small_classifier", "features.small_classifier.extractor.steps=2",
        "--batch-size", "8", "--work", str(tmp_path / "work"),
    ]  # fmt: skip
    assert main(command) == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert main([*command, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["numbers"]) == {
        "fd_small_classifier",
        "accuracy_small_classifier",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--metrics fid"),
        (["--metrics", "fid", "--protocol", "qick"], 2, "'quick'"),
        (["--metrics", "frechet"], 2, "'frechet_distance'"),
        (["--metrics", "fid@incepton"], 2, "'inception'"),
        ([*QUICK, "--reference", "gone.safetensors"], 4, "does not exist"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(run, tmp_path, capsys, arguments, code, message):
    out = ["--out", str(tmp_path / "p.json"), "--work", str(tmp_path / "work")]
    assert main(["evaluate", str(run), *arguments, *out]) == code
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_subject_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "gone"), *QUICK]) == 4
    assert "gone does not exist" in capsys.readouterr().err
