"""Writes the package of a new plugin from one skeleton and the template of its kind (no torch here)."""

import keyword
import os
import re
from importlib import resources
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from thalweg import files
from thalweg.errors import ConfigError
from thalweg.folders import make_folders, whole_folder
from thalweg.hookspecs import API_VERSION
from thalweg.plugins import KINDS, registry
from thalweg.storage.places import local_path
from thalweg.suggestions import article, did_you_mean, known_words

_TEMPLATES = resources.files("thalweg_authoring").joinpath("templates")
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 100


def template_kinds() -> list[str]:
    """The kinds that there are templates of."""
    there = {file.name.removesuffix(".jinja") for file in _TEMPLATES.joinpath("kinds").iterdir()}
    return [kind for kind in KINDS if kind in there]


def new_plugin(name: str, kind: str, parent: Path | str) -> Path:
    """Write a package with one component into a new folder.

    Args:
        name: of the component; the distribution is called ``thalweg-NAME`` and imported as ``thalweg_NAME``.
        kind: one of :func:`template_kinds`.
        parent: the folder in which the package's folder is made.

    Returns:
        The package's folder.

    Raises:
        ConfigError: the name is no identifier or taken, the kind has no template, or the folder is there;
            nothing is written then.
        ThalwegError: it cannot be written; nothing is left of it then.
    """
    _check_kind(kind)
    _check_name(name, kind)
    distribution = f"thalweg-{name.replace('_', '-')}"
    parent = local_path(parent, "the folder of the package")
    folder = parent / distribution
    # A link that leads nowhere is there as well.
    if os.path.lexists(folder):
        raise ConfigError(f"{folder} is there already; choose another name, or take it away first")
    try:
        make_folders(folder.parent)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{folder} cannot be written ({reason}); choose another place") from error
    with whole_folder(folder) as place:
        _write(place, kind, _words(name, kind, distribution))
    return folder


def _check_kind(kind: str) -> None:
    known = template_kinds()
    if kind not in known:
        raise ConfigError(
            f"there is no template of kind '{kind}'{did_you_mean(kind, known) or known_words(known)}"
        )


def _check_name(name: str, kind: str) -> None:
    if len(name) > _LONGEST:
        raise ConfigError(
            f"'{name[:20]}...' is too long for a module's name; take at most {_LONGEST} letters"
        )
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name == "none":
        bare = re.sub(r"[^a-z0-9]+", "_", name.lower().removeprefix("thalweg-")).strip("_0123456789")
        hint = f", such as '{bare}'" if _NAME.fullmatch(bare) and not keyword.iskeyword(bare) else ""
        raise ConfigError(
            f"'{name}' cannot be a module's name; take small letters, digits and single underscores, "
            f"beginning with a letter{hint}"
        )
    if name in registry().names(kind):
        owner = registry().origin(kind, name)
        raise ConfigError(f"{article(kind)} '{name}' is registered by {owner} already; choose another name")
    for one in registry().plugins:
        if one.origin.plugin == name:
            raise ConfigError(f"a plugin '{name}' is installed by {one.origin} already; choose another name")


def _words(name: str, kind: str, distribution: str) -> dict[str, object]:
    camel = "".join(part.capitalize() for part in name.split("_"))
    return {
        "name": name,
        "kind": kind,
        "noun": kind.replace("_", " "),
        "distribution": distribution,
        "package": f"thalweg_{name}",
        "cls": camel,
        "api_version": API_VERSION,
    }


def _write(place: Path, kind: str, words: dict[str, object]) -> None:
    # Each kind's template extends the page that is rendered, and fills its blocks.
    environment = Environment(
        loader=FunctionLoader(lambda path: _TEMPLATES.joinpath(*path.split("/")).read_text("utf-8")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - no HTML
    )
    template = environment.get_template(f"kinds/{kind}.jinja")
    source = f"src/{words['package']}"
    pages = {
        "README.md": "README.md",
        "gitignore": ".gitignore",
        "pyproject.toml": "pyproject.toml",
        "test.yml": ".github/workflows/test.yml",
        "__init__.py": f"{source}/__init__.py",
        "plugin.py": f"{source}/plugin.py",
        "component.py": f"{source}/{kind}.py",
        "test.py": f"tests/test_{kind}.py",
    }
    texts = {path: template.render(words, page=f"pages/{page}.jinja") for page, path in pages.items()}
    for name, text in {**texts, f"{source}/py.typed": ""}.items():
        path = place / name
        for missing in [one for one in reversed(path.parents) if not one.exists()]:
            files.disk.make_folder(missing)
        files.write_new(path, [text.encode()])
