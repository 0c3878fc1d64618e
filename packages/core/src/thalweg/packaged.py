"""Files that packages bring along: found in their folders, nothing of them imported."""

import importlib.util
from pathlib import Path


def folder_of(package: str) -> Path | None:
    """Where a package is installed; None if it is not."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None
