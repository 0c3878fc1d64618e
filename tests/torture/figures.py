"""Large inputs: how long they take and what memory; nothing is checked but what has a bound."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from torture.common import Finding, forked, thalweg

REPOSITORY = Path(__file__).parents[2]


def run(template: Path, scratch: Path, seed: int, count: int | None, workers: int) -> list[Finding]:
    """One after the other; ``count`` divides the sizes, for a quick try."""
    part = 1 if count is None else max(1, count)
    return [
        _report(template, scratch, 10**6 // part),
        _cells(scratch, 20, 10),
        _index(scratch, 10**5 // part),
        _plugins(scratch, 500 // part),
    ]


def _said(
    what: str, seconds: float, most: float, mib: float = 0.0, most_mib: float = 0.0, more: str = ""
) -> Finding:
    bad = seconds > most or bool(most_mib and mib > most_mib)
    memory = f", {mib:.0f} MiB (at most {most_mib:g})" if most_mib else ""
    return Finding(what, "measured", bad, f"{seconds:.2f} s (at most {most:g}){memory}{more}")


def _report(template: Path, scratch: Path, lines: int) -> Finding:
    folder = scratch / "report"
    shutil.copytree(template / "run", folder / "run", symlinks=True)
    with (folder / "run" / "metrics.jsonl").open("w") as file:
        for step in range(1, lines + 1):
            told = {"step": step, "loss": 1 / step, "velocity": 0.5, "lr": 0.001, "seconds": step / 100,
                    "images_per_second": 16.0}  # fmt: skip
            file.write(json.dumps(told) + "\n")
    ended = forked(thalweg("report", "run", "-o", "out.html"), folder, 60)
    size = (folder / "out.html").stat().st_size if (folder / "out.html").exists() else 0
    more = f", {size / 1e6:.2f} MB of HTML" if ended.code == 0 else f"; ended with {ended.code}"
    return _said(f"report of {lines:,} lines", ended.seconds, 20, ended.mib, 500, more)


def _fresh(arguments: Sequence[str], folder: Path, **environment: str) -> tuple[float, int | None]:
    """Seconds in an interpreter of its own, the best of three, and the exit code."""
    best, code = float("inf"), 0
    for _ in range(3):
        begun = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "thalweg", *arguments], cwd=folder, capture_output=True, timeout=120,
                env={**os.environ, **environment}, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return 120.0, None
        best, code = min(best, time.monotonic() - begun), done.returncode
        if best > 10:
            break
    return best, code


def _cells(scratch: Path, rates: int, drops: int) -> Finding:
    folder = scratch / "cells"
    folder.mkdir()
    recipe = REPOSITORY / "recipes" / "digits-deepflow-2t.toml"
    first = "training.optimizer.lr=" + ",".join(f"{0.0001 * (n + 1):.4f}" for n in range(rates))
    second = "training.condition_dropout=" + ",".join(f"{0.01 * (n + 1):.2f}" for n in range(drops))
    seconds, code = _fresh(("ablate", str(recipe), "--axis", first, "--axis", second, "--dry-run"), folder)
    return _said(f"ablate --dry-run of {rates * drops} cells", seconds, 10, more=_ended(code))


def _index(scratch: Path, shards: int) -> Finding:
    import attrs

    from shard_makers import make_shards

    folder = scratch / "index"
    index = make_shards(folder, count=4, shard_samples=2)
    many = attrs.evolve(
        index, header=attrs.evolve(index.header, count=2 * shards), shards=tuple([index.shards[0]] * shards)
    )
    (folder / "index.json").write_bytes(many.to_bytes())

    def task() -> int:
        from thalweg.data.shards import read_index
        from thalweg.storage import Location

        begun = time.monotonic()
        found = read_index(Location(folder))
        print(time.monotonic() - begun)
        return int(len(found.shards) != shards)

    ended = forked(task, folder, 60)
    seconds = float(ended.out) if ended.code == 0 else 60.0
    return _said(f"an index of {shards:,} shards is read", seconds, 2, more=_ended(ended.code))


def _plugins(scratch: Path, count: int) -> Finding:
    place = scratch / "plugins"
    for number in range(count):
        info = place / f"thalweg_made_up_{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: thalweg-made-up-{number}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[thalweg]\nmade-up-{number} = thalweg_made_up_{number}\n")
        (place / f"thalweg_made_up_{number}.py").write_text("")
    path = f"{place}:{os.environ.get('PYTHONPATH', '')}"
    seconds, code = _fresh(("--help",), place, PYTHONPATH=path)
    return _said(f"--help with {count} plugins installed", seconds, 0.4, more=_ended(code))


def _ended(code: int | None) -> str:
    return "" if code == 0 else f"; ended with {code}"
