"""Recipes: TOML files and overrides of single keys."""

import copy
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from thalweg.arguments import check_path, check_texts
from thalweg.config.bases import BASE, Recipe, merged, place_beside, single, type_at
from thalweg.config.components import structure
from thalweg.config.run import RunConfig
from thalweg.config.values import SECRET_KEY, FaultyConfigError, Problem, fault, shown
from thalweg.errors import ConfigError, DataError
from thalweg.plugins.recording import FILES_KEY, note_files
from thalweg.storage.places import is_url, plain_place, read_place
from thalweg.storage.redaction import redacted, register_secrets, register_text
from thalweg.storage.registration import register_argument
from thalweg.suggestions import did_you_mean

_LARGEST = 2**20  # bytes of a TOML file
_MOST_FILES = 16  # of one recipe
_DEEPEST = 64
_DEEP = f"nested more than {_DEEPEST} levels deep"
_PART = r"""(?:[\w-]++|"[^"\n]{0,80}+"|'[^'\n]{0,80}+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:\s*+\.\s*+{_PART}){{{_DEEPEST}}}")
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def load_config(path: Path | str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a recipe, with the recipes that it is based on.

    Args:
        path: the TOML file, a path or a URL.
        overrides: ``key.path=value``, later ones win; values are TOML, and bare words are strings.

    Raises:
        FaultyConfigError: with all problems at once; the message names the file.
        ConfigError: the file cannot be read.
        PluginError: a component that is requested cannot be imported.
    """
    check_path("path", path, "a recipe")
    texts = check_texts("overrides", overrides, "['training.steps=4']")
    return structured(read_recipe(path), texts)


def read_recipe(path: Path | str) -> Recipe:
    """A recipe's file and its bases as plain values, with its name: each is called as its own file is.

    Raises:
        ConfigError: as :func:`read_toml`; or the bases form a circle.
    """
    layers: list[tuple[str, Mapping[str, Any]]] = []
    visited: set[str] = set()
    place: str | None = str(path)
    while place is not None:
        known = place if is_url(place) else os.path.realpath(plain_place(place))
        chain = " -> ".join([one for one, _ in layers] + [place])
        if known in visited:
            raise ConfigError(
                redacted(f"{path}: base: the bases form a circle, {chain}; take one of them out")
            )
        if len(layers) == _MOST_FILES:
            raise ConfigError(redacted(f"{path}: base: more than {_MOST_FILES} files are based on another"))
        visited.add(known)
        try:
            data = read_toml(place)
        except ConfigError as error:
            raise (ConfigError(redacted(f"{layers[-1][0]}: base: {error}")) if layers else error) from None
        # Of a run, whose configuration may be a recipe.
        note_files(data.pop(FILES_KEY, None), place)
        base = data.pop(BASE, None)
        if base is not None and not isinstance(base, str):
            raise FaultyConfigError([Problem((BASE,), f"expected a path or URL, got {shown(base)}")], place)
        layers.append((place, data))
        place = None if base is None else place_beside(place, base)
    whole = reduce(lambda below, above: merged(below, above), [data for _, data in reversed(layers)])
    named = Path(str(path).partition("?")[0] if is_url(path) else path).stem
    return Recipe(str(path), {**whole, "name": layers[0][1].get("name", named)}, tuple(layers))


def structured(recipe: Recipe, overrides: Iterable[str] = ()) -> RunConfig:
    """A recipe that was read, with overrides, as a config; for the rest see :func:`load_config`."""
    data = copy.deepcopy(dict(recipe.data))
    problems: list[Problem] = []
    overridden = []
    for item in overrides:
        overridden.append(item.partition("=")[0].strip().split("."))
        try:
            _check_text(item)
            if overridden[-1] == [BASE]:
                raise fault("a recipe's file states it, and no override", BASE)
            apply_override(data, item, RunConfig)
        except FaultyConfigError as faults:
            problems += faults.problems
    try:
        config = structure(RunConfig, data)
    except FaultyConfigError as faults:
        problems += recipe.located(faults, overridden)
    if problems:
        raise FaultyConfigError(problems, recipe.place)
    return config


def read_toml(path: Path | str) -> dict[str, Any]:
    """A TOML file as plain values.

    Raises:
        ConfigError: it is missing, unreadable or no TOML.
    """
    file, named = Path(plain_place(path)), redacted(str(path))
    try:
        text = read_place(path, _LARGEST).decode("utf-8-sig")  # some editors write a byte order mark
        # Before any message about it, also where it is no TOML.
        register_text(text)
        return parse_toml(text)
    except FileNotFoundError:
        beside = [str(other) for other in file.parent.glob("*.toml")]
        raise ConfigError(f"{named} does not exist{did_you_mean(str(file), beside)}") from None
    except DataError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{named} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{named} is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    except ValueError as error:
        raise ConfigError(f"{named} is no valid TOML: {redacted(str(error))}") from error


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
        raise fault(
            "holds bytes that are no UTF-8 text; rename what it names, or give a link to it", *path
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


def apply_override(data: dict[str, Any], item: str, cls: type[Any] | None = None) -> None:
    """Set one ``key.path=value`` in plain values.

    A bare component name on the way becomes its table: ``backbone.depth=4`` after ``backbone = "dit"``. The
    bare name of the component that is there already changes nothing: ``refiner=vera`` keeps what a table of
    that type states, and ``refiner={type="vera"}`` puts the defaults in its place.

    Args:
        data: what is changed.
        item: the override.
        cls: the config class that the values are meant for, which knows the type of a table that states none.

    Raises:
        FaultyConfigError: it is no ``key.path=value``, or the value is no TOML.
    """
    key, equals, text = item.partition("=")
    key, text = key.strip(), text.strip()
    register_argument(item)  # before any message about it
    if SECRET_KEY in key:
        item = key
        register_secrets({key.rpartition(".")[2]: text})  # quoted as it may be
    if not equals or not _KEY.fullmatch(key):
        raise fault(f"override '{redacted(item)}' is not of the form key.path=value")
    *parents, last = key.split(".")
    if len(parents) >= _DEEPEST:
        raise fault(f"the override of '{parents[0]}...' is {_DEEP}")
    value = _value(tuple(key.split(".")), text)
    if SECRET_KEY in parents:
        register_secrets({last: value})
    elif last == SECRET_KEY and isinstance(value, dict):
        register_secrets(value)
    table = data
    for parent in parents:
        below = single(table.get(parent, {}))
        if isinstance(below, list):
            several = f"there are {len(below)} of them; state the whole list, as in {parent}=[...]"
            raise fault(several, *key.split("."))
        if isinstance(below, str) and below != "none":
            below = {"type": below}
        table[parent] = table = below if isinstance(below, dict) else {}
    if isinstance(value, str) and last in table:
        table[last] = single(table[last])
    named = isinstance(value, str) and isinstance(table.get(last), dict)
    if not named or value != type_at(cls, data, [*parents, last]):
        table[last] = value


def _value(path: tuple[str, ...], text: str) -> Any:
    try:
        parsed = parse_toml(f"value = {text}")
        if len(parsed) == 1:
            return parsed["value"]
    except ValueError as error:
        if str(error) == _DEEP:
            raise fault(f"the override is {_DEEP}", *path) from None
    # What begins like a TOML value is a slip, not a word.
    if not text or "\n" in text or text[0] in "[{\"'":
        hidden = SECRET_KEY in path
        given = "with its value" if hidden else redacted(text) or "without a value"
        raise fault(f"the override {given} is no TOML value", *path)
    return text
