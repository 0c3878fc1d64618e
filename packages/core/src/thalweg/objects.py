"""What was made in Python and has no name in the registry: how it is recorded (no torch here)."""

from collections.abc import Mapping
from typing import Any

OBJECT = "object"
"""The key of a table that stands for such a part: ``{object = "module:QualName"}``."""

_SPECIAL = ("__call__", "__len__", "__getitem__")


def object_name(value: Any) -> str:
    """``module:QualName`` of the class of an object, or of a function itself."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def is_object(table: Any) -> bool:
    """Whether a recorded value stands for what was made in Python."""
    return isinstance(table, Mapping) and OBJECT in table and "type" not in table


def made_in_python(what: str, table: Any) -> str:
    """Why a recorded object cannot be made again, and what to do."""
    name = str(table[OBJECT]).replace(":", ".", 1)
    return (
        f"the {what} was made in Python, by {name}, and nothing is imported by such a name; give the {what} "
        "again as an object"
    )


def lacking(part: Any, protocol: Any) -> list[str]:
    """The members of a protocol that an object has not."""
    names = dict.fromkeys([*getattr(protocol, "__annotations__", {}), *vars(protocol)])
    members = [name for name in names if not name.startswith("_") or name in _SPECIAL]
    return [name for name in members if not hasattr(part, name)]
