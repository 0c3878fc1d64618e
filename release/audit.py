"""Asks for known advisories against the oldest and the newest versions that Thalweg runs with.

The oldest are the lower bounds of our six packages, the newest what is installed in the environment that
this runs in, with all that it needs. ``make audit`` installs pip-audit and runs it. The exit status is 1 if
there are advisories, and 2 if the service that knows them cannot be asked: who asks nobody finds nothing.
"""

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

from oldest import pins
from sbom import OURS, closure

ROOT = Path(__file__).parents[1]

KNOWN = "jinja2==2.4"
"""What has advisories for certain: if none are told, nobody was asked."""


def installed() -> list[str]:
    """``name==version`` of all that our packages need here, ours and suffixes of builds left out."""
    names = sorted(closure() - set(OURS))
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]


def audited(requirements: list[str]) -> tuple[int, str]:
    """What pip-audit answers for these versions: its exit status, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text("".join(f"{one}\n" for one in requirements))
        command = [sys.executable, "-m", "pip_audit", "--strict", "--no-deps", "--disable-pip"]
        run = subprocess.run(
            [*command, "--progress-spinner", "off", "--timeout", "30", "-r", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    return run.returncode, (run.stdout + run.stderr).strip()


def main() -> int:
    """Audit both sets; the exit status."""
    _, said = audited([KNOWN])
    if "GHSA-" not in said and "PYSEC-" not in said and "CVE-" not in said:
        sys.stderr.write(
            "the service of advisories cannot be reached from here, so nothing was audited; run this where "
            f"https://pypi.org can be asked. It said:\n{said[-1000:]}\n"
        )
        return 2
    worst = 0
    for name, requirements in (("oldest", pins()), ("newest", installed())):
        status, said = audited(requirements)
        sys.stdout.write(f"the {name} set, {len(requirements)} packages:\n{said}\n\n")
        worst = max(worst, min(status, 1))
    return worst


if __name__ == "__main__":
    sys.exit(main())
