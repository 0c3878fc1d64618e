"""``thalweg plugins``: which components there are, whether they keep their rules, and new ones."""

import inspect
import json
from typing import Any

import attrs
import click

from thalweg.cli import console, plugins_check, plugins_new
from thalweg.cli.fields import FieldDescription, describe_fields
from thalweg.cli.groups import Group
from thalweg.plugins import KINDS, registry
from thalweg.visible import columns, visible_line


@click.group("plugins", cls=Group)
def command() -> None:
    """List components, check them against the rules of their kinds, begin new ones."""


command.add_command(plugins_new.command)
command.add_command(plugins_check.command)


@command.command("list")
@click.option("--kind", type=click.Choice(KINDS), metavar="KIND", help=f"Only one kind: {', '.join(KINDS)}.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_components(kind: str | None, as_json: bool) -> None:
    """List the registered components, and what is wrong with plugins.

    Faults do not change the exit code: the components that are listed work.
    """
    known = registry()
    components = [one for one in known if kind in (None, one.kind)]
    if as_json:
        rows = [{"kind": one.kind, "name": one.name, **attrs.asdict(one.origin)} for one in components]
        faults = [attrs.asdict(fault) for fault in known.faults]
        console.result_json({"components": rows, "faults": faults})
        return
    header = ("kind", "name", "distribution", "version", "module")
    cells = [
        (one.kind, one.name, one.origin.distribution, one.origin.version, one.origin.module)
        for one in components
    ]
    console.result(columns(cells, header))
    if known.faults:
        console.result("\nfaults")
    for fault in known.faults:
        console.result(f"  {visible_line(str(fault))}")


@command.command("info")
@click.argument("kind")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(kind: str, name: str, as_json: bool) -> None:
    """Show what the component NAME of a KIND is, who brought it and what it takes."""
    known = registry()
    config = known.config_class(kind, name)
    origin = known.origin(kind, name)
    fields = describe_fields(config)
    if as_json:
        console.result_json(
            {
                "kind": kind,
                "name": name,
                **attrs.asdict(origin),
                "config": config.__qualname__,
                "doc": inspect.getdoc(config) or "",
                "fields": [_as_json(field) for field in fields],
            }
        )
        return
    console.result(f"{kind} {name}: {origin.module}:{config.__qualname__}")
    console.result(f"brought by plugin '{origin.plugin}' of {origin}\n")
    console.result(f"{inspect.getdoc(config) or 'It has no docstring.'}\n")
    if fields:
        rows = [(field.name, field.type, _default(field)) for field in fields]
        console.result(columns(rows, ("field", "type", "default")))
    else:
        console.result("It takes no fields.")


def _default(field: FieldDescription) -> str:
    if field.required:
        return "(required)"
    return field.default if isinstance(field.default, str) else json.dumps(field.default)


def _as_json(field: FieldDescription) -> dict[str, Any]:
    described = attrs.asdict(field)
    if field.required:
        del described["default"]
    return described
