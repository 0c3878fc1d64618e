"""``-p FILE`` and ``thalweg.use_file``: one file as a plugin, for a process and all that it starts."""

import json
import os
import subprocess
import sys

import pytest

import thalweg
import thalweg.plugins
from plugin_makers import GATE, plugins_of_one_test
from thalweg import ConfigError, PluginError
from thalweg.cli.main import main
from thalweg.plugins.loading import read_file
from thalweg.plugins.process import FILES
from thalweg.plugins.recording import changed, check_files, continued, files_of

HOOKS = """
import click
import thalweg


@thalweg.hookimpl
def thalweg_components(register):
    register("sampler", "lion", "zoo:Config")


@thalweg.hookimpl
def thalweg_commands(cli):
    cli.add_command(click.Command("roar", callback=lambda: click.echo("roar")))


@thalweg.hookimpl
def thalweg_run_ended(run_dir, step, completed):
    (run_dir / "ended.txt").write_text(str(step))
"""


@pytest.fixture(autouse=True)
def own_registry():
    with plugins_of_one_test():
        yield


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GATE)
    return path


def test_its_components_are_there_with_its_name_and_hash(mine):
    module = thalweg.use_file(mine)
    origin = thalweg.registry().origin("refiner", "gate")
    assert (origin.plugin, origin.distribution, origin.module) == ("mine.py", "mine.py", "thalweg_file_mine")
    assert read_file(mine)[0].sha256.startswith(origin.version)
    assert thalweg.registry().config_class("refiner", "gate") is module.GateConfig


def test_it_is_loaded_once_and_is_known_by_wherever_it_leads(mine, tmp_path):
    first = thalweg.use_file(str(mine))
    (tmp_path / "folder").mkdir()
    assert thalweg.use_file(tmp_path / "folder" / ".." / "mine.py") is first
    thalweg.plugins.block()
    assert thalweg.registry().names("refiner") == ["film", "gate", "gated", "plain", "vera"]


def test_its_hooks_work(tmp_path, capsys):
    path = tmp_path / "zoo.py"
    path.write_text(HOOKS)
    assert main(["-p", str(path), "roar"]) == 0
    assert capsys.readouterr().out == "roar\n"
    assert main(["-p", str(path), "plugins", "list", "--kind", "sampler"]) == 0
    assert "lion" in capsys.readouterr().out
    thalweg.use_file(path)
    thalweg.registry().hook.thalweg_run_ended(run_dir=tmp_path, step=7, completed=True)
    assert (tmp_path / "ended.txt").read_text() == "7"


def test_after_the_command_it_is_gone(mine, capsys):
    assert main(["-p", str(mine), "plugins", "info", "refiner", "gate"]) == 0
    assert "Gated patch tokens." in capsys.readouterr().out
    assert FILES not in os.environ
    assert main(["plugins", "info", "refiner", "gate"]) == 3
    assert "unknown refiner 'gate'" in capsys.readouterr().err


