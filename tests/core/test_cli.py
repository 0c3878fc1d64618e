import json
import os
import subprocess
import sys
import tomllib

import click
import pytest

import thalweg
import thalweg.plugins
from plugin_makers import plugin, site_at
from thalweg.cli import groups
from thalweg.cli.main import COMMANDS, cli, main

RECIPE = """
data = "digits"
backbone = "dit"
[objectives.velocity]
[training]
steps = 100
batch_size = 32
"""


@pytest.fixture(autouse=True)
def anew():
    thalweg.plugins.block()
    yield
    thalweg.plugins.block()


@pytest.fixture
def site(tmp_path):
    with site_at(tmp_path) as made:
        yield made


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "first.toml"
    file.write_text(RECIPE)
    return str(file)


@pytest.fixture
def failing(monkeypatch):
    """A command `fail` that raises what it is given."""

    def add(error):
        @click.command("fail")
        def fail():
            raise error

        monkeypatch.setattr(groups, "_collect", lambda *_: {"fail": fail})

    return add


def process(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", "import sys; from thalweg.cli.main import main; sys.exit(main())", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (thalweg.ThalwegError("it failed"), 1, "error: it failed\n"),
        (thalweg.ConfigError("a wrong key"), 2, "error: a wrong key\n"),
        (thalweg.PluginError("a bad plugin"), 3, "error: a bad plugin\n"),
        (thalweg.DataError("a damaged file"), 4, "error: a damaged file\n"),
        (
            RuntimeError("two\nlines"),
            1,
            "error: unexpected RuntimeError: two; 'thalweg --debug ...' shows the traceback\n",
        ),
        (KeyError(), 1, "error: unexpected KeyError; 'thalweg --debug ...' shows the traceback\n"),
        (click.UsageError("wrong use"), 2, "error: wrong use\n"),
        (SystemExit(75), 75, ""),
        (SystemExit(), 0, ""),
        (SystemExit("words"), 1, ""),
    ],
)
def test_errors_become_a_sentence_and_an_exit_code(failing, capsys, error, code, sentence):
    failing(error)
    assert main(["fail"]) == code
    printed = capsys.readouterr()
    assert (printed.out, "Traceback" in printed.err) == ("", False)
    assert printed.err.startswith(sentence)


def test_interruption_is_130(failing):
    failing(KeyboardInterrupt())
    assert main(["fail"]) == 130


@pytest.mark.parametrize(
    ("error", "code"), [(thalweg.DataError("a damaged file"), 4), (RuntimeError("x"), 1)]
)
def test_debug_shows_the_traceback_and_keeps_the_code(failing, capsys, error, code):
    failing(error)
    assert main(["--debug", "fail"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_exit_code_of_a_command_is_passed_on(monkeypatch):
    @click.command("fail")
    @click.pass_context
    def fail(ctx):
        ctx.exit(75)

    monkeypatch.setattr(groups, "_collect", lambda *_: {"fail": fail})
    assert main(["fail"]) == 75


@pytest.mark.parametrize("returned", [None, True, "text", {"a": 1}])
def test_what_a_command_returns_is_no_exit_code(monkeypatch, returned):
    monkeypatch.setattr(
        groups, "_collect", lambda *_: {"fine": click.Command("fine", callback=lambda: returned)}
    )
    assert main(["fine"]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["plugns"], "error: unknown command 'plugns', did you mean 'plugins'?"),
        (["plugins", "lst"], "error: unknown command 'lst', did you mean 'list'?"),
        (["zzz"], "error: unknown command 'zzz'\n"),
        (["--debg"], "error: No such option"),
        (["-p", "zoo", "plugins", "list"], "error: Invalid value for '-p': 'zoo' is neither FILE.py nor"),
        (["plugins", "list", "-p", "mine.py"], "error: No such option '-p'; plugins are named before the"),
        (["-p", "no:", "plugins", "list"], "error: Invalid value for '-p'"),
        (["plugins", "list", "--kind", "samplr"], "error: Invalid value for '--kind'"),
        (["config", "show"], "error: Missing argument 'RECIPE'"),
    ],
)
def test_usage_errors(capsys, arguments, sentence):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(sentence)
    assert "--help' shows what it takes" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("arguments", [[], ["plugins"], ["config"]])
def test_without_a_command_the_help_is_shown(capsys, arguments):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("Usage: thalweg")
    assert printed.out == ""


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"thalweg {thalweg.__version__}\n"


