"""Recipes: TOML files and overrides of single keys."""

import copy
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from thalweg.arguments import check_path, check_texts
from thalweg.config.faults import FaultyConfigError, Problem
from thalweg.config.run import RunConfig
from thalweg.config.secret import SECRET_KEY
from thalweg.config.structuring import structure
from thalweg.config.type_at import type_at
from thalweg.errors import ConfigError, DataError
from thalweg.plugins import Registry
from thalweg.plugins.recording import FILES_KEY, note_files
from thalweg.storage.feeding import feed_argument
from thalweg.storage.places import is_url, plain_place, read_place
from thalweg.storage.redaction import redacted, register_secrets, register_text
from thalweg.suggestions import did_you_mean

_LARGEST = 2**20  # bytes of a TOML file
_DEEPEST = 64
_DEEP = f"nested more than {_DEEPEST} levels deep"
_PART = r"""(?:[\w-]++|"[^"\n]{0,80}+"|'[^'\n]{0,80}+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:\s*+\.\s*+{_PART}){{{_DEEPEST}}}")
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_SEVERAL = "there are {} of them; state the whole list, as in {}=[...]"


def load_config(
    path: Path | str, overrides: Iterable[str] = (), registry: Registry | None = None
) -> RunConfig:
    """Read a recipe.

    Args:
        path: the TOML file, a path or a URL.
        overrides: ``key.path=value``, later ones win; values are TOML, and bare words are strings.
        registry: where components are looked up; the process's own by default.

    Raises:
        FaultyConfigError: with all problems at once; the message names the file.
        ConfigError: the file cannot be read.
        PluginError: a component that is asked for cannot be imported.
    """
    check_path("path", path, "a recipe")
    texts = check_texts("overrides", overrides, "['training.steps=4']")
    return structured(path, read_recipe(path), texts, registry)


def read_recipe(path: Path | str) -> dict[str, Any]:
    """A recipe's file as plain values, with its name.

    Raises:
        ConfigError: as :func:`read_toml`.
    """
    data = read_toml(path)
    data.setdefault("name", Path(str(path).partition("?")[0] if is_url(path) else path).stem)
    return data


def structured(
    path: Path | str,
    recipe: Mapping[str, Any],
    overrides: Iterable[str] = (),
    registry: Registry | None = None,
) -> RunConfig:
    """A recipe that was read, with overrides, as a config; arguments as of :func:`load_config`.

    Args:
        path: the file, for messages.
        recipe: what it holds; left as it is.
        overrides: ``key.path=value``.
        registry: where components are looked up.

    Raises:
        FaultyConfigError: with all problems at once.
        PluginError: a component that is asked for cannot be imported.
    """
    data = copy.deepcopy(dict(recipe))
    note_files(data.pop(FILES_KEY, None), str(path))  # of a run, whose configuration may be a recipe
    problems: list[Problem] = []
    for item in overrides:
        try:
            _check_text(item)
            apply_override(data, item, RunConfig, registry)
        except FaultyConfigError as faults:
            problems += faults.problems
    try:
        config = structure(RunConfig, data, registry)
    except FaultyConfigError as faults:
        raise FaultyConfigError([*problems, *faults.problems], str(path)) from None
    if problems:
        raise FaultyConfigError(problems, str(path))
    return config


def read_toml(path: Path | str) -> dict[str, Any]:
    """A TOML file as plain values.

    Raises:
        ConfigError: it is missing, unreadable or no TOML.
    """
    file, shown = Path(plain_place(path)), redacted(str(path))
    try:
        text = read_place(path, _LARGEST).decode("utf-8-sig")  # some editors write a byte order mark
        # Before anything is said of it, also where it is no TOML.
        register_text(text)
        return parse_toml(text)
    except FileNotFoundError:
        beside = [str(other) for other in file.parent.glob("*.toml")]
        raise ConfigError(f"{shown} does not exist{did_you_mean(str(file), beside)}") from None
    except DataError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown} is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    except ValueError as error:
        raise ConfigError(f"{shown} is no valid TOML: {redacted(str(error))}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """TOML as plain values.

    Raises:
        ValueError: it is no TOML, or nested too deeply.
    """
    # The parser takes the square of a key's length, in time and in memory. A text of as many words and dots,
    # which no recipe has, is taken for one.
    if _LONG_KEY.search(text):
        raise ValueError(_DEEP)
    try:
        data = tomllib.loads(text)
        _check_depth(data)
    except RecursionError:
        raise ValueError(_DEEP) from None
    return data


def _check_text(item: str) -> None:
    """An override goes into the run's recorded configuration, which is UTF-8."""
    try:
        item.encode()
    except UnicodeEncodeError:
        key = item.partition("=")[0].strip()
        path = tuple(key.split(".")) if _KEY.fullmatch(key) else ()
        raise FaultyConfigError(
            [Problem(path, "holds bytes that are no UTF-8 text; rename what it names, or give a link to it")]
        ) from None


