"""Controls: cells whose outcome is known beforehand, so that a table is seen to tell cells apart."""

from collections.abc import Mapping
from math import inf
from typing import Any


def check_controls(found: Mapping[str, Any], stated: Mapping[str, str]) -> dict[str, Any] | None:
    """Whether the cells that must come last do so, in the first number that has a direction.

    A control holds if its mean over the seeds is worse than that of every cell that is no control; one that
    diverged is worse than any that did not. It is not known before all runs are done.

    Args:
        found: the content of ``results.json``.
        stated: by name of a cell, what is expected of it.

    Returns:
        ``number`` (by which they are ranked, None where none has a direction) and ``held`` (by name of a
        control; None while it is not known); None if there is no control.
    """
    if not stated:
        return None
    means = {cell["name"]: cell["numbers"] for cell in found["cells"]}
    names = list(next((numbers for numbers in means.values() if numbers), {}))
    number = next((name for name in names if found["better"].get(name)), None)
    if not found["complete"]:
        return {"number": number, "held": dict.fromkeys(stated)}
    if number is None:  # nothing says what is last
        return {"number": None, "held": dict.fromkeys(stated, False)}
    sign = 1 if found["better"][number] == "lower" else -1
    # Without a mean: all runs are done, so one has diverged.
    badness = {name: sign * numbers[number]["mean"] if numbers else inf for name, numbers in means.items()}
    others = max((bad for name, bad in badness.items() if name not in stated and bad < inf), default=inf)
    return {"number": number, "held": {name: badness[name] > others for name in stated}}


def failed_controls(found: Mapping[str, Any]) -> list[str]:
    """Those that did not come last."""
    controls = found["controls"]
    return [] if controls is None else [name for name, held in controls["held"].items() if held is False]


def controls_in_words(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What became of the controls; nothing if there are none."""
    controls = found["controls"]
    if controls is None:
        return ()
    number, held = controls["number"], controls["held"]
    if None in held.values():
        return (f"Whether the control {' and '.join(held)} comes last shows when all runs are done.",)
    if number is None:
        return (
            f"No number of this table says whether higher or lower is better, so the control "
            f"{' and '.join(held)} cannot come last: the table does not tell cells apart.",
        )
    texts = []
    came, failed = [name for name, one in held.items() if one], failed_controls(found)
    if came:
        texts.append(f"Control: {' and '.join(came)} came last in {number}, as must be.")
    if failed:
        texts.append(
            f"CONTROL FAILED: {' and '.join(failed)} did not come last in {number}. This table cannot tell "
            f"its cells apart: conclude nothing from it."
        )
    return tuple(texts)
