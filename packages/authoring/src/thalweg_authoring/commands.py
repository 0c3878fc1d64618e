"""``thalweg plugins new`` and ``thalweg plugins check`` (nothing heavy is imported until one is called)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from thalweg.cli import console, options
from thalweg.cli.local import LocalPath
from thalweg.errors import ConfigError, PluginError
from thalweg.plugins import KINDS, Component, Registry, registry
from thalweg.suggestions import did_you_mean, known_words
from thalweg.visible import visible_line

if TYPE_CHECKING:
    from thalweg_authoring.running import RuleOutcome
    from thalweg_authoring.subject import Subject

_MARKS = {"kept": "ok", "broken": "BROKEN", "not applicable": "-", "expected": "expected"}


@click.command("new")
@click.argument("name")
@options.kind(required=True)
@click.option(
    "--into",
    type=LocalPath(file_okay=False),
    default=Path(),
    help="Folder in which the package's folder is made; the working folder unless stated.",
)
def new(name: str, kind: str, into: Path) -> None:
    """Write a package thalweg-NAME with a working component NAME, its tests and CI.

    NAME takes small letters, digits and underscores. A folder that is there is never written to.
    """
    from thalweg_authoring.scaffold import new_plugin

    folder = new_plugin(name, kind, into)
    console.result(visible_line(str(folder)))
    console.say(
        f'next: cd {folder} && pip install -e ".[test]" && thalweg plugins check {kind} {name} && pytest'
    )


@click.command("check")
@click.argument("what", nargs=-1, required=True, metavar="KIND NAME [KEY=VALUE]... | PLUGIN")
@click.option(
    "--rule", "rules", multiple=True, metavar="RULE", help="Check this rule alone; may be repeated."
)
@click.option(
    "--backend",
    type=click.Choice(["aot_eager", "inductor"]),
    default="aot_eager",
    show_default=True,
    help="What torch.compile compiles with; inductor needs a C++ compiler.",
)
@options.as_json
def check(what: tuple[str, ...], rules: tuple[str, ...], backend: str, as_json: bool) -> None:
    """Check a component against the rules of its kind, or all components of a plugin.

    KEY=VALUE make the component small, or give what it cannot be built without. A plugin is named by its
    entry point or its distribution. Exit code 1 if a rule is broken, 2 if a component cannot be built with
    what is given, 3 if the plugin does not load.
    """
    known = registry()
    chosen, settings = _chosen(known, what)
    wanted = _wanted(chosen, rules)
    from thalweg_authoring.subject import Subject

    found: list[tuple[Component, RuleOutcome]] = []
    unbuilt: list[ConfigError | PluginError] = []
    for one, only in wanted.items():
        subject = Subject(one.kind, one.name, options=settings, backend=backend)
        try:
            found += [(one, outcome) for outcome in _checked(subject, only, aloud=not as_json)]
        except (ConfigError, PluginError) as error:
            if len(chosen) == 1:
                raise
            unbuilt.append(error)
    if as_json:
        console.result_json(
            [{"kind": one.kind, "name": one.name, **attrs.asdict(outcome)} for one, outcome in found]
        )
    for fault in unbuilt:
        console.fail(str(fault))
    broken = sum(outcome.result == "broken" for _, outcome in found)
    if broken:
        console.fail(f"{broken} of {len(found)} rules are broken")
        raise click.exceptions.Exit(1)
    if unbuilt:
        missing = any(isinstance(fault, PluginError) for fault in unbuilt)
        raise (PluginError if missing else ConfigError)(
            f"{len(unbuilt)} of {len(wanted)} components were not checked, and no rule of the others is "
            "broken; check each of them by its kind and name, with KEY=VALUE"
        )
    console.say(f"{len(found)} rules, none is broken")


def _checked(subject: "Subject", only: Sequence[str], *, aloud: bool) -> list["RuleOutcome"]:
    """What became of the rules; each is printed as it comes, beneath the component's name."""
    from thalweg_authoring.running import outcomes

    found: list[RuleOutcome] = []
    for outcome in outcomes(subject, only=only):
        if aloud and not found:
            console.result(str(subject))
        found.append(outcome)
        if aloud:
            console.result(f"  {_MARKS[outcome.result]:<8} {outcome.rule}")
            if outcome.message:
                console.result(f"           {outcome.message}")
    return found


def _wanted(chosen: list[Component], rules: tuple[str, ...]) -> dict[Component, list[str]]:
    """The rules to check each component by, empty for all. Components of other kinds are left out."""
    from thalweg_authoring.rules import rules_of

    if not rules:
        return {one: [] for one in chosen}
    there = {one: [rule.name for rule in rules_of(one.kind)] for one in chosen}
    known = {name for names in there.values() for name in names}
    for name in rules:
        if name not in known:
            kinds = " or ".join(dict.fromkeys(one.kind for one in chosen))
            raise ConfigError(
                f"{kinds} has no rule '{name}'{did_you_mean(name, known) or known_words(known)}"
            )
    wanted = {one: [name for name in rules if name in names] for one, names in there.items()}
    return {one: names for one, names in wanted.items() if names}


def _chosen(known: Registry, what: tuple[str, ...]) -> tuple[list[Component], dict[str, Any]]:
    if len(what) > 1 and what[0] in KINDS:
        from thalweg.config import apply_override

        kind, name, *overrides = what
        known.config_class(kind, name)
        settings: dict[str, Any] = {}
        for override in overrides:
            apply_override(settings, override)
        return [one for one in known if (one.kind, one.name) == (kind, name)], settings
    if len(what) > 1:
        raise ConfigError(f"'{what[0]}' is no kind{did_you_mean(what[0], KINDS) or known_words(KINDS)}")
    return _of_plugin(known, what[0]), {}


def _of_plugin(known: Registry, name: str) -> list[Component]:
    faults = [fault for fault in known.faults if name in (fault.plugin, fault.distribution)]
    if faults:
        raise PluginError("; ".join(map(str, faults)))
    chosen = [one for one in known if name in (one.origin.plugin, one.origin.distribution)]
    if chosen:
        return chosen
    there = {one.origin.plugin for one in known.plugins} | {one.origin.distribution for one in known.plugins}
    if name in there:
        raise PluginError(f"the plugin '{name}' registers no component; there is nothing to check")
    if name in KINDS:
        raise ConfigError(
            f"'{name}' is a kind; name one of its components too{known_words(known.names(name))}"
        )
    raise PluginError(
        f"no plugin '{name}' is installed{did_you_mean(name, there) or known_words(there)}; install it, or "
        "name a kind and a component"
    )