def test_several_files_and_a_block_stand_side_by_side(mine, tmp_path, capsys):
    other = tmp_path / "other.py"
    other.write_text(HOOKS)
    arguments = ["-p", str(mine), "-p", "no:refiners", "-p", str(other), "plugins", "list", "--json"]
    assert main(arguments) == 0
    listed = {(one["kind"], one["name"]) for one in json.loads(capsys.readouterr().out)["components"]}
    assert {("refiner", "gate"), ("sampler", "lion")} <= listed
    assert ("refiner", "vera") not in listed


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (None, 2, "mine.py cannot be read: No such file or directory; name one that is there"),
        ("import not_to_be_found", 3, "mine.py cannot be imported: ModuleNotFoundError: No module named"),
        ("x = 1\ny = 1 / 0\n", 3, "mine.py cannot be imported: ZeroDivisionError: division by zero (line 2)"),
        ("import beside", 3, "No module named 'beside' (line 1); a plugin file stands alone, so put what"),
        (
            "this is no python",
            3,
            "mine.py cannot be imported: SyntaxError: invalid syntax (mine.py, line 1)\n",
        ),
        ("x = 1\0", 3, "SyntaxError: source code string cannot contain null bytes\n"),
        ("import thalweg; thalweg.use_file(__file__)", 3, "mine.py is being loaded and loads itself; take"),
        ("#" * (16 * 2**20 + 1), 2, "it has more than 16,777,216 bytes; name a file of Python"),
        ("raise SystemExit(0)", 3, "mine.py cannot be imported: SystemExit: 0"),
        ("x = 1", 3, "mine.py registers nothing; put @thalweg.register(KIND, NAME) above a config"),
        ("api_version = 2\n" + HOOKS, 3, "mine.py was written for version 2 of the plugin interface"),
        (HOOKS.replace("'lion'", "'euler'").replace('"lion"', '"euler"'), 3, "which thalweg-samplers"),
        (HOOKS.replace('"sampler"', '"samplr"'), 3, "mine.py registers 'lion' as 'samplr', which is no kind"),
        (HOOKS.replace("_run_ended", "_run_end"), 3, "did you mean 'thalweg_run_ended'?"),
        (GATE.replace("@attrs.frozen", ""), 3, "is no attrs class; put @attrs.frozen on it"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(tmp_path, capsys, text, code, message):
    path = tmp_path / "mine.py"
    (tmp_path / "beside.py").touch()
    if text is not None:
        path.write_text(text)
    assert main(["-p", str(path), "plugins", "list"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert "thalweg_file_mine" not in sys.modules
    assert thalweg.registry().names("refiner") == ["film", "gated", "plain", "vera"]


@pytest.mark.parametrize("value", ["no:", "mine", "mine.txt", "."])
def test_what_is_no_file_of_python_is_a_usage_error(capsys, value):
    assert main(["-p", value, "plugins", "list"]) == 2
    assert "no:NAME" in capsys.readouterr().err


def test_one_behind_a_url_is_refused_without_its_credentials(mine, capsys):
    assert main(["-p", "https://me:geheim@example.org/mine.py", "plugins", "list"]) == 2
    said = capsys.readouterr().err
    assert "must be a path on this machine; read what it does, and keep a copy here" in said
    assert "geheim" not in said
    assert thalweg.use_file(f"file://{mine}").GateConfig


def test_two_files_of_one_name_are_refused(mine, tmp_path):
    thalweg.use_file(mine)
    other = tmp_path / "else" / "mine.py"
    other.parent.mkdir()
    other.write_text(HOOKS)
    with pytest.raises(ConfigError, match=r"has the name of another one that is loaded"):
        thalweg.use_file(other)


def test_one_that_changes_in_a_process_is_refused(mine):
    thalweg.use_file(mine)
    mine.write_text(GATE + "\n")
    with pytest.raises(ConfigError, match="has changed since this process loaded it; start another process"):
        thalweg.use_file(mine)


def test_no_import_of_a_users_own_is_in_its_way(tmp_path):
    path = tmp_path / "random.py"
    path.write_text(HOOKS)
    thalweg.use_file(path)
    import random

    assert hasattr(random, "shuffle")


def child(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


NAMES = "import thalweg; print(thalweg.registry().names('refiner'))"


def test_processes_that_are_started_load_it_too_and_only_the_same(mine):
    assert "'gate'" not in child(NAMES).stdout
    thalweg.use_file(mine)
    assert child(NAMES).stdout == "['film', 'gate', 'gated', 'plain', 'vera']\n"
    mine.write_text(GATE + "\n")
    assert "mine.py has changed since the command began; start it again" in child(NAMES).stderr


def test_help_with_a_file_needs_no_torch_of_ours(tmp_path):
    path = tmp_path / "zoo.py"
    path.write_text(HOOKS)
    code = (
        "import sys; from thalweg.cli.main import main; "
        f"main(['-p', {str(path)!r}, '--help']); print('torch' in sys.modules)"
    )
    assert child(code).stdout.endswith("False\n")


def test_a_record_names_what_is_used_and_nothing_else(mine, tmp_path):
    assert files_of("gate", {"type": "gate"}) == {}
    module = thalweg.use_file(mine)
    other = tmp_path / "other.py"
    other.write_text(HOOKS)
    thalweg.use_file(other)
    record = {"mine.py": {"sha256": read_file(mine)[0].sha256, "components": ["refiner gate"]}}
    assert files_of(module.GateConfig()) == record
    assert files_of({"objectives": [{"refiner": module.GateConfig(1.0)}]}) == record
    by_object = {"mine.py": {"sha256": record["mine.py"]["sha256"], "components": []}}
    assert files_of({"refiner": {"object": "thalweg_file_mine:Gate"}}) == by_object
    assert files_of(module.Gate(0.0, thalweg.Facts(shape=(1, 2, 2), branches=2, width=3))) == by_object
    assert files_of(thalweg.registry().config_class("refiner", "plain")()) == {}


def test_a_record_whose_file_is_missing_or_another_is_told(mine, caplog):
    missing = {"mine.py": {"sha256": "0" * 64, "components": ["refiner gate"]}}
    with pytest.raises(PluginError) as failure:
        check_files(missing, "the network x")
    assert str(failure.value) == (
        f"the network x was made with the plugin file mine.py (SHA-256 {'0' * 64}), which is not loaded; "
        "give it by 'thalweg -p mine.py ...', or by thalweg.use_file('mine.py') in Python"
    )
    thalweg.use_file(mine)
    check_files(missing, "the network x")
    assert "the network x was made with the plugin file mine.py of SHA-256 000" in caplog.text
    caplog.clear()
    check_files({"mine.py": {"sha256": read_file(mine)[0].sha256}}, "the network x")
    # One that has become an installed plugin since is as good.
    check_files({"old.py": {"sha256": "1" * 64, "components": ["refiner vera"]}}, "the network x")
    # What a stranger wrote there does no harm.
    for record in (None, 3, [], {"x": 3}, {"x": {}}, {"x": {"sha256": 3}}):
        check_files(record, "the network x")
    assert caplog.text == ""


def test_a_resumed_run_compares_its_files():
    one, other = ({"m.py": {"sha256": digit * 64, "components": ["refiner gate"]}} for digit in "12")
    assert changed(None, {}) == changed(one, one) == ""
    assert changed({"old.py": one["m.py"]}, one) == ""
    assert changed(one, other) == (
        f"the plugin file m.py had SHA-256 {'1' * 64} and has SHA-256 {'2' * 64} now"
    )
    assert changed(one, {}) == f"the plugin file m.py had SHA-256 {'1' * 64} and is not used now"
    assert changed(None, one) == f"the plugin file m.py was not used and has SHA-256 {'1' * 64} now"
    gone_on = continued(one, other)
    assert gone_on == {"m.py": {**other["m.py"], "former": ["1" * 64]}}
    assert continued(gone_on, other) == gone_on
    assert continued(None, one) == one
    # One that is called otherwise now has brought the same component before.
    assert continued({"old.py": gone_on["m.py"]}, one) == {"m.py": {**one["m.py"], "former": ["2" * 64]}}
    assert continued({"old.py": one["m.py"]}, one) == one
    assert continued({"old.py": {**one["m.py"], "components": ["sampler x"]}}, other) == other


def test_the_kit_checks_its_components(mine, capsys):
    rules = ["its_plugin_module_is_light", "it_keeps_the_protocol_of_its_kind", "no_parameter_is_left_over"]
    chosen = [word for rule in rules for word in ("--rule", rule)]
    assert main(["-p", str(mine), "plugins", "check", "refiner", "gate", *chosen]) == 0
    assert "it is no installed plugin" in capsys.readouterr().out
    assert main(["-p", str(mine), "plugins", "check", "mine.py", *chosen]) == 0
