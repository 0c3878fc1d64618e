"""What was found, as JSON and as the table of docs/security.md."""

import collections
import datetime
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import attrs

from torture.common import Finding


@attrs.frozen
class Outcome:
    """One scenario, done."""

    name: str
    what: str
    findings: Sequence[Finding]
    seconds: float

    @property
    def bad(self) -> list[Finding]:
        """What must not be."""
        return [one for one in self.findings if one.bad]

    def verdicts(self) -> str:
        """How often what came out."""
        counted = collections.Counter(one.verdict for one in self.findings)
        return ", ".join(f"{count:,} {name}" for name, count in counted.most_common())

    def text(self, verbose: bool) -> str:
        """For people who wait."""
        shown = self.findings if verbose else self.bad
        lines = [f"  {'BAD ' if one.bad else ''}{one.verdict}: {one.case}  {one.note}" for one in shown]
        head = f"{self.name}: {len(self.findings)} tried in {self.seconds:.0f} s: {self.verdicts()}"
        return "\n".join([f"{head}; {len(self.bad)} bad", *lines])


def write(folder: Path, outcomes: Sequence[Outcome], seed: int, arguments: Sequence[str]) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = f"Linux {platform.release()}, Python {platform.python_version()}"
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, {versions}"
    told = {
        "command": " ".join(["python", "tests/torture", *arguments]),
        "date": day,
        "machine": machine,
        "seed": seed,
        "scenarios": [{**attrs.asdict(one), "bad": len(one.bad)} for one in outcomes],
    }
    (folder / "torture.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    rows = [
        f"| {one.name} | {one.what} | {len(one.findings):,} | {one.verdicts()} | {len(one.bad)} "
        f"| {one.seconds:.0f} s |"
        for one in outcomes
        if one.name != "figures"
    ]
    figures = [
        f"| {finding.case} | {finding.note} |"
        for one in outcomes
        if one.name == "figures"
        for finding in one.findings
    ]
    text = [
        f"`make torture` (`{told['command']}`), {day}, seed {seed}, {machine}:",
        "",
        "| scenario | what | tried | what came of it | must not be | took |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    if figures:
        text += ["", "| input | measured |", "|---|---|", *figures]
    (folder / "torture.md").write_text("\n".join(text) + "\n")