def test_broken_pipe_is_quiet():
    code = (
        "import sys; from thalweg.cli.main import main\n"
        "import thalweg.cli.console as console\n"
        "result = console.result\n"
        "console.result = lambda text: [result(text) for _ in range(10000)]\n"
        "sys.exit(main(['plugins', 'list']))"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.read(10)
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() == 1


def test_no_colour_without_a_terminal(failing, capsys):
    failing(thalweg.ConfigError("x"))
    main(["fail"])
    assert "\x1b" not in capsys.readouterr().err


def test_faults_are_warned_about_in_one_line_each(site, capsys, recipe):
    site.install("zoo-plugin", "import nothing_of_that_name")
    assert main(["config", "validate", recipe]) == 0
    printed = capsys.readouterr()
    assert printed.err == (
        "warning: plugin 'zoo_plugin' of zoo-plugin 1.0 cannot be imported:"
        " ModuleNotFoundError: No module named 'nothing_of_that_name' (module zoo_plugin)\n"
    )
    assert printed.out == f"{recipe} is valid\n"


@pytest.mark.parametrize("arguments", [["--help"], ["config", "validate", "--help"], ["plugins", "list"]])
def test_faults_are_not_warned_about_in_help_nor_beside_their_list(site, capsys, arguments):
    site.install("zoo-plugin", "import nothing_of_that_name")
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""


def test_blocking_silences_the_warning(site, capsys, recipe):
    site.install("zoo-plugin", "import nothing_of_that_name")
    assert main(["-p", "no:zoo_plugin", "config", "validate", recipe]) == 0
    assert capsys.readouterr().err == ""


COMMAND = """
import click

@thalweg.hookimpl
def thalweg_commands(cli):
    @cli.command("{name}")
    def roar():
        "Make a noise."
        click.echo("roar")
"""


def test_plugin_adds_a_command(site, capsys):
    site.install("zoo-plugin", plugin(also=COMMAND.format(name="roar")))
    assert main(["roar"]) == 0
    assert capsys.readouterr().out == "roar\n"
    assert main(["--help"]) == 0
    added = capsys.readouterr().out.partition("Commands of plugins:\n")[2].splitlines()
    assert ["roar", "Make a noise."] in [line.split(maxsplit=1) for line in added]
    assert main(["raor"]) == 2
    assert "did you mean 'roar'?" in capsys.readouterr().err


def test_plugin_cannot_take_a_command(site, capsys):
    site.install("a-zoo", plugin(also=COMMAND.format(name="roar")))
    site.install("b-zoo", plugin(also=COMMAND.format(name="roar")))
    site.install("c-zoo", plugin(also=COMMAND.format(name="plugins")))
    site.install("d-zoo", "import thalweg\n@thalweg.hookimpl\ndef thalweg_commands(cli): 1 / 0\n")
    assert main(["plugins", "list"]) == 0
    listed = capsys.readouterr().out
    assert "plugin 'b_zoo' of b-zoo 1.0 adds the command 'roar', which a-zoo 1.0 has and keeps" in listed
    assert (
        "plugin 'c_zoo' of c-zoo 1.0 adds the command 'plugins', which thalweg-core has and keeps" in listed
    )
    assert "plugin 'd_zoo' of d-zoo 1.0 failed in thalweg_commands: ZeroDivisionError" in listed


def test_plugin_adds_a_command_to_a_group_of_core(site, capsys):
    site.install("zoo-plugin", plugin(also=COMMAND.format(name="plugins roar")))
    assert main(["plugins", "roar"]) == 0
    assert capsys.readouterr().out == "roar\n"
    assert main(["plugins", "--help"]) == 0
    shown = capsys.readouterr().out.partition("Commands of plugins:\n")
    assert "  list  List the registered components" in shown[0]
    assert "  roar   Make a noise." in shown[2]
    assert main(["--help"]) == 0
    assert "roar" not in capsys.readouterr().out
    assert main(["roar"]) == 2
    assert main(["plugins", "raor"]) == 2
    assert "did you mean 'roar'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("plugins list", "which thalweg-core has and keeps"),
        ("plugins check", "which thalweg-authoring 0.1.0 has and keeps"),
        ("plugins purr", "which a-zoo 1.0 has and keeps"),
        ("train roar", "but 'train' is no group to which plugins add commands"),
        ("plugins list roar", "but 'plugins list' is no group to which plugins add commands"),
        ("nothing roar", "but 'nothing' is no group to which plugins add commands"),
    ],
)
def test_plugin_cannot_take_a_command_of_a_group(path, said, site, capsys):
    site.install("a-zoo", plugin(also=COMMAND.format(name="plugins purr")))
    site.install("b-zoo", plugin(also=COMMAND.format(name=path)))
    assert main(["plugins", "list"]) == 0
    listed = capsys.readouterr().out
    assert f"plugin 'b_zoo' of b-zoo 1.0 adds the command '{path}', {said}" in listed
    assert "plugin 'a_zoo'" not in listed
    assert main(["plugins", "purr"]) == 0


