"""From values of the right types to an instance, with what all validators say."""

from typing import Any

import attrs

from thalweg.config.faults import FaultyConfigError, Problem, sentence
from thalweg.errors import ConfigError


def build(cls: type[Any], values: dict[str, Any], problems: list[Problem]) -> Any:
    """The instance, or everything that stands against it.

    Args:
        cls: a frozen attrs class.
        values: those of its fields that could be read, by their keys.
        problems: what is wrong with the others.

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
    readable = [field for field in attrs.fields(cls) if (field.alias or field.name) not in unreadable]
    given = [field for field in readable if _fill(draft, field, values)]
    problems = []
    for field in given:
        try:
            if field.validator is not None:
                field.validator(draft, field, getattr(draft, field.name))
        except AttributeError:
            pass  # It compares with a field that is itself in error.
        except Exception as error:
            problems.append(Problem((field.alias or field.name,), sentence(error, field.name)))
    return problems


def _fill(draft: Any, field: "attrs.Attribute[Any]", values: dict[str, Any]) -> bool:
    key = field.alias or field.name
    default: Any = field.default
    if key in values:
        value = values[key]
    elif isinstance(default, attrs.Factory):  # type: ignore[arg-type] # a class, typed as a function
        value = default.factory(*[draft] if default.takes_self else [])
    elif default is not attrs.NOTHING:
        value = default
    else:
        return False
    object.__setattr__(draft, field.name, value)
    return True
