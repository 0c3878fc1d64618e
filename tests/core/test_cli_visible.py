"""What is printed moves no cursor, changes no colour, and pretends to be no other message."""

import json
import logging

import click
import pytest

import thalweg
from plugin_makers import plugin, site_at
from thalweg.cli import console, groups
from thalweg.cli.main import main
from thalweg.visible import columns, visible, visible_json, visible_line, visible_message

HOSTILE = [chr(code) for code in (*range(9), *range(11, 32), 127, *range(128, 160))]
HOSTILE += [
    *"\u200e\u200f\u061c\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ud800\udfff"
]
EVIL = "\x1b]0;owned\x07\x1b[2J\r\x9b31mname\u202e\udc80"


def harmless(text):
    return not any(letter in text for letter in HOSTILE)


@pytest.mark.parametrize("function", [visible, visible_line, visible_message, visible_json])
def test_every_control_character_is_written_out(function):
    for letter in HOSTILE:
        shown = function(f"a{letter}b")
        assert shown.isprintable()
        assert shown.isascii()
        assert f"{ord(letter):02x}" in shown or shown in ("a\\rb", "a\\x00b")
    assert function("Größe – 図 👩‍🚀") == "Größe – 図 👩‍🚀"


def test_line_ends_of_names_make_no_lines():
    assert visible("a\n\tb") == "a\n\tb"
    assert visible_line("a\nb\tc") == "a\\nb\\tc"
    assert visible_message("2 faults:\n  one\nerror: no\n  two") == "2 faults:\n  one\\nerror: no\n  two"


def test_results_messages_and_errors(capsys):
    for show in (console.result, console.say, console.warn, console.fail):
        show(EVIL)
    console.result(columns([(EVIL + "\nx", "1")], ("a", "b")))
    printed = capsys.readouterr()
    assert harmless(printed.out + printed.err)
    assert len(printed.out.splitlines()) == 3


def test_json_is_read_back_as_it_was(capsys):
    console.result_json({EVIL: [EVIL, "\n"]})
    printed = capsys.readouterr().out
    assert harmless(printed)
    assert json.loads(printed) == {EVIL: [EVIL, "\n"]}


@pytest.mark.parametrize(
    "error",
    [
        thalweg.DataError(f"{EVIL}\nerror: forged"),
        RuntimeError(f"{EVIL}\nerror: forged"),
        click.UsageError(f"{EVIL}\nerror: forged"),
    ],
)
def test_errors_of_any_kind(monkeypatch, capsys, error):
    @click.command("fail")
    def fail():
        raise error

    monkeypatch.setattr(groups, "_collect", lambda *_: {"fail": fail})
    assert main(["fail"]) != 0
    err = capsys.readouterr().err
    assert harmless(err)
    assert "\nerror: forged" not in err


@pytest.mark.parametrize(
    "words",
    [[EVIL], ["train", EVIL], [f"--{EVIL}"], ["plugins", EVIL], ["report", EVIL], ["config", "show", EVIL]],
)
def test_arguments_are_told_harmlessly(capsys, words):
    assert main(words) != 0
    assert harmless(capsys.readouterr().err)


def test_what_is_logged(monkeypatch, capsys):
    @click.command("log")
    def log():
        logging.getLogger("thalweg").warning("%s", f"{EVIL[:-1]}\nerror: forged")

    monkeypatch.setattr(groups, "_collect", lambda *_: {"log": log})
    assert main(["log"]) == 0
    err = capsys.readouterr().err
    assert harmless(err)
    assert len(err.splitlines()) == 1
    assert logging.getLogger("thalweg").handlers == []


def test_names_of_plugins_and_components(tmp_path, capsys):
    with site_at(tmp_path) as site:
        text = plugin(
            f"'sampler', {EVIL!r}, 'm:C'", f"{EVIL!r}, 'a', 'm:C'", also=f"raise RuntimeError({EVIL!r})"
        )
        site.install("aa-evil", text)
        site.install("bb-evil", plugin(f"'sampler', {EVIL!r}, 'm:C'"), version="1\x1b[31m")
        thalweg.plugins.block()
        for words in (
            ["plugins", "list"],
            ["plugins", "list", "--json"],
            ["plugins", "info", "sampler", EVIL],
        ):
            main(words)
    thalweg.plugins.block()
    printed = capsys.readouterr()
    assert "aa-evil" in printed.out
    assert harmless(printed.out + printed.err)


def test_a_plugin_s_command_needs_a_name(tmp_path, capsys):
    with site_at(tmp_path) as site:
        hook = "import thalweg, click\n@thalweg.hookimpl\ndef thalweg_commands(cli):\n"
        site.install("aa-evil", f"{hook}    cli.add_command(click.Command({EVIL!r}))\n")
        site.install(
            "bb-exit", "import thalweg\n@thalweg.hookimpl\ndef thalweg_commands(cli): raise SystemExit(3)\n"
        )
        thalweg.plugins.block()
        assert main(["plugins", "list"]) == 0
        assert main(["--help"]) == 0
    thalweg.plugins.block()
    printed = capsys.readouterr()
    assert "cannot be a command's name" in printed.out
    assert "bb-exit 1.0 failed in thalweg_commands: SystemExit: 3" in printed.out
    assert harmless(printed.out + printed.err)
