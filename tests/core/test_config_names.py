"""Names of runs lead to folders below runs/, and nowhere else."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.cli.main import main
from thalweg.config import load_config
from thalweg.config.run import name_of
from thalweg.errors import ConfigError

RECIPE = """
name = {name}
data = "digits"
backbone = "dit"
[objectives.velocity]
[training]
steps = 100
batch_size = 32
"""


def quoted(text):
    return '"' + "".join(f"\\U{ord(letter):08x}" for letter in text) + '"'


def loaded(folder, name):
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(name=quoted(name)))
    return load_config(recipe)


@pytest.mark.parametrize(
    "name",
    [
        "../../x", "..", ".", "a/../../b", "/etc/x", "//x", "a//b", "a/", "", " ", ".hidden", "a/.b", "a\\b",
        "a\0b", "a\nb", "a\rb", "\x1b[31ma", "a\x9b31m", "a\u202eb", "x" * 201, "é" * 101, "a/" * 600 + "a",
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["validate", "train"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, monkeypatch, capsys, name, command):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    Path("recipe.toml").write_text(RECIPE.format(name=quoted(name)), encoding="utf-8")
    words = ["config", "validate"] if command == "validate" else ["train"]
    assert main([*words, "recipe.toml"]) == 2
    err = capsys.readouterr().err
    assert "recipe.toml: name: must be a name that a folder can have" in err
    assert err.count("\n") == 1
    assert not any(letter in err for letter in "\0\r\x1b\x9b\u202e")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [inside / "recipe.toml"]


@pytest.mark.parametrize("name", ["SiT-XL/2", "DeepFlow-XL/2-3T, DINOv1", "Größe 3", "a.b", "-", "x" * 200])
def test_a_name_may_say_what_people_write(tmp_path, name):
    assert loaded(tmp_path, name).name == name


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=250))
def test_whatever_is_taken_lies_below_runs(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    try:
        name = loaded(folder, name).name
    except ConfigError:
        return
    place = os.path.normpath(folder / "runs" / name)
    assert place.startswith(f"{folder / 'runs'}/")


@settings(deadline=None)
@given(st.text(max_size=250))
def test_whatever_is_named_after_something_has_a_name(tmp_path_factory, text):
    name = name_of(text)
    assert loaded(tmp_path_factory.getbasetemp(), name).name == name
    assert "/" not in name


def test_the_name_of_a_file_is_checked_as_well(tmp_path):
    recipe = tmp_path / ".hidden.toml"
    recipe.write_text(RECIPE.replace("name = {name}\n", ""))
    with pytest.raises(ConfigError, match="begins with a dot"):
        load_config(recipe)
