"""A power cut at any moment: what was done is whole, what was not begins anew, and nothing lies between."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluated import run_folder
from power_cuts import recorded
from shard_makers import header, samples
from small_states import CONFIG, small
from thalweg import checkpoint, files
from thalweg.data.shards import ShardWriter, read_index, verify
from thalweg.documents import write_document
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.files import write_bytes, write_new
from thalweg.folders import whole_folder
from thalweg.generation.generate import generate
from thalweg.loading import load
from thalweg.saved_network import save
from thalweg.storage import Location
from thalweg.training.checkpointing import CheckpointWriter
from thalweg.training.run_directory import RunDirectory

OLD, NEW = b"old" * 50, b"new" * 70


def cut_through(place: Path, scratch: Path, act: Any, look: Any) -> list[str]:
    """What is wrong on the disks that a power cut during ``act`` may leave, in words."""
    wrong = []
    for words, done, disk in recorded(place, act).states(scratch):
        fault = look(disk, done)
        if fault:
            wrong.append(f"{fault} after {words}")
    return wrong


def old_or_new(disk: Path, done: bool) -> str:
    """A file that is replaced."""
    path = disk / "file"
    content = path.read_bytes() if path.exists() else None
    if done:
        return "" if content == NEW else f"{content!r} although it was done"
    return "" if content in (OLD, NEW) else f"{content!r}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a file."""
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "file").write_bytes(OLD)
    return folder


def _renamed_unsynced(path: Path) -> None:
    part = path.with_name("part")
    descriptor = files.disk.create(part)
    files.disk.write(descriptor, memoryview(NEW))
    os.close(descriptor)
    files.disk.move(part, path)
    files.sync_folder(path.parent)


def _folder_unsynced(path: Path) -> None:
    part = path.with_name("part")
    write_new(part, [NEW])
    files.disk.move(part, path)


def _removed_first(path: Path) -> None:
    part = path.with_name("part")
    write_new(part, [NEW])
    files.disk.remove(path)
    files.disk.move(part, path)
    files.sync_folder(path.parent)


def _past_the_disk(path: Path) -> None:
    part = path.with_name("part")
    part.write_bytes(NEW)
    files.disk.move(part, path)
    files.sync_folder(path.parent)


def _in_place(path: Path) -> None:
    path.write_bytes(NEW)


@pytest.mark.parametrize(
    "write", [_renamed_unsynced, _folder_unsynced, _removed_first, _past_the_disk, _in_place]
)
def test_a_wrong_order_is_found(place: Path, tmp_path: Path, write: Any) -> None:
    assert cut_through(place, tmp_path, lambda: write(place / "file"), old_or_new)


def test_removing_before_what_replaces_it_is_on_disk_is_found(place: Path, tmp_path: Path) -> None:
    def act() -> None:
        (place / "whole").write_bytes(NEW)  # never synced
        files.disk.remove(place / "file")
        files.sync_folder(place)

    def look(disk: Path, done: bool) -> str:
        kept = (disk / "file").exists()
        written = (disk / "whole").exists() and (disk / "whole").read_bytes() == NEW
        return "" if kept or written else "neither is there"

    assert cut_through(place, tmp_path, act, look)


def test_files_are_written_durably(place: Path, tmp_path: Path) -> None:
    assert cut_through(place, tmp_path, lambda: write_bytes(place / "file", NEW), old_or_new) == []


def test_large_files_are_written_durably(place: Path, tmp_path: Path) -> None:
    def act() -> None:
        with files.whole(place / "file") as file:
            file.write(b"new" * 10)
            file.seek(0)
            file.write(NEW)

    assert cut_through(place, tmp_path, act, old_or_new) == []


def test_documents_are_written_durably(place: Path, tmp_path: Path) -> None:
    (place / "file").write_text(json.dumps({"old": 1}))

    def look(disk: Path, done: bool) -> str:
        found = json.loads((disk / "file").read_text())
        return "" if "new" in found or (not done and "old" in found) else str(found)

    assert cut_through(place, tmp_path, lambda: write_document(place / "file", {"new": 2}), look) == []


def test_folders_are_written_durably(place: Path, tmp_path: Path) -> None:
    def act() -> None:
        with whole_folder(place / "folder") as fresh:
            (fresh / "a").write_bytes(OLD)
            (fresh / "deep").mkdir()
            (fresh / "deep" / "b").write_bytes(NEW)

    def look(disk: Path, done: bool) -> str:
        folder = disk / "folder"
        if not folder.exists():
            return "missing" if done else ""
        parts = [one.read_bytes() if one.exists() else None for one in (folder / "a", folder / "deep" / "b")]
        return "" if parts == [OLD, NEW] else f"{parts}"

    assert cut_through(place, tmp_path, act, look) == []


