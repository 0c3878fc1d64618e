"""What fields of configs hold: components, credentials, URLs, and plain values, read strictly.

Reading is written out rather than left to cattrs, whose scalars convert, whose lists take a string for its
letters, and whose errors would have to be taken apart for the path and worded anew.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from thalweg.errors import ConfigError
from thalweg.storage.places import plain_place
from thalweg.storage.redaction import redacted, register_secrets, register_url
from thalweg.suggestions import did_you_mean

Nested = Callable[[type[Any], Any], Any]

SLOT = "thalweg.component"
_SECRET = "thalweg.secret"  # noqa: S105 - the name of a mark
_URL = "thalweg.url"

SECRET_KEY = "storage_options"  # noqa: S105 - the name of a field
"""What a field made by :func:`secret_field` is called. Faults of overrides below it show no value."""

_BITS = 64
_BOUNDS = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}
_WORDS = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    Path: "a path",
    NoneType: "none",
}


@attrs.frozen
class Problem:
    """One thing that is wrong, and where: keys and list positions from the outside in."""

    path: tuple[str | int, ...]
    message: str

    def under(self, *keys: str | int) -> "Problem":
        """The same, with its path from further outside."""
        return Problem((*keys, *self.path), self.message)

    def __str__(self) -> str:
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return f"{where.removeprefix('.')}: {self.message}" if where else self.message


class FaultyConfigError(ConfigError):
    """A configuration with one or more problems; ``source`` is its file, or empty."""

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        self.problems, self.source = tuple(problems), source
        lines = [str(problem) for problem in self.problems]
        if len(lines) > 1:
            lines.insert(0, f"{source or 'the configuration'} has {len(lines)} faults:")
        elif source:
            lines[0] = f"{source}: {lines[0]}"
        super().__init__(redacted("\n  ".join(lines)))

    def under(self, *keys: str | int) -> "FaultyConfigError":
        """The same problems, with their paths from further outside."""
        return FaultyConfigError([problem.under(*keys) for problem in self.problems], self.source)


def fault(message: str, *path: str | int) -> FaultyConfigError:
    """One problem, as an error."""
    return FaultyConfigError([Problem(path, message)])


def collect(entries: Iterable[tuple[Any, Callable[[], Any]]]) -> dict[Any, Any]:
    """What each of them reads, by key.

    Raises:
        FaultyConfigError: with the problems of all, each below its key.
    """
    found: dict[Any, Any] = {}
    problems: list[Problem] = []
    for key, read_it in entries:
        try:
            found[key] = read_it()
        except FaultyConfigError as faults:
            problems += faults.under(key).problems
    if problems:
        raise FaultyConfigError(problems)
    return found


def read(annotation: Any, data: Any, nested: Nested) -> Any:
    """A plain value as its annotation has it; ``nested`` reads attrs classes.

    Raises:
        FaultyConfigError: it does not fit, or no plain value ever does.
    """
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if annotation is None or origin in (Any, object):
        return data
    if origin is Annotated:
        return read(arguments[0], data, nested)
    if origin in (Union, UnionType):
        return _union(arguments, data, nested)
    if origin is Literal:
        if not any(type(option) is type(data) and option == data for option in arguments):
            raise fault(_one_of(arguments, data))
        return data
    if origin in (list, tuple, Sequence):
        items = _items(annotation, arguments, data, nested)
        return items if origin is list else tuple(items)
    if origin in (dict, Mapping):
        if not isinstance(data, Mapping):
            raise fault(f"expected {_words(annotation)}, got {shown(data)}")
        member = arguments[1] if arguments else Any
        return collect((str(key), partial(read, member, one, nested)) for key, one in data.items())
    if attrs.has(origin):
        return nested(origin, data)
    return _scalar(annotation, data)


def _scalar(annotation: Any, data: Any) -> Any:
    if annotation not in _WORDS:
        raise fault(f"has the type {annotation}, which cannot be read from a configuration")
    if annotation is NoneType and (data is None or data == "none"):
        return None
    if annotation is float and type(data) in (int, float):
        if not math.isfinite(data):
            raise fault(f"expected a finite number, got {data}")
        return float(data)
    if annotation is Path and isinstance(data, str | Path):
        return Path(plain_place(data))
    # By type(), as True is an int to isinstance.
    if type(data) is annotation:
        if type(data) is int and data.bit_length() >= _BITS:
            raise fault(f"expected an integer of less than {_BITS} bits, got one of {data.bit_length()}")
        return data
    raise fault(f"expected {_WORDS[annotation]}, got {shown(data)}")


def _union(members: tuple[Any, ...], data: Any, nested: Nested) -> Any:
    if NoneType in members and (data is None or data == "none"):
        return None
    others = [member for member in members if member is not NoneType]
    if len(others) == 1:
        return read(others[0], data, nested)
    for member in others:
        try:
            return read(member, data, nested)
        except FaultyConfigError:
            continue
    raise fault(f"expected {' or '.join(_words(member) for member in others)}, got {shown(data)}")


def _items(annotation: Any, arguments: tuple[Any, ...], data: Any, nested: Nested) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise fault(f"expected {_words(annotation)}, got {shown(data)}")
    members = [arguments[0] if arguments else Any] * len(data)
    if get_origin(annotation) is tuple and arguments[1:] != (Ellipsis,):
        if len(data) != len(arguments):
            raise fault(f"expected {len(arguments)} values, got {len(data)}")
        members = list(arguments)
    pairs = enumerate(zip(members, data, strict=True))
    return list(collect((i, partial(read, member, one, nested)) for i, (member, one) in pairs).values())


def _words(annotation: Any) -> str:
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return f"one of {', '.join(map(shown, get_args(annotation)))}"
    if origin in (list, tuple, Sequence):
        return "a list"
    if origin in (dict, Mapping) or attrs.has(origin):
        return "a table"
    return _WORDS.get(annotation, str(annotation))


def instance_of(cls: type[Any], values: dict[str, Any], problems: list[Problem]) -> Any:
    """An instance of a frozen attrs class, of those fields that could be read.

    Raises:
        FaultyConfigError: with those problems and what every validator says.
    """
    if not problems:
        try:
            return cls(**values)
        except (ValueError, TypeError, ConfigError) as error:
            raise FaultyConfigError(_invalid(cls, values, set()) or [Problem((), str(error))]) from error
    unreadable = {problem.path[0] for problem in problems if problem.path}
    raise FaultyConfigError([*problems, *_invalid(cls, values, unreadable)])


def _invalid(cls: type[Any], values: dict[str, Any], unreadable: set[str | int]) -> list[Problem]:
    """What each validator by itself says, as attrs' __init__ stops at the first."""
    draft = object.__new__(cls)
    # Nothing stands in for a value that could not be read: its default would mislead cross-checks.
    readable = [field for field in attrs.fields(cls) if key_of(field) not in unreadable]
    given = [field for field in readable if _fill(draft, field, values)]
    problems = []
    for field in given:
        try:
            if field.validator is not None:
                field.validator(draft, field, getattr(draft, field.name))
        except AttributeError:
            pass  # It compares with a field that is itself in error.
        except Exception as error:
            problems.append(Problem((key_of(field),), _sentence(error, field.name)))
    return problems


