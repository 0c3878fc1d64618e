"""What Thalweg brings along: a CycloneDX bill of materials and a list of licences, in build/.

Both describe the environment this runs in: of it the packages that Thalweg's six need and no others, in the
versions that are installed. ``make sbom`` installs the tools and runs it.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OURS = (
    "thalweg-core",
    "thalweg-backbones",
    "thalweg-refiners",
    "thalweg-samplers",
    "thalweg-eval",
    "thalweg-authoring",
)


def closure() -> set[str]:
    """Canonical names of our packages and of all that they need here, their own extras left out."""
    found: set[tuple[str, str]] = set()
    waiting = [(name, "") for name in OURS]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for requirement in map(Requirement, importlib.metadata.requires(name) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(canonical(requirement.name), one) for one in ("", *requirement.extras)]
    return {name for name, _ in found}


def canonical(name: str) -> str:
    """A distribution's name as metadata compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bill(names: set[str]) -> dict[str, object]:
    """CycloneDX's bill of the environment, of these packages alone."""
    whole = json.loads(_output("cyclonedx_py", "environment", "--output-reproducible", sys.executable))
    kept = [one for one in whole["components"] if canonical(one["name"]) in names]
    references = {one["bom-ref"] for one in kept}
    dependencies = [
        {**one, "dependsOn": [other for other in one.get("dependsOn", ()) if other in references]}
        for one in whole["dependencies"]
        if one["ref"] in references
    ]
    return {**whole, "components": kept, "dependencies": dependencies}


def licences(names: set[str]) -> str:
    """A table of the packages' licences."""
    options = ["--from=mixed", "--format=markdown", "--with-urls", "--packages", *sorted(names)]
    return _output("piplicenses", *options)


def _output(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Write both."""
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    names = closure()
    (folder / "sbom.cdx.json").write_text(json.dumps(bill(names), indent=1) + "\n")
    (folder / "licences.md").write_text(licences(names))
    sys.stdout.write(f"{len(names)} packages: {folder / 'sbom.cdx.json'}, {folder / 'licences.md'}\n")


if __name__ == "__main__":
    main()
