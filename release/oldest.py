"""Prints the lower bound of every dependency of the six packages as a pin, for ``make test-oldest``."""

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def pins() -> list[str]:
    """``name==lowest`` of each dependency and extra, by name; the highest of several bounds."""
    lowest: dict[str, str] = {}
    for path in sorted((ROOT / "packages").glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text())["project"]
        extras = project.get("optional-dependencies", {}).values()
        for text in [*project["dependencies"], *(one for extra in extras for one in extra)]:
            requirement = Requirement(text)
            if not requirement.name.startswith("thalweg-"):
                (bound,) = [one.version for one in requirement.specifier if one.operator == ">="]
                lowest[requirement.name] = max(lowest.get(requirement.name, "0"), bound, key=_order)
    return [f"{name}=={bound}" for name, bound in sorted(lowest.items())]


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    sys.stdout.write("".join(f"{pin}\n" for pin in pins()))
