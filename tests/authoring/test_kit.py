"""The conformance kit: every rule can be broken, and says what to change; suites, calls and the command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import thalweg.plugins
from broken_components import ALL
from plugin_makers import plugin, site_at
from thalweg.cli.main import cli, main
from thalweg.errors import ConfigError, PluginError
from thalweg_authoring import (
    ConformanceError,
    ConformanceSuite,
    Subject,
    check,
    check_logger,
    check_sampler,
    check_time_sampler,
    outcomes,
    rules_of,
)
from thalweg_authoring.scaffold import template_kinds

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """What became of each broken component."""
    folder = tmp_path_factory.mktemp("broken")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    script = [sys.executable, "-W", "error", str(TESTS / "broken_components.py"), str(folder)]
    done = subprocess.run(script, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("number", range(len(ALL)), ids=[f"{one.kind}-{one.rule}" for one in ALL])
def test_a_broken_component_is_found_out_and_told_what_to_change(checked, number):
    result, message = checked[number]
    assert result == "broken"
    assert ALL[number].said in message


def test_every_rule_is_broken_by_something():
    rules = {rule.name for kind in template_kinds() for rule in rules_of(kind)}
    assert {one.rule for one in ALL} == rules


def test_rules_say_what_they_are():
    for kind in template_kinds():
        rules = rules_of(kind)
        assert len({rule.name for rule in rules}) == len(rules)
        assert all(rule.says for rule in rules)


class TestEuler(ConformanceSuite):
    kind = "sampler"
    name = "euler"


def test_all_broken_rules_are_named_at_once():
    with pytest.raises(ConformanceError) as caught:
        check_sampler(
            "euler", expected={"noise_becomes_data": "it is coarse", "increments_are_asked_for_in_order": "x"}
        )
    said = str(caught.value)
    assert said.startswith(
        "sampler 'euler' of thalweg-samplers 0.1.0 (thalweg_samplers.euler) breaks 2 of 17 rules:"
    )
    assert "noise_becomes_data: it is declared as an expected failure (it is coarse), and is kept" in said


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"kind": "spoon", "name": "x"}, ConfigError, "unknown kind 'spoon'"),
        ({"kind": "sampler", "name": "oiler"}, PluginError, "unknown sampler 'oiler', did you mean 'euler'"),
        (
            {"kind": "sampler", "name": "euler", "expected": {"noise_becomes_date": "x"}},
            ConfigError,
            "sampler has no rule 'noise_becomes_date', did you mean 'noise_becomes_data'",
        ),
        (
            {"kind": "source", "name": "folder"},
            ConfigError,
            "source 'folder' cannot be built without url=...",
        ),
        ({"kind": "sampler", "name": "euler", "options": {"steps": 0}}, ConfigError, "sampler.steps"),
    ],
)
def test_what_cannot_be_checked_is_said(arguments, error, said):
    with pytest.raises(error, match=said.replace("?", r"\\?").replace("(", r"\\(")):
        check(**arguments)


def test_options_reach_the_component():
    found = check_time_sampler("logit_normal", options={"std": 0.9})
    assert {one.result for one in found} == {"kept"}
    with pytest.raises(ConformanceError, match="must learn all times"):
        check_time_sampler("logit_normal", options={"std": 0.1})


SUITE = """
from thalweg_authoring import ConformanceSuite

class TestKept(ConformanceSuite):
    kind, name = "time_sampler", "uniform"
    expected_failures = {"the_generator_alone_decides": "wrongly declared"}

class TestBroken(ConformanceSuite):
    kind, name = "time_sampler", "logit_normal"
    options = {"std": 0.1}

class TestDeclared(TestBroken):
    expected_failures = {"times_spread_over_the_interval": "it is meant for the middle"}
