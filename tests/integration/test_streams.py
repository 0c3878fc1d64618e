"""stdout and stderr that are closed, full or not read, and locales that lack letters: as shells see them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """
name = "müller"
data = "digits"
backbone = {type = "dit", width = 16, depth = 2, heads = 2, patch = 4}
objectives.velocity = {}
[training]
steps = 2
batch_size = 8
precision = "32-true"
compile = "off"
validate_every = 0
sample_every = 0
"""
NEVER = ("Traceback", "Exception ignored", "unexpected")

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")


def shell(command: str, folder: Path, **environment: str) -> "tuple[int, str, str]":
    """Run a line of bash in which $T is thalweg; exit code, stdout and stderr."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "T": f"{sys.executable} -m thalweg", **environment},
        capture_output=True,
        check=False,
        timeout=200,
    )
    said = done.stderr.decode("utf-8", "backslashreplace")
    assert not any(word in said for word in NEVER), said
    return done.returncode, done.stdout.decode("utf-8", "backslashreplace"), said


@pytest.mark.parametrize("command", ["plugins list", "--help", "plugins list --json", "--version"])
@pytest.mark.parametrize(
    ("stdout", "why"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")]
)
def test_results_that_cannot_be_shown_are_an_error(tmp_path, command, stdout, why):
    code, _, said = shell(f"$T {command} {stdout}", tmp_path)
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith(f"error: stdout cannot be written ({why})")


def test_it_is_found_before_the_work(tmp_path):
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    for stdout in (">&-", ">/dev/full"):
        assert shell(f"$T train r.toml --run-dir run {stdout}", tmp_path)[0] == 1
    assert not (tmp_path / "run").exists()


def test_a_reader_that_has_had_enough_is_no_reason_to_say_anything(tmp_path):
    code, _, said = shell("set -o pipefail; $T plugins list | true", tmp_path)
    assert (code, said) == (1, "")


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_messages_that_cannot_be_said_change_no_exit_code(tmp_path, stderr):
    code, shown, _ = shell(f"$T plugins list {stderr}", tmp_path)
    assert code == 0
    assert "euler" in shown
    assert shell(f"$T config validate nothing.toml {stderr}", tmp_path)[0] == 2
    assert shell(f"$T config validate nothing.toml >&- {stderr}", tmp_path)[0] == 1


@pytest.mark.parametrize("streams", ["<&- 2>&-", "2>/dev/full", "2> >(true)"])
def test_training_continues_without_stderr(tmp_path, streams):
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    code, shown, _ = shell(f"$T train r.toml --run-dir run --device cpu {streams}", tmp_path)
    assert (code, shown) == (0, "run/model\n")
    # No message has got into a file that was opened where stderr had been.
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines if "loss" in line]


def test_training_whose_reader_goes_is_finished_and_says_so(tmp_path):
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    code, _, said = shell(
        "set -o pipefail; $T train r.toml --run-dir run --device cpu --quiet | true", tmp_path
    )
    assert code == 1
    assert "stdout cannot be written (Broken pipe)" in said
    assert (tmp_path / "run" / "model" / "model.json").is_file()


def c_locale(tmp_path: Path) -> "dict[str, str]":
    return {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def latin_1(tmp_path: Path) -> "dict[str, str]":
    if shutil.which("localedef") is None:
        pytest.skip("there is no localedef")
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", tmp_path / "de_DE"], capture_output=True, check=False
    )
    if made.returncode not in (0, 1) or not (tmp_path / "de_DE").is_dir():
        pytest.skip("localedef has no de_DE")
    return {"LOCPATH": str(tmp_path), "LC_ALL": "de_DE", "LANG": "de_DE", "PYTHONUTF8": ""}


@pytest.mark.parametrize("locale", [c_locale, latin_1])
def test_what_one_locale_trains_every_other_opens(tmp_path, locale):
    environment = locale(tmp_path)
    folder = tmp_path / "grün"
    folder.mkdir()
    (folder / "größe.toml").write_text(RECIPE, encoding="utf-8")
    code, shown, said = shell("$T train größe.toml --device cpu --quiet", folder, **environment)
    assert code == 0, said
    assert shown in ("runs/m\\xfcller/model\n", "runs/müller/model\n", "runs/m\\xc3\\xbcller/model\n")
    recorded = (folder / "runs" / "müller" / "config.toml").read_text(encoding="utf-8")
    assert 'name = "müller"' in recorded
    options = "count=1 sampler=euler sampler.steps=1"
    for number, there in enumerate([{}, environment]):
        code, _, said = shell(f"$T sample runs/müller out-{number}-ö {options}", folder, **there)
        assert code == 0, said
    code, shown, said = shell("$T config show größe.toml --json", folder, **environment)
    assert code == 0, said
    assert json.loads(shown)["name"] == "müller"