def test_a_group_works_without_those_that_add_to_it(site, capsys):
    site.install("zoo-plugin", "import thalweg\n@thalweg.hookimpl\ndef thalweg_commands(cli): 1 / 0\n")
    assert main(["plugins", "check", "--help"]) == 0
    assert main(["-p", "no:authoring", "plugins", "--help"]) == 0
    shown = capsys.readouterr().out.rpartition("Usage: ")[2]
    assert "  list  List the registered components" in shown
    assert "Commands of plugins" not in shown
    assert main(["-p", "no:authoring", "plugins", "list"]) == 0
    assert main(["-p", "no:authoring", "plugins", "check", "sampler", "euler"]) == 2
    assert "unknown command 'check'; thalweg-authoring brings it" in capsys.readouterr().err
    assert main(["-p", "no:backbones", "import", "sit", "x.pt", "out"]) == 2
    assert "unknown command 'import'; thalweg-backbones brings it" in capsys.readouterr().err


def test_plugins_list(capsys):
    assert main(["plugins", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    refiners = lines[lines.index(f"refiner (thalweg-refiners {thalweg.__version__})") + 1 :]
    names = [line.split()[0] for line in refiners if line[2:3].strip()]
    assert names[:4] == ["film", "gated", "plain", "vera"]


def test_plugins_list_of_one_kind_as_json(site, capsys):
    site.install("zoo-plugin", plugin("'sampler', 'lion', 'm:C'", "'smapler', 'lion', 'm:C'"))
    assert main(["plugins", "list", "--kind", "sampler", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in listed["components"]} == {"sampler"}
    assert {
        "kind": "sampler",
        "name": "lion",
        "plugin": "zoo_plugin",
        "distribution": "zoo-plugin",
        "version": "1.0",
        "module": "m",
    } in listed["components"]
    (fault,) = listed["faults"]
    assert fault["distribution"] == "zoo-plugin"


def test_plugins_info(capsys):
    assert main(["plugins", "info", "refiner", "vera"]) == 0
    shown = capsys.readouterr().out
    assert "refiner vera: thalweg_refiners.vera:VeRAConfig" in shown
    assert "brought by plugin 'refiners' of thalweg-refiners" in shown
    assert ["cross_attention", "bool", "true"] in map(str.split, shown.splitlines())


def test_plugins_info_as_json(site, capsys):
    config = """
import attrs
from typing import Any, Literal
from thalweg import component_field

@attrs.frozen
class Config:
    '''A lion.'''
    size: int
    mane: Literal["long", "short"] = "long"
    prey: Any = component_field("sampler", None, optional=True)
    cubs: tuple[int, ...] = (1, 2)
    den: str | None = None

    def build(self, facts): ...
"""
    site.install("zoo-plugin", plugin("'sampler', 'lion', 'zoo_config:Config'"), zoo_config=config)
    assert main(["plugins", "info", "sampler", "lion", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["doc"] == "A lion."
    assert (shown["distribution"], shown["module"], shown["config"]) == ("zoo-plugin", "zoo_config", "Config")
    assert shown["fields"] == [
        {"name": "size", "type": "int", "required": True},
        {"name": "mane", "type": "'long' | 'short'", "required": False, "default": "long"},
        {"name": "prey", "type": "sampler component | none", "required": False, "default": "none"},
        {"name": "cubs", "type": "tuple[int, ...]", "required": False, "default": [1, 2]},
        {"name": "den", "type": "str | none", "required": False, "default": "none"},
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["refiner", "verra"], "unknown refiner 'verra', did you mean 'vera'?"),
        (["refinr", "vera"], "unknown kind 'refinr', did you mean 'refiner'?"),
    ],
)
def test_plugins_info_of_the_unknown(capsys, arguments, sentence):
    assert main(["plugins", "info", *arguments]) == 3
    assert sentence in capsys.readouterr().err


def test_config_show(capsys, recipe):
    assert main(["config", "show", recipe, "training.steps=7"]) == 0
    as_toml = tomllib.loads(capsys.readouterr().out)
    assert main(["config", "show", recipe, "training.steps=7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == as_toml
    assert as_toml["training"]["steps"] == 7
    assert as_toml["plan"]["time_sampler"]["type"] == "logit_normal"


@pytest.mark.parametrize("command", ["show", "validate"])
def test_config_faults(capsys, recipe, command):
    assert main(["config", command, recipe, "training.steps=0", "backbone.widht=3"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"error: {recipe} has 2 faults:",
        "  backbone.widht: unknown key, did you mean 'width'?",
        "  training.steps: must be at least 1, got 0",
    ]


def test_the_installed_command_runs():
    done = process("plugins", "list", THALWEG_PLUGINS="samplers")
    assert done.returncode == 0
    assert "euler" in done.stdout
    assert "THALWEG_PLUGINS" in done.stdout


def test_commands_can_be_imported_and_bear_their_name():
    context = click.Context(cli)
    for name in COMMANDS:
        assert cli.get_command(context, name).name == name


@pytest.mark.parametrize(
    ("override", "words"),
    [("branches=5", "does not divide"), ("objectives.acceleration={}", "intermediate branches")],
)
def test_validate_finds_what_does_not_go_together(recipe, capsys, override, words):
    changes = [override, "refiner=plain"] if override.startswith("branches") else [override]
    assert main(["config", "validate", recipe, *changes]) == 2
    assert words in capsys.readouterr().err