def test_a_run_s_configuration_is_written_durably(tmp_path: Path) -> None:
    config = {"name": "run", "seed": 1}
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
    RunDirectory(tmp_path / "other").record(config)
    text = (tmp_path / "other" / "config.toml").read_text()

    def look(disk: Path, done: bool) -> str:
        path = disk / "config.toml"
        content = path.read_text() if path.exists() else None
        return "" if content == text or (content is None and not done) else repr(content)

    act = RunDirectory(tmp_path / "run").record
    assert cut_through(tmp_path / "run", tmp_path, lambda: act(config), look) == []


def test_a_checkpoint_is_whole_or_the_one_before_is_there(tmp_path: Path) -> None:
    one, run = small(), tmp_path / "run"
    run.mkdir()

    def save_next() -> None:
        one.advance()
        saver = CheckpointWriter(RunDirectory(run), CONFIG, 1, 0, one.fabric, False)
        saver.save(one.state)
        saver.wait()

    save_next()

    def look(disk: Path, done: bool) -> str:
        said: list[str] = []
        found = checkpoint.latest_complete(disk / "checkpoints", said.append)
        step = 0 if found is None else checkpoint.step_of(found)
        if said or step not in ((2,) if done else (1, 2)):
            return f"step {step} {said}"
        return ""

    assert cut_through(run, tmp_path, save_next, look) == []


def test_a_saved_network_is_whole_or_the_one_before_is_there(tmp_path: Path) -> None:
    import thalweg

    facts = Facts(shape=(1, 4, 4), classes=3)
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "depth": 1, "heads": 2, "patch": 2}, refiner=None, branches=1,
        facts=facts,
    )  # fmt: skip
    (tmp_path / "place").mkdir()

    def act(step: int) -> None:
        save(tmp_path / "place" / "model", network, step=step)

    act(1)

    def look(disk: Path, done: bool) -> str:
        try:
            load(disk / "model")
            step = json.loads((disk / "model" / "model.json").read_text())["step"]
        except DataError as error:
            return str(error)
        return "" if step == 2 or not done else "step 1"

    assert cut_through(tmp_path / "place", tmp_path, lambda: act(2), look) == []


def test_shards_are_whole_once_the_index_is_there(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()

    def act() -> None:
        writer = ShardWriter(Location(tmp_path / "place"), header(count=4), shard_samples=2)
        for number in range(writer.shards):
            held = writer.samples(number)
            writer.write_shard(number, samples(header(count=4), held.start, len(held)))
        writer.finish()

    def look(disk: Path, done: bool) -> str:
        if not (disk / "index.json").exists():
            return "no index" if done else ""
        try:
            read_index(Location(disk))
            damaged = verify(Location(disk)).damaged
        except DataError as error:
            return str(error)
        return "" if not damaged else str(damaged)

    assert cut_through(tmp_path / "place", tmp_path, act, look) == []


@pytest.mark.parametrize(
    ("name", "form"), [("a.npz", "images"), ("a.tar", "images"), ("pngs", "images"), ("tensors", "tensors")]
)
def test_samples_are_there_or_the_blocks_that_they_are_made_of(tmp_path: Path, name: str, form: str) -> None:
    run = run_folder(tmp_path / "run")
    place = tmp_path / "place"
    place.mkdir()
    torch.set_num_threads(1)
    settings = {"count": 4, "batch_size": 2, "sampler": {"type": "euler", "steps": 1}, "precision": "32-true"}

    def act() -> None:
        generate(run, place / name, settings, pngs=name == "pngs", device="cpu")

    disk = recorded(place, act)
    whole = _files(place / name)
    settled = 0
    for words, done, found in disk.states(tmp_path):
        there = _files(found / name)
        assert there == whole or (not there and not done), f"{name} is not whole after {words}"
        blocks = len([one for one in found.glob("*unfinished*/*.safetensors") if one.stat().st_size])
        # Blocks that are on the disk stay there until the output is, too.
        assert there == whole or blocks >= settled, f"blocks are gone after {words}"
        if "True" not in words:
            settled = max(settled, blocks)
        if done and form == "images":
            assert (found / f"{name}.json").read_bytes() == (place / f"{name}.json").read_bytes(), words
    assert settled == 2, "the blocks have never been on the disk"


def _files(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {str(one.relative_to(path)): one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file()}
