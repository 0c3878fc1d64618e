"""What options mean is the same in all commands, helps are whole, and commands say what to type next."""

import shlex
from collections import defaultdict
from pathlib import Path

import click
import pytest

import thalweg.plugins
from plugin_makers import GATE, plugin, site_at
from thalweg.cli.groups import ExtensibleGroup
from thalweg.cli.main import cli, main
from thalweg.config import to_toml
from tiny_runs import TINY, TRAINING

OWN = {
    "--out": {"default", "help"},
    "--batch-size": {"default"},
    "--samples": {"default", "help"},
    "--kind": {"required"},
    "--run-dir": {"required", "help"},
    "--seeds": {"default", "help"},
    "--after": {"required"},
    "--steps": {"default", "help", "metavar"},
    "--by": {"help"},
    "--write": {"help"},
}
"""What differs by command: what results are, where they go, how much fits or is enough, what is needed or
repeated, steps of training or of samplers, and what is tuned."""

LONG = """Make a noise that can be heard from one end of the savanna to the other, and further by night."""
ROAR = f'''
import click

@thalweg.hookimpl
def thalweg_commands(cli):
    @cli.command(help="{LONG}")
    @click.option("--loud", help="{LONG} {LONG}")
    def roar(loud): pass
'''


def commands(group, context):
    """All commands below a group, each with a context of 80 columns."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        below = click.Context(command, info_name=name, parent=context, terminal_width=80)
        yield command, below
        if isinstance(command, click.Group):
            yield from commands(command, below)


def root():
    # With the root's own settings: click keeps what --help is called at the first look.
    return click.Context(cli, info_name="thalweg", terminal_width=80, **cli.context_settings)


def test_an_option_is_the_same_everywhere():
    seen = defaultdict(list)
    for command, context in commands(cli, root()):
        for option in command.params:
            if isinstance(option, click.Option):
                long = max(option.opts, key=len)
                told = {
                    "names": option.opts,
                    "metavar": option.make_metavar(context),
                    "help": option.help,
                    "default": option.default,
                    "flag": option.is_flag,
                    "multiple": option.multiple,
                    "required": option.required,
                }
                seen[long].append({key: told[key] for key in told.keys() - OWN.get(long, set())})
    for name, options in seen.items():
        assert all(one == options[0] for one in options), (name, options)
    assert {"--device", "--devices"} <= seen.keys()
    assert not {"--accelerator", "--set", "--storage-option"} & seen.keys()


def test_settings_are_key_value_behind_what_a_command_works_on():
    for command, context in commands(cli, root()):
        for parameter in command.params:
            metavar = parameter.make_metavar(context)
            if "KEY=VALUE" in metavar and command.name != "check":
                assert isinstance(parameter, click.Argument), command.name
                assert metavar == "[KEY=VALUE]...", command.name


def test_no_help_is_cut(site):
    site.install("zoo-plugin", plugin(also=ROAR))
    found = [(cli, root()), *commands(cli, root())]
    helps = {context.command_path: command.get_help(context) for command, context in found}
    assert f"{LONG} {LONG}" in " ".join(helps["thalweg roar"].split())
    for path, text in helps.items():
        usage, _, rest = text.partition("\n\n")
        assert usage.startswith("Usage:")
        assert max(map(len, text.splitlines())) <= 80, path
        assert not [line for line in rest.splitlines() if line.rstrip().endswith("...")], path
    for group, context in found:
        if isinstance(group, click.Group):
            shown = " ".join(helps[context.command_path].split())
            for name in group.list_commands(context):
                words = group.get_command(context, name).get_short_help_str(10_000)
                assert words.endswith(".")
                # Of commands that are imported later, the list has a line of its own.
                assert words in shown or isinstance(group, ExtensibleGroup), name
    assert LONG in " ".join(helps["thalweg"].split())


def test_the_list_of_components_says_what_each_is_and_fits_a_terminal(site, capsys):
    site.install(
        "zoo-plugin",
        plugin("'sampler', 'lion', 'zoo_plugin:Lion'", "'sampler', 'gnu', 'nowhere.at:All'")
        + f"class Lion:\n    '''{LONG}\n    Goes on.\n\n    And on.'''\n",
    )
    assert main(["plugins", "list"]) == 0
    listed = capsys.readouterr().out
    assert max(map(len, listed.splitlines())) <= 80
    words = " ".join(listed.split())
    assert f"sampler (zoo-plugin 1.0) gnu (no description) lion {LONG} Goes on. guidance" in words
    assert "vera The velocity refiner with acceleration: acceleration MLP," in words
    assert words.count("(no description)") == 1


@pytest.fixture
def site(tmp_path):
    with site_at(tmp_path) as made:
        thalweg.plugins.block()
        yield made
    thalweg.plugins.block()


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(
        to_toml({**TINY, "name": "a b", "training": {**TRAINING, "steps": 1}}), encoding="utf-8"
    )
    return ["train", "tiny.toml", "--device", "cpu"]


def following(said):
    (line,) = [line for line in said.splitlines() if line.startswith("next: ")]
    return [shlex.split(one) for one in line.removeprefix("next: ").split(", or ")]


def test_training_ends_with_what_to_type_next(recipe, capsys):
    assert main(recipe) == 0
    printed = capsys.readouterr()
    assert printed.out == "runs/a b/model\n"
    sample, evaluate = following(printed.err)
    assert sample == ["thalweg", "sample", "runs/a b", "samples/a b"]
    assert evaluate == ["thalweg", "evaluate", "runs/a b", "--protocol", "quick"]
    assert main([*sample[1:], "count=2"]) == 0
    few = ["count=10", "sampling.sampler.steps=2", "features.small_classifier.extractor.steps=2"]
    assert main([*evaluate[1:], *few, "--work", "work"]) == 0
    assert main([*recipe, "--quiet", "--run-dir", "other"]) == 0
    assert "next:" not in capsys.readouterr().err


def test_what_comes_next_has_the_plugins_of_the_run(recipe, capsys):
    Path("mine.py").write_text(GATE, encoding="utf-8")
    assert main(["-p", "mine.py", *recipe, "refiner=gate", "objectives.acceleration=none"]) == 0
    assert following(capsys.readouterr().err)[0][:4] == ["thalweg", "-p", "mine.py", "sample"]


def test_points_are_drawn_and_not_evaluated(recipe, capsys):
    mlp = '{type = "mlp", width = 8, depth = 2}'
    assert main([*recipe, "data=two_moons", f"backbone={mlp}"]) == 0
    assert following(capsys.readouterr().err) == [["thalweg", "sample", "runs/a b", "samples/a b"]]


def test_what_is_taken_from_the_run_is_said_first(recipe, capsys):
    assert main([*recipe, "sampling.seed=5", "sampling.count=3"]) == 0
    capsys.readouterr()
    assert main(["sample", "runs/a b", "out", "sampler.steps=3"]) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("sampling from step 1 with sampler euler steps=3 (of the run with changes), ")
    assert "guidance none (of the run), seed 5 (of the run), count 3 (of the run)" in first
    evaluate = ["evaluate", "runs/a b", "--protocol", "quick", "--work", "work", "sampling.sampler.steps=2"]
    assert main([*evaluate, "count=10", "features.small_classifier.extractor.steps=2"]) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.endswith("seed 0 (of the protocol), count 10 (as stated)")
