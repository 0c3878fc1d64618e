"""``thalweg plugins``: which components there are. It is imported where plugins add commands to it."""

import inspect
import json
import textwrap
from typing import TYPE_CHECKING, Any

import attrs
import click

from thalweg.cli import console, options
from thalweg.cli.groups import ExtensibleGroup
from thalweg.cli.purpose import purpose
from thalweg.plugins import Component, registry
from thalweg.visible import columns, visible_line

if TYPE_CHECKING:
    from thalweg.cli.fields import FieldDescription

_COLUMNS = 80


@click.group("plugins", cls=ExtensibleGroup)
def command() -> None:
    """List components, who brought them and what they take."""


@command.command("list")
@options.kind()
@options.as_json
def list_components(kind: str | None, as_json: bool) -> None:
    """List the registered components, what each is, and what is wrong with plugins.

    Faults do not change the exit code: the components that are listed work.
    """
    known = registry()
    components = [one for one in known if kind in (None, one.kind)]
    if as_json:
        rows = [{"kind": one.kind, "name": one.name, **attrs.asdict(one.origin)} for one in components]
        faults = [attrs.asdict(fault) for fault in known.faults]
        console.result_json({"components": rows, "faults": faults})
        return
    width = max((len(visible_line(one.name)) for one in components), default=0)
    groups: dict[str, list[Component]] = {}
    for one in components:
        groups.setdefault(f"{one.kind} ({one.origin})", []).append(one)
    for title, group in groups.items():
        console.result(visible_line(title))
        for one in group:
            console.result(_row(one, width))
    if known.faults:
        console.result("\nfaults")
    for fault in known.faults:
        console.result(f"  {visible_line(str(fault))}")


def _row(component: Component, width: int) -> str:
    """Name and purpose, in lines of a terminal's usual width."""
    name = f"  {visible_line(component.name).ljust(width)}  "
    words = visible_line(purpose(component)) or "(no description)"
    return textwrap.fill(
        words, _COLUMNS, initial_indent=name, subsequent_indent=" " * len(name), break_on_hyphens=False
    )


@command.command("info")
@click.argument("kind")
@click.argument("name")
@options.as_json
def info(kind: str, name: str, as_json: bool) -> None:
    """Show what the component NAME of a KIND is, who brought it and what it takes."""
    from thalweg.cli.fields import describe_fields

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


def _default(field: "FieldDescription") -> str:
    if field.required:
        return "(required)"
    return field.default if isinstance(field.default, str) else json.dumps(field.default)


def _as_json(field: "FieldDescription") -> dict[str, Any]:
    described = attrs.asdict(field)
    if field.required:
        del described["default"]
    return described
