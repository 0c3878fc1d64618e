"""``thalweg plugins check``: whether components keep the rules of their kinds."""

from typing import Any

import attrs
import click

from thalweg.cli import console
from thalweg.config import apply_override
from thalweg.errors import ConfigError, PluginError
from thalweg.plugins import KINDS, Component, Registry, registry
from thalweg.suggestions import did_you_mean, known_words

_MARKS = {"kept": "ok", "broken": "BROKEN", "not applicable": "-", "expected": "expected"}


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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(what: tuple[str, ...], rules: tuple[str, ...], backend: str, as_json: bool) -> None:
    """Check a component against the rules of its kind, or all components of a plugin.

    KEY=VALUE make the component small, or give what it cannot be built without. A plugin is named by its
    entry point or its distribution. Exit code 1 if a rule is broken, 3 if the plugin does not load.
    """
    known = registry()
    chosen, options = _chosen(known, what)
    from thalweg.testing import Subject, outcomes

    found = []
    for one in chosen:
        subject = Subject(one.kind, one.name, options=options, backend=backend)
        if not as_json:
            console.result(str(subject))
        for outcome in outcomes(subject, only=rules):
            found.append((one, outcome))
            if not as_json:
                console.result(f"  {_MARKS[outcome.result]:<8} {outcome.rule}")
                if outcome.message:
                    console.result(f"           {outcome.message}")
    if as_json:
        console.result_json(
            [{"kind": one.kind, "name": one.name, **attrs.asdict(outcome)} for one, outcome in found]
        )
    broken = sum(outcome.result == "broken" for _, outcome in found)
    if broken:
        console.fail(f"{broken} of {len(found)} rules are broken")
        raise click.exceptions.Exit(1)
    console.say(f"{len(found)} rules, none is broken")


def _chosen(known: Registry, what: tuple[str, ...]) -> tuple[list[Component], dict[str, Any]]:
    if len(what) > 1 and what[0] in KINDS:
        kind, name, *overrides = what
        known.config_class(kind, name)
        options: dict[str, Any] = {}
        for override in overrides:
            apply_override(options, override)
        return [one for one in known if (one.kind, one.name) == (kind, name)], options
    if len(what) > 1:
        raise ConfigError(f"'{what[0]}' is no kind{did_you_mean(what[0], KINDS) or known_words(KINDS)}")
    return _of_plugin(known, what[0]), {}


def _of_plugin(known: Registry, name: str) -> list[Component]:
    faults = [fault for fault in known.faults if name in (fault.plugin, fault.distribution)]
    if faults:
        raise PluginError("; ".join(map(str, faults)))
    chosen = [one for one in known if name in (one.origin.plugin, one.origin.distribution)]
    if not chosen:
        there = {one.origin.plugin for one in known.plugins} | {
            one.origin.distribution for one in known.plugins
        }
        if name in there:
            raise PluginError(f"the plugin '{name}' registers no component; there is nothing to check")
        raise PluginError(
            f"no plugin '{name}' is installed{did_you_mean(name, there) or known_words(there)}; install it,"
            " or name a kind and a component"
        )
    return chosen