def _check_depth(data: Any) -> None:
    """Tables that dotted keys nest are not bounded by the parser, and all that walks them is recursive."""
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(_DEEP)
        level = [
            one
            for outer in level
            for one in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(one, dict | list)
        ]


def apply_override(
    data: dict[str, Any], item: str, cls: type[Any] | None = None, registry: Registry | None = None
) -> None:
    """Set one ``key.path=value`` in plain values.

    A bare component name on the way becomes its table: ``backbone.depth=4`` after ``backbone = "dit"``. The
    bare name of the component that is there already changes nothing: ``refiner=vera`` keeps what a table of
    that type states, and ``refiner={type="vera"}`` puts the defaults in its place.

    Args:
        data: what is changed.
        item: the override.
        cls: the config class that the values are meant for, which knows the type of a table that states none.
        registry: where components are looked up; the process's own by default.

    Raises:
        FaultyConfigError: it is no ``key.path=value``, or the value is no TOML.
    """
    key, equals, text = item.partition("=")
    key, text = key.strip(), text.strip()
    feed_argument(item)  # before anything is said of it
    if SECRET_KEY in key:
        item = key
        register_secrets({key.rpartition(".")[2]: text})  # quoted as it may be
    if not equals or not _KEY.fullmatch(key):
        raise FaultyConfigError(
            [Problem((), f"override '{redacted(item)}' is not of the form key.path=value")]
        )
    *parents, last = key.split(".")
    if len(parents) >= _DEEPEST:
        raise FaultyConfigError([Problem((), f"the override of '{parents[0]}...' is {_DEEP}")])
    value = _value(tuple(key.split(".")), text)
    if SECRET_KEY in parents:
        register_secrets({last: value})
    elif last == SECRET_KEY and isinstance(value, dict):
        register_secrets(value)
    table = data
    for parent in parents:
        below = _single(table.get(parent, {}))
        if isinstance(below, list):
            raise FaultyConfigError([Problem(tuple(key.split(".")), _SEVERAL.format(len(below), parent))])
        if isinstance(below, str) and below != "none":
            below = {"type": below}
        table[parent] = table = below if isinstance(below, dict) else {}
    if isinstance(value, str) and last in table:
        table[last] = _single(table[last])
    named = isinstance(value, str) and isinstance(table.get(last), dict)
    if not named or value != type_at(cls, data, [*parents, last], registry):
        table[last] = value


def _single(value: Any) -> Any:
    """What is in a list of one; of others, the value itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _value(path: tuple[str, ...], text: str) -> Any:
    try:
        parsed = parse_toml(f"value = {text}")
        if len(parsed) == 1:
            return parsed["value"]
    except ValueError as error:
        if str(error) == _DEEP:
            raise FaultyConfigError([Problem(path, f"the override is {_DEEP}")]) from None
    # What begins like a TOML value is a slip, not a word.
    if not text or "\n" in text or text[0] in "[{\"'":
        hidden = SECRET_KEY in path
        shown = "with its value" if hidden else redacted(text) or "without a value"
        raise FaultyConfigError([Problem(path, f"the override {shown} is no TOML value")])
    return text
