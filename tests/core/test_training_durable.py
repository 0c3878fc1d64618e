"""The order in which a run puts things on the disk, so that a power cut costs nothing that it calls done."""

import os
from pathlib import Path
from typing import Any

import pytest

from fault_disk import OPERATIONS, NotingDisk
from thalweg import files
from thalweg.data.digits import DigitsConfig
from thalweg.training.trainer import Trainer
from tiny_runs import tiny

DIGITS = DigitsConfig().build()


class TracingDisk(NotingDisk):
    """Writes down each operation with whole paths, and what is written and not synced.

    Attributes:
        trace: operation, the paths that it is about, and a copy of what was dirty then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trace: list[tuple[str, tuple[Path, ...], frozenset[Path]]] = []
        self.dirty: set[Path] = set()

    def before(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        paths = tuple(
            Path(os.readlink(f"/proc/self/fd/{one}")) if isinstance(one, int) else Path(one)  # noqa: PTH115
            for one in (arguments[:1] if name in ("write", "sync") else arguments)
        )
        self.trace.append((name, paths, frozenset(self.dirty)))
        if name == "sync":
            self.dirty -= {paths[0]}
        elif name == "write":
            self.dirty |= {paths[0]}
        elif name == "move":
            self.dirty = {_moved(one, *paths) for one in self.dirty}
        elif name == "remove":
            self.dirty -= {paths[0]}
        if name in ("create", "move", "exchange", "make_folder"):
            self.dirty |= {path.parent for path in paths}


def _moved(path: Path, source: Path, target: Path) -> Path:
    return target / path.relative_to(source) if path.is_relative_to(source) else path


def traced(run_dir: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> TracingDisk:
    assert "write" in OPERATIONS
    config = tiny(
        top={"loggers": {"csv": {}}}, steps=steps, sample_every=2, keep=1, async_checkpoints=False,
        validate_every=0,
    )  # fmt: skip
    trainer = Trainer(config, run_dir, dataset=DIGITS, accelerator="cpu", quiet=True)
    with monkeypatch.context() as patched:
        disk = TracingDisk()
        patched.setattr(files, "disk", disk)
        trainer.train()
    return disk


def test_everything_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (tmp_path / "deep" / "run").resolve()
    disk = traced(run, monkeypatch, 4)
    disk.trace += traced(run, monkeypatch, 8).trace
    published, placed = [], set()
    for place, (name, paths, dirty) in enumerate(disk.trace):
        if name not in ("move", "exchange") or ".partial-old-" in paths[1].name:
            continue
        fresh, target = paths
        placed.add(target.name)
        # Its content, and if it is a folder the names in it.
        assert not [one for one in dirty if one == fresh or one.is_relative_to(fresh)], paths
        # Nothing else happens before the new name is on the disk.
        assert disk.trace[place + 1][:2] == ("sync", (target.parent,)), paths
        if target.name.startswith("step-") and target.parent.name == "checkpoints":
            published.append(target.name)
            assert not {run / "metrics.jsonl", run / "metrics.csv"} & dirty
    assert published == ["step-00000002", "step-00000004", "step-00000006", "step-00000008"]
    assert placed >= {
        "config.toml", "metrics.jsonl", "metrics.csv", "saved.json", "latest", "model", "step-000002.png",
    }  # fmt: skip


def test_what_is_replaced_goes_only_when_its_successor_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, there = traced(tmp_path.resolve() / "run", monkeypatch, 6), set[str]()
    for name, paths, dirty in disk.trace:
        if name == "move" and paths[1].name.startswith("step-"):
            there.add(paths[1].name)
        if name == "move" and ".partial-old-" in paths[1].name:
            assert paths[1].parent not in dirty
            assert max(there) > paths[0].name


def test_new_folders_are_on_the_disk_before_what_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = traced(tmp_path.resolve() / "some" / "where" / "run", monkeypatch, 2)
    made = [place for place, (name, _, _) in enumerate(disk.trace) if name == "make_folder"]
    names = [disk.trace[place][1][0].name for place in made]
    assert names[:3] == ["some", "where", "run"]
    assert {"checkpoints", "samples"} <= set(names)
    for place in made:
        if not disk.trace[place][1][0].name.startswith("."):
            assert disk.trace[place + 1][:2] == ("sync", (disk.trace[place][1][0].parent,))