def _fill(draft: Any, field: "attrs.Attribute[Any]", values: dict[str, Any]) -> bool:
    value: Any = values.get(key_of(field), field.default)
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type] # a class, typed as a function
        value = value.factory(*[draft] if value.takes_self else [])
    if value is not attrs.NOTHING:
        object.__setattr__(draft, field.name, value)
    return value is not attrs.NOTHING


def shown(value: object) -> str:
    """A value as it stands in TOML, or what it is if it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(value)


def _one_of(options: Sequence[object], value: object) -> str:
    """``must be one of 'a', 'b', got 'c'``, with the nearest."""
    words = [one for one in options if isinstance(one, str)]
    hint = did_you_mean(value, words) if isinstance(value, str) else ""
    return f"must be one of {', '.join(map(shown, options))}, got {shown(value)}{hint}"


def _sentence(error: Exception, name: str) -> str:
    """What a validator says of the field ``name``, in our words where it is one of attrs' own."""
    message = str(error.args[0]) if error.args else type(error).__name__
    message = message.removeprefix(f"'{name}' ")
    if message.startswith("must be in ") and len(error.args) == 4:
        return _one_of(list(error.args[2]), error.args[3])
    bound = re.fullmatch(rf"(Length of '{name}' )?must be (>=|<=|>|<) (\S+): (.*)", message, re.DOTALL)
    if bound:
        verb = "its length must be" if bound[1] else "must be"
        return f"{verb} {_BOUNDS[bound[2]]} {bound[3].removesuffix('.0')}, got {bound[4]}"
    return message


@attrs.frozen
class Slot:
    """What a field takes: a component of a kind, or None, written ``none``, if that is allowed.

    Attributes:
        table: any number of components by name, rather than one.
        several: any number of components in an order, rather than one.
    """

    kind: str
    optional: bool = False
    table: bool = False
    several: bool = False


def key_of(field: "attrs.Attribute[Any]") -> str:
    """What an attrs field is called in a file, and among the arguments of its class."""
    return field.alias or field.name


def slot_of(field: "attrs.Attribute[Any]") -> Slot | None:
    """What kind of component an attrs field holds, if any."""
    return field.metadata.get(SLOT)


def default_of(default: Any) -> Mapping[str, Any]:
    """A slot's default as a table with ``type``; empty where it has none, or none of a component."""
    if isinstance(default, str):
        return {"type": default}
    return default if isinstance(default, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """What stands for any number of components in an order, as a list: nothing, one, or several."""
    if value is None or (isinstance(value, str) and value == "none"):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def secret_field() -> Any:
    """A field of storage options, called ``storage_options``: ``dict[str, Any]``, empty by default.

    Its values are known as secrets from when it is read, no ``repr`` shows it, and
    :func:`thalweg.config.dump` leaves it out, so that no recipe, checkpoint or report holds it.
    """
    return attrs.field(factory=dict, converter=_secrets, repr=False, hash=False, metadata={_SECRET: True})


def url_field(default: Any = attrs.NOTHING) -> Any:
    """A field with a URL or path: ``str``. Its user info and query values are masked in ``repr`` and by
    :func:`thalweg.config.dump`.

    Args:
        default: nothing for a field that must be given.
    """
    return attrs.field(default=default, converter=_url, repr=_masked, metadata={_URL: True})


def is_secret(field: "attrs.Attribute[Any]") -> bool:
    """Whether a field holds storage options."""
    return _SECRET in field.metadata


def is_url(field: "attrs.Attribute[Any]") -> bool:
    """Whether a field holds a URL."""
    return _URL in field.metadata


def _secrets(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError("storage options must be a table")  # and no more: the value may be a secret
    register_secrets(value)
    return dict(value)


def _url(value: Any) -> Any:
    if isinstance(value, str):
        register_url(value)
    return value


def _masked(value: Any) -> str:
    return redacted(repr(value))
