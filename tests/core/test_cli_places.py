"""Every path of every command, given a URL: used, or refused by name; and no folder is called ``s3:``."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from safetensors.torch import save_file

import thalweg
from golden_files import golden
from thalweg.cli.local import LocalPath, Place
from thalweg.cli.main import cli, main
from thalweg.config import load_config
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.generation.generate import generate
from thalweg.generation.target import target_of
from thalweg.image_sets.files import open_images
from thalweg.saved_network import save
from thalweg.storage import Location
from thalweg.storage.places import local_path, plain_place
from thalweg.training.run_directory import RunDirectory
from thalweg_authoring.project.writing import start
from thalweg_authoring.scaffold import new_plugin
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.running import run as run_ablation
from thalweg_eval.analysis.analyse import analyse
from thalweg_eval.evaluation.evaluate import evaluate
from thalweg_eval.quickstart.flow import Settings
from thalweg_eval.quickstart.flow import run as run_quickstart
from thalweg_eval.report import write
from thalweg_eval.report.model import Page

# What is no place although it is text, by its name in the help: all else that takes text is looked at.
WORDS = {
    *("autoencoder", "axes", "backend", "data", "device", "devices", "extractor", "host", "kind", "labels"),
    *("metrics", "name", "names", "overrides", "p", "prompts", "resume", "rules", "settings", "shell"),
    *(
        "strategy",
        "teachers",
        "text",
        "what",
        "dtype",
        "precision",
        "equal",
        *("target", "average", "license", "message"),
        "protocol",
        "over",
        "branches_at",
        *("method", "scales", "strengths", "intervals", "around", "by", "fit"),
        *("samplers", "steps", "tolerances"),
    ),
}
REQUIRED = {
    "compare": ["a.json", "b.json"],
    "import": ["sit", "a.pt", "out"],
    "encode": ["images", "out", "--size", "8"],
    "plugins new": ["mine", "--kind", "sampler"],
    "sample": ["run", "out"],
    "fit-head": ["run", "--after", "1", "--run-dir", "out"],
    "ablate": ["r.toml", "--axis", "seed=1,2"],
    "export": ["run", "out", "--to", "safetensors"],
    "push": ["run", "hf://owner/name"],
}
NETWORK = thalweg.compose(
    backbone={"type": "dit", "width": 8, "heads": 2, "depth": 1}, facts=Facts(shape=(1, 8, 8))
)
RECIPE = """
data = "digits"
backbone = {type = "dit", width = 16, depth = 2, heads = 2, patch = 4}
objectives.velocity = {}
training = {steps = 2, batch_size = 8}
"""


def commands(group: click.Command, words: "tuple[str, ...]" = ()) -> "Iterator[tuple[str, click.Command]]":
    if not isinstance(group, click.Group):
        yield " ".join(words), group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from commands(command, (*words, name))


def names() -> "list[str]":
    return [path.name for path in Path().iterdir()]


def is_place(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, LocalPath | Place)


PLACES = [(words, one) for words, command in commands(cli) for one in command.params if is_place(one)]
IDS = [f"{words} {one.name}" for words, one in PLACES]


def called(words: str, parameter: click.Parameter, place: str) -> "list[str]":
    """The command line in which a parameter is that place."""
    command = next(command for name, command in commands(cli) if name == words)
    arguments = [one for one in command.params if isinstance(one, click.Argument) and one.name in NAMED]
    given = list(REQUIRED.get(words, ["x"] * sum(one.required for one in arguments)))
    if isinstance(parameter, click.Option):
        return [*words.split(), *given, parameter.opts[-1], place]
    given[arguments.index(parameter)] = place
    return [*words.split(), *given]


NAMED = {
    *("folder", "recipe", "url", "source", "out", "model", "file", "subject", "passports", "runs", "name"),
    *("shell", "kind", "what", "dest"),
}


def test_all_that_takes_text_is_a_place_or_known_to_be_none():
    for words, command in commands(cli):
        for one in command.params:
            text = type(one.type) is type(click.STRING) or (
                isinstance(one.type, click.Path) and not is_place(one)
            )
            if text and (words, one.name) not in {("import", "source"), ("plugins check", "what")}:
                assert one.name in WORDS, f"{words}: {one.name} takes a path as it comes"
    assert len(PLACES) > 25


@pytest.mark.parametrize(("words", "parameter"), PLACES, ids=IDS)
@pytest.mark.parametrize("url", ["s3://bucket/x", "https://host.invalid/x.toml", "gs://bucket/x"])
def test_a_url_is_used_or_refused_by_name(tmp_path, monkeypatch, capsys, words, parameter, url):
    monkeypatch.chdir(tmp_path)
    if isinstance(parameter.type, Place):
        # It arrives whole at what opens it, which other tests see to.
        assert parameter.type.convert(url, parameter, None) == url
        return
    assert main(called(words, parameter, url)) == 2
    said = capsys.readouterr().err
    assert url in said
    assert "must be a path on this machine; " in said
    name = (
        parameter.opts[-1]
        if isinstance(parameter, click.Option)
        else parameter.make_metavar(click.Context(click.Command(words))).strip("[].")
    )
    assert f"'{name}" in said
    assert names() == []


@pytest.mark.parametrize(("words", "parameter"), PLACES, ids=IDS)
def test_a_file_url_is_a_path(tmp_path, words, parameter):
    there = parameter.type.convert(f"file://{tmp_path}/a%20b", parameter, None)
    assert str(there) == f"{tmp_path}/a b"


@pytest.mark.parametrize("place", ["bogus://x/y", "file://relative", "zip::s3://b/x"])
def test_what_is_no_storage_is_a_usage_error(capsys, place):
    assert main(["data", "inspect", place]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("url", ["s3://bucket/x", Path("s3://bucket/x"), "https://ada:hush-hush-1@host/x"])
@pytest.mark.parametrize(
    "call",
    [
        lambda url: generate("run", url),
        lambda url: evaluate("run", metrics=["frechet_distance"], out=url),
        lambda url: evaluate("run", metrics=["frechet_distance"], save_reference=url),
        lambda url: evaluate("run", metrics=["frechet_distance"], work=url),
        lambda url: save(url, NETWORK),
        lambda url: start(url),
        lambda url: new_plugin("mine", "sampler", url),
        lambda url: run_quickstart(url, Settings(), print),
        lambda url: run_ablation(read_ablation(Path("r.toml"), axes=("seed=1,2",)), url, print),
        lambda url: write(Page("x", "y", ()), url),
        lambda url: analyse("run", url),
    ],
    ids=[
        "draw",
        "out",
        "reference",
        "work",
        "save",
        "start",
        "plugin",
        "quickstart",
        "ablation",
        "report",
        "analysis",
    ],
)
def test_python_callers_get_the_sentence_too(tmp_path, monkeypatch, call, url):
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(RECIPE, encoding="utf-8")
    with pytest.raises(ConfigError, match="must be a path on this machine") as refused:
        call(url)
    assert "hush-hush" not in str(refused.value)
    assert names() == ["r.toml"]


def test_a_url_that_pathlib_has_shortened_is_not_taken_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="was a URL before it became a Path"):
        RunDirectory(Path("s3://bucket/run"))
    assert plain_place(Path(f"file://{tmp_path}/x")) == f"{tmp_path}/x"
    assert local_path(Path(f"file://{tmp_path}/x"), "it") == tmp_path / "x"


def test_a_text_that_only_holds_a_url_is_no_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (RunDirectory, plain_place):
        with pytest.raises(ConfigError, match="neither a path nor a URL"):
            call('data.source={type="folder", url="s3://b/x"}')
    assert names() == []


def test_the_home_folder_is_spelled_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("~/x", "it") == tmp_path / "x"
    assert LocalPath().convert("~/x", None, None) == tmp_path / "x"
    assert Place().convert("~/x", None, None) == f"{tmp_path}/x"


@pytest.mark.parametrize("name", ["x.png", "x.PNG", "x.zip", "x.npy", "x.safetensors", "x.tar.gz", "x.json"])
@pytest.mark.parametrize(
    "call",
    [
        lambda path: generate("run", path),
        lambda path: generate("run", path, pngs=True),
        lambda path: save(path, NETWORK),
        lambda path: RunDirectory(path),
        lambda path: start(path),
        lambda path: run_quickstart(path, Settings(), print),
    ],
)
def test_no_folder_is_called_like_a_file(tmp_path, monkeypatch, call, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"{name}, and would be a folder that is called like a file"):
        call(Path(name))
    assert names() == []


def test_samples_of_any_spelling_of_npz_are_known_again(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", arr_0=pictures)
    (tmp_path / "x.npz").rename(tmp_path / "x.NPZ")
    assert target_of(tmp_path / "x.NPZ", pngs=False).form == "images"
    found = open_images(tmp_path / "x.NPZ").read(0, 2)
    assert np.array_equal(found.images.permute(0, 2, 3, 1).numpy(), pictures)


@pytest.mark.parametrize("ending", ["", ".npz", ".tar"])
def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_drawn(tmp_path, ending):
    out = tmp_path / os.fsdecode(b"bad\xff" + ending.encode())
    with pytest.raises(ConfigError, match="is not UTF-8"):
        target_of(out, pngs=False)


def test_numbers_in_names_of_folders_are_no_endings(tmp_path):
    for name in ("cfg-1.5", "v0.2", "run.old", "a.b"):
        RunDirectory(tmp_path / name)


def test_recipes_and_passports_are_read_from_urls(tmp_path):
    there = Location("memory://places/tiny.toml")
    there.write(RECIPE.encode())
    config = load_config("memory://places/tiny.toml", ["seed=3"])
    assert (config.name, config.seed) == ("tiny", 3)
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    assert load_config(f"file://{tmp_path}/r.toml").name == "r"
    with pytest.raises(ConfigError, match=r"memory://places/missing\.toml"):
        load_config("memory://places/missing.toml")


@pytest.fixture
def samples(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("samples", "real"):
        images = generator.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", arr_0=images, arr_1=np.arange(12) % 2)
    return tmp_path


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_evaluations_read_files_behind_urls(samples, scheme, capsys):
    places = {}
    for name in ("samples", "real"):
        places[name] = f"file://{samples}/{name}.npz"
        if scheme == "memory":
            places[name] = f"memory://evaluated/{name}.npz"
            Location(places[name]).write((samples / f"{name}.npz").read_bytes())
    quick = "features.small_classifier.extractor.steps=2"
    command = [
        *("evaluate", places["samples"], "--reference", places["real"], "--metrics", "frechet_distance"),
        *("--extractor", "small_classifier", quick, "--work", f"file://{samples}/work"),
        *("--out", f"file://{samples}/passport.json"),
    ]
    assert main(command) == 0, capsys.readouterr().err
    passport = json.loads((samples / "passport.json").read_text(encoding="utf-8"))
    assert passport["numbers"]
    assert passport["subject"]["what"] == plain_place(places["samples"])  # and not of a copy that is gone
    assert (samples / "work").is_dir()


def test_released_weights_are_read_from_a_url(tmp_path, capsys):
    released = tmp_path / "sit.safetensors"
    save_file(golden("sit").weights, released)
    Location("memory://released/sit.safetensors").write(released.read_bytes())
    heads = ("--heads", "4", "--path", "linear", "--prediction", "velocity")
    assert main(["import", "sit", str(released), str(tmp_path / "a"), *heads]) == 0, capsys.readouterr().err
    there = "memory://released/sit.safetensors"
    assert main(["import", "sit", there, str(tmp_path / "b"), *heads]) == 0, capsys.readouterr().err
    networks = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert networks[0] == networks[1]
    assert main(["import", "sit", "memory://released/none.pt", str(tmp_path / "c"), *heads]) == 4
    assert "memory://released/none.pt" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "words"), [("a" * 300, "a name of 300 bytes"), ("a\0b", "a zero byte")])
def test_what_no_file_can_be_called_is_refused(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: thalweg.load(name),
        lambda: thalweg.load_config(name),
        lambda: generate(name, tmp_path / "out"),
        lambda: evaluate(name, metrics=["frechet_distance"]),
        lambda: RunDirectory(name),
        lambda: local_path(f"below/{name}", "it"),
    ):
        with pytest.raises(ConfigError, match=words) as failure:
            call()
        assert len(str(failure.value)) < 200
    assert list(tmp_path.iterdir()) == []