"""


def test_expected_failures_of_a_suite_must_fail_and_be_rules(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    misspelt = SUITE.partition("class TestBroken")[0].replace(
        "the_generator_alone_decides", "the_generator_decides"
    )
    (tmp_path / "test_misspelt.py").write_text(misspelt)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --continue-on-collection-errors\n")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=environment)
    failed = re.findall(r"^FAILED test_suite.py::(\S+)", done.stdout, re.MULTILINE)
    assert sorted(failed) == [
        "TestBroken::test_rule[times_spread_over_the_interval]",
        "TestKept::test_rule[the_generator_alone_decides]",
    ]
    assert "1 xfailed" in done.stdout
    assert "TestKept.expected_failures names 'the_generator_decides', which is no rule of" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["sampler", "euler"], 0, "17 rules, none is broken"),
        (
            ["sampler", "euler", "steps=30", "--rule", "it_converges_at_its_order"],
            0,
            "1 rules, none is broken",
        ),
        (["time_sampler", "logit_normal", "std=0.1"], 1, "1 of 12 rules are broken"),
        (["sampler", "oiler"], PluginError, "did you mean 'euler'"),
        (["smapler", "euler"], ConfigError, "'smapler' is no kind, did you mean 'sampler'"),
        (["nobody"], PluginError, "no plugin 'nobody' is installed"),
        (["thalweg-sampler"], PluginError, "did you mean 'thalweg-samplers'"),
        (["source", "folder"], ConfigError, "cannot be built without url"),
        (["sampler"], ConfigError, "'sampler' is a kind; name one of its components too (known: dopri5,"),
        (["sampler", "euler", "--rule", "noise"], ConfigError, "sampler has no rule 'noise'"),
        (["samplers", "--rule", "noise_becomes_date"], ConfigError, "sampler or guidance has no rule"),
        (["refiners", "--rule", "an_unknown_key_is_refused"], 0, "4 rules, none is broken"),
        (
            ["samplers", "--rule", "scale_one_is_the_conditional_field"],
            ConfigError,
            "1 of 6 components were not checked, and no rule of the others is broken",
        ),
        (["sampler", "euler", "steps"], ConfigError, "is not of the form key.path=value"),
        (["logger", "csv"], 0, "10 rules, none is broken"),
    ],
)
def test_the_command_says_what_is_broken(words, code, said):
    done = CliRunner().invoke(cli, ["plugins", "check", *words])
    if isinstance(code, int):
        assert done.exit_code == code, done.output
        assert said in done.output
    else:
        assert isinstance(done.exception, code)
        assert said in str(done.exception)


def test_the_command_checks_all_of_a_plugin_and_prints_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rule = ["--rule", "an_unknown_key_is_refused", "--json"]
    done = CliRunner().invoke(cli, ["plugins", "check", "refiners", *rule])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [one["kind"] for one in rows] == 4 * ["refiner"]
    assert [one["name"] for one in rows] == ["film", "gated", "plain", "vera"]
    assert {one["result"] for one in rows} == {"kept"}
    # One of these cannot be built without a network.
    done = CliRunner().invoke(cli, ["plugins", "check", "samplers", *rule])
    assert done.exit_code == 1
    rows = json.loads(done.stdout)
    assert [(one["kind"], one["name"]) for one in rows] == [
        ("sampler", "dopri5"),
        ("sampler", "euler"),
        ("sampler", "euler_maruyama"),
        ("sampler", "heun"),
        ("guidance", "cfg"),
        ("guidance", "early_exit"),
        ("guidance", "half"),
        ("guidance", "internal"),
        ("guidance", "ladder"),
        ("guidance", "path_drop"),
    ]
    assert {one["result"] for one in rows} == {"kept"}


PARTICULAR = """
import attrs
import torch
from thalweg.errors import DataError, PluginError

@attrs.frozen
class Reading:
    '''Reads a network.

    Attributes:
        model: its folder.
    '''

    model: str = "/nonexistent"

    def build(self, facts):
        raise DataError(f"{self.model} holds no network; give a saved one")

@attrs.frozen
class Needing:
    '''Needs a package.'''

    def build(self, facts):
        raise PluginError("it needs oars: pip install oars")

@attrs.frozen
class Unnamed:
    '''Reads a network that has to be named.

    Attributes:
        model: its folder.
    '''

    model: str

    def build(self, facts):
        return lambda network, condition: lambda x, t: network(x, t, condition)

@attrs.frozen
class Threaded:
    '''Takes the machine for itself.'''

    def build(self, facts):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return lambda network, condition: lambda x, t: network(x, t, condition)
"""


@pytest.fixture
def particular(tmp_path):
    """Guidances that cannot be built everywhere, or should not be."""
    names = {"reading": "Reading", "needing": "Needing", "unnamed": "Unnamed", "threaded": "Threaded"}
    registrations = [f"'guidance', '{name}', 'particular:{cls}'" for name, cls in names.items()]
    with site_at(tmp_path) as site:
        site.install("thalweg-particular", plugin(*registrations), particular=PARTICULAR)
        thalweg.plugins.block()
        yield
    thalweg.plugins.block()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["reading"], 2, "cannot be built with what it was given: /nonexistent holds no network"),
        (
            ["reading", "model=elsewhere"],
            2,
            "cannot be built with what it was given: elsewhere holds no network",
        ),
        (["reading", "model=3"], 2, "guidance.model: expected a string, got 3"),
        (["reading", "modle=x"], 2, "guidance.modle: unknown key, did you mean 'model'?"),
        (["unnamed"], 2, "guidance 'unnamed' cannot be built without model=..."),
        (["needing"], 3, "it needs oars: pip install oars"),
    ],
)
@pytest.mark.parametrize("how", [[], ["--json"]])
def test_what_cannot_be_built_is_told_once(words, code, said, how, particular, capsys):
    assert main(["plugins", "check", "guidance", *words, *how]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1


def test_the_rest_of_a_plugin_is_checked_beside_what_cannot_be_built(particular, capsys):
    rule = "an_unknown_key_is_refused"
    assert main(["plugins", "check", "thalweg-particular", "--rule", rule, "--json"]) == 3
    out, err = capsys.readouterr()
    assert [(one["name"], one["rule"], one["result"]) for one in json.loads(out)] == [
        ("threaded", rule, "kept")
    ]
    assert "3 of 4 components were not checked" in err.splitlines()[-1]
    assert len(err.splitlines()) == 4


def test_no_rule_hides_what_another_would_find(particular):
    found = {one.rule: one.result for one in outcomes(Subject("guidance", "threaded"))}
    assert found["it_keeps_the_protocol_of_its_kind"] == "kept"
    assert found["the_process_is_left_alone"] == "broken"


def test_a_logger_gets_a_run_directory_of_its_own_unless_one_is_stated(tmp_path):
    assert {one.result for one in check_logger("csv")} == {"kept"}
    assert {one.result for one in check_logger("csv", folder=tmp_path)} == {"kept"}
