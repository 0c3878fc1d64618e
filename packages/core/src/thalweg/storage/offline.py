"""Whether the user has ruled downloads out."""

import os

VARIABLES = ("THALWEG_OFFLINE", "HF_HUB_OFFLINE")
"""Environment variables that do."""

_YES = frozenset(["1", "on", "yes", "true"])


def offline() -> str:
    """The variable that rules them out; empty if none does."""
    return next((one for one in VARIABLES if os.environ.get(one, "").strip().lower() in _YES), "")
