"""When, on what and with what something was made, as the facts of a report."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_LONGEST = 200


def facts(
    made: Sequence[str], machines: Sequence[str], software: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Labels and values; what nobody wrote down is left out.

    Args:
        made: when, in ISO 8601: the first and the last time.
        machines: each in words.
        software: versions of Python, of packages and of plugins, as passports have them.
    """
    dates = list(dict.fromkeys(map(_date, made)))
    versions = {
        "Python": software.get("python"),
        **_table(software, "plugins"),
        **_table(software, "packages"),
    }
    stated = [f"{name} {number}" for name, number in versions.items() if number]
    found = {
        "Date": " to ".join(dates),
        "Machine" if len(machines) == 1 else "Machines": "; ".join(machines),
        "Versions": ", ".join(stated),
    }
    return tuple((label, value) for label, value in found.items() if value)


def machine(stated: Mapping[str, Any]) -> str:
    """The machine of a passport in words; empty if it does not say."""
    threads = stated.get("threads")
    words = [stated.get("platform"), stated.get("device"), None if threads is None else f"{threads} threads"]
    return ", ".join(str(word)[:_LONGEST] for word in words if word)


def _table(software: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = software.get(name)
    return found if isinstance(found, Mapping) else {}


def _date(written: str) -> str:
    """To the minute, or the day alone where no more is stated."""
    try:
        if len(written) <= len("2026-01-01"):
            return written
        return datetime.fromisoformat(written).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return written
