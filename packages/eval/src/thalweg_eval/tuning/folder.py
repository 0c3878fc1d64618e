"""The folder of a tuning, bound to the network, the protocol and the guidance that is tuned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.documents import read_document, write_document
from thalweg.errors import ConfigError
from thalweg.folders import clear_leftovers
from thalweg.storage.redaction import redacted_plain
from thalweg_eval.ablation.folder import refuse_strangers

PLAN, POINTS, RESULTS, REPORT = "tuning.json", "points", "results.json", "report.html"


def claim(out: Path, plan: Mapping[str, Any]) -> None:
    """Bind the folder to what its points have in common; more of a grid and seeds may be added later.

    Args:
        out: the folder, locked.
        plan: what may not change, in plain values, by what messages call it.

    Raises:
        ConfigError: it holds another tuning, or something else.
        DataError: its plan is damaged.
        ThalwegError: it cannot be written.
    """
    bound, path = redacted_plain(dict(plan)), out / PLAN
    try:
        there = read_document(path, "a tuning's plan", "choose another --out", sealed=True)
    except FileNotFoundError:
        refuse_strangers(out, "tuning")
    else:
        differing = next((key for key, value in bound.items() if there.get(key) != value), None)
        if differing is not None:
            raise ConfigError(
                f"{out} holds another tuning, it differs in {differing}; choose another --out, or what it had"
            )
    clear_leftovers(*(out / name for name in (PLAN, RESULTS, REPORT)))
    write_document(path, bound, sealed=True)
