"""Projects of ``thalweg init`` and the completion of shells."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from thalweg import files
from thalweg.cli.completion import VARIABLE
from thalweg.cli.main import COMMANDS, main
from thalweg_authoring.project.writing import FILES


def test_a_project_holds_a_valid_recipe_and_a_script(tmp_path, capsys):
    folder = tmp_path / "my digits"
    assert main(["init", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(folder / name) for name in FILES]
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert tomllib.loads((folder / "recipe.toml").read_text())["name"] == "my-digits"
    ast.parse((folder / "train.py").read_text())
    assert main(["config", "validate", str(folder / "recipe.toml")]) == 0


def test_an_empty_folder_is_taken_and_the_one_we_stand_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "."]) == 0
    assert tomllib.loads((tmp_path / "recipe.toml").read_text())["name"] == tmp_path.name


@pytest.mark.parametrize("there", ["file", "folder", "hidden"])
def test_what_is_there_is_left_alone(tmp_path, capsys, there):
    target = tmp_path / "project"
    if there == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / (".hidden" if there == "hidden" else "recipe.toml")).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["init", str(target)]) == 2
    assert "name a new or an empty one" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_disk_that_fails_leaves_nothing(tmp_path, capsys, monkeypatch):
    class Full(files.Disk):
        moves = 0

        def move(self, source, target):
            self.moves += 1
            if self.moves == 2:
                raise OSError(28, "No space left on device")
            super().move(source, target)

    monkeypatch.setattr(files, "disk", Full())
    assert main(["init", str(tmp_path / "project")]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "project")]) == 2
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(capsys, shell):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert VARIABLE in script
    assert f"{shell}_complete" in script
    if shutil.which(shell):
        option = "-n" if shell != "fish" else "--no-execute"
        done = subprocess.run([shell, option], input=script, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_shell_that_is_not_known(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "'tcsh' is not one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("thalweg pl", {"plugins"}),
        ("thalweg ", set(COMMANDS)),
        ("thalweg plugins list --ki", {"--kind"}),
        ("thalweg train --resume ", {"auto", "never"}),
    ],
)
def test_bash_completes_without_torch(words, found):
    given = words.split(" ")
    environment = {
        **os.environ, VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(given) - 1),
        "THALWEG_PLUGINS": "core",
    }  # fmt: skip
    code = "import sys\nfrom thalweg.cli.main import main\nmain([])\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == found


@pytest.mark.parametrize("words", [["init", "project"], ["plugins", "new", "lion", "--kind", "sampler"]])
def test_nothing_is_written_through_a_link(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    for name in ("project", "thalweg-lion"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    assert main(words) == 2
    assert not (tmp_path / "elsewhere").exists()
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", ["x" * 300, "\x1b[31m\n", "\udc80", "-" * 50])
def test_any_name_of_a_project_is_taken_or_refused_in_a_sentence(tmp_path, capsys, name):
    code = main(["init", "--", str(tmp_path / name)])
    err = capsys.readouterr().err
    assert code in (0, 2)
    assert "unexpected" not in err
    assert not any(letter in err for letter in "\0\x1b\r")
    if code == 0:
        assert main(["config", "validate", str(tmp_path / name / "recipe.toml")]) == 0


@pytest.mark.parametrize(
    "name", ["x" * 300, "../lion", "/lion", "a\0b", "a\nb", "\x1b[31m", ".lion", "", "a\\b"]
)
def test_a_name_of_a_plugin_leads_nowhere_else(tmp_path, capsys, name):
    assert main(["plugins", "new", "--kind", "sampler", "--into", str(tmp_path / "in"), "--", name]) == 2
    assert not any(letter in capsys.readouterr().err for letter in "\0\x1b\r")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_leaves_nothing_of_a_plugin(tmp_path, capsys, monkeypatch):
    class Full(files.Disk):
        writes = 0

        def write(self, descriptor, content):
            self.writes += 1
            if self.writes == 5:
                raise OSError(28, "No space left on device")
            return super().write(descriptor, content)

    monkeypatch.setattr(files, "disk", Full())
    assert main(["plugins", "new", "lion", "--kind", "sampler", "--into", str(tmp_path)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
