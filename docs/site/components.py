"""The reference of components, from the registry: a page for each kind."""

import html
import inspect
import json
import re

import thalweg
from thalweg.cli.fields import FieldDescription, describe_fields
from thalweg.config.components import protocol_of
from thalweg.plugins import KINDS, Component
from thalweg.plugins.distributions import BUILT_IN
from thalweg.protocols import PatchEncoder, PooledEncoder

TITLES = {
    "backbone": "Backbones",
    "refiner": "Refiners",
    "objective": "Objectives",
    "planner": "Planners",
    "time_sampler": "Time samplers",
    "interpolant": "Interpolants",
    "optimizer": "Optimisers",
    "schedule": "Schedules",
    "average": "Averages",
    "sampler": "Samplers",
    "guidance": "Guidance",
    "dataset": "Data sets",
    "source": "Sources",
    "metric": "Metrics",
    "importer": "Importers",
    "exporter": "Exporters",
    "logger": "Loggers",
    "autoencoder": "Autoencoders",
    "text_encoder": "Text encoders",
    "vision_encoder": "Vision encoders",
}
"""Title of the page, by kind."""

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):$", re.MULTILINE)


def pages() -> dict[str, str]:
    """Markdown by kind, of what Thalweg itself registers."""
    ours = [one for one in thalweg.registry() if one.origin.distribution in BUILT_IN]
    return {kind: _page(kind, [one for one in ours if one.kind == kind]) for kind in KINDS}


def _page(kind: str, components: list[Component]) -> str:
    parts = [f"# {TITLES[kind]}"]
    if not components:
        parts.append("Thalweg registers none of its own.")
    parts += [_component(one) for one in components]
    protocols = [protocol_of(kind)]
    protocols += [PooledEncoder, PatchEncoder] if kind == "vision_encoder" else []
    parts += [f"::: {one.__module__}.{one.__qualname__}" for one in protocols]
    return "\n\n".join(parts) + "\n"


def _component(one: Component) -> str:
    config = thalweg.registry().config_class(one.kind, one.name)
    doc = inspect.getdoc(config) or ""
    said = [f"## {one.name}", _prose(doc)]
    where = f"`{one.origin.module}` of `{one.origin.distribution}`"
    said.append(f"{where}; on the command line, `thalweg plugins info {one.kind} {one.name}`.")
    fields = describe_fields(config)
    if fields:
        rows = [_row(field, _attributes(doc)) for field in fields]
        said.append("\n".join(["| field | type | default | what |", "|---|---|---|---|", *rows]))
    else:
        said.append("It takes no fields.")
    return "\n\n".join(said)


def _prose(doc: str) -> str:
    """What stands before the sections, in Markdown."""
    found = _SECTION.search(doc)
    return _markdown(doc[: found.start()] if found else doc).strip()


def _attributes(doc: str) -> dict[str, str]:
    """What the docstring says of each attribute."""
    section = doc.partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(_markdown(text).split()) for name, text in entries}


def _row(field: FieldDescription, said: dict[str, str]) -> str:
    default = "required" if field.required else code(_toml(field.default))
    what = said.get(field.name, "").replace("|", "&#124;")
    return f"| {code(field.name)} | {code(field.type)} | {default} | {what} |"


def code(text: str) -> str:
    """Code that may stand in a table; a bar would end the cell."""
    return f"<code>{html.escape(text).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def _toml(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _markdown(text: str) -> str:
    """Docstrings name code as Sphinx does."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")
