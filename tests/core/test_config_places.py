"""Recipes as editors save them, and the paths that stand in them."""

import os
from pathlib import Path

import attrs
import pytest

from image_makers import image_folder
from thalweg.cli.main import main
from thalweg.config import load_config, structure
from thalweg.config.dumping import to_toml
from thalweg.config.recipes import read_toml
from thalweg.data.inspection import inspect
from thalweg.errors import ConfigError
from thalweg.storage.places import plain_place

RECIPE = """
[data]
type = "images"
size = 8
source = { type = "folder", url = "~/pets" }
[backbone]
type = "dit"
patch = 4
width = 16
depth = 2
heads = 2
[objectives]
velocity = {}
[training]
steps = 1
batch_size = 2
precision = "32-true"
compile = "off"
validate_every = 0
sample_every = 0
[sampling]
sampler = { type = "euler", steps = 1 }
count = 2
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a recipe, and images that it names by ``~``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    image_folder(tmp_path / "pets")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def test_a_byte_order_mark_is_no_part_of_a_recipe(home):
    (home / "marked.toml").write_bytes(b"\xef\xbb\xbf" + RECIPE.encode())
    assert read_toml(home / "marked.toml") == read_toml(home / "tiny.toml")
    assert main(["config", "validate", str(home / "marked.toml")]) == 0


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_recipe_in_another_encoding_is_told_to_be_saved_as_utf_8(home, encoding):
    (home / "other.toml").write_bytes(f'name = "müller"\n{RECIPE}'.encode(encoding))
    with pytest.raises(ConfigError, match=r"other\.toml is no UTF-8 text .*save it as UTF-8"):
        load_config(home / "other.toml")


def test_the_home_folder_stands_for_itself_in_every_path(home, capsys):
    train = ["train", "~/tiny.toml", "--run-dir=~/run", "--quiet", "--device", "cpu"]
    assert main(train) == 0
    assert main(["sample", "~/run", "~/out.npz", "count=3"]) == 0
    assert main(["report", "~/run", "-o", "~/report.html"]) == 0
    assert main(["data", "inspect", "~/pets"]) == 0
    assert main(["encode", "~/pets", "~/shards", "--size", "8", "--autoencoder", "identity"]) == 0
    capsys.readouterr()
    options = ["--metrics", "frechet_distance", "--extractor", "small_classifier", "--out=~/scored.json"]
    assert main(["evaluate", "~/out.npz", "--reference=~/pets", *options, "crop=8", "--work=~/work"]) == 0
    for name in ("run/model", "out.npz", "report.html", "shards/index.json", "scored.json", "work"):
        assert (home / name).exists(), name
    assert not Path("~").exists()


@attrs.frozen
class Places:
    """Paths in a config."""

    one: Path
    several: tuple[Path, ...] = ()


def test_paths_of_a_config_are_written_out(home):
    read = structure(Places, {"one": "~/x", "several": ["~", "y/~"]})
    assert read == Places(home / "x", (home, Path("y/~")))
    assert plain_place("~nobody-of-this-name/x") == "~nobody-of-this-name/x"


BYTES = os.fsdecode(b"caf\xe9")


def test_bytes_that_are_no_text_are_refused_before_anything_is_made(home, capsys):
    folder = image_folder(home / BYTES)
    run = ["train", str(home / "tiny.toml"), f"data.source.url={folder}", "--run-dir", str(home / "run")]
    assert main(run) == 2
    assert "data.source.url: holds bytes that are no UTF-8 text" in capsys.readouterr().err
    assert not (home / "run").exists()
    with pytest.raises(ConfigError, match=r"no UTF-8 text, at url = .*caf\\udce9"):
        to_toml({"seed": 1, "url": f"{home}/{BYTES}"})
    assert inspect(str(folder), {})["classes"] == 3
    shards = ["encode", str(folder), str(home / "shards"), "--size", "8", "--autoencoder", "identity"]
    assert main(shards) == 0


def test_classes_and_images_with_such_names_are_trained_on(home, capsys):
    (home / "pets/dog").rename(home / "pets" / BYTES)
    assert main(["data", "inspect", str(home / "pets"), "--json"]) == 0
    assert '"caf\\udce9"' in capsys.readouterr().out
    train = ["train", str(home / "tiny.toml"), "--run-dir", str(home / "run"), "--quiet"]
    assert main([*train, "--device", "cpu"]) == 0
