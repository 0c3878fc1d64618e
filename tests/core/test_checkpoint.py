import contextlib
import errno
import json
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from failing_disk import FailingDisk, operations
from thalweg import checkpoint, files
from thalweg.checkpoint import TensorSlice
from thalweg.errors import DataError, ThalwegError
from thalweg.files import Disk

TENSORS = {"network": {"weight": torch.arange(12.0).view(3, 4), "bias": torch.zeros(3)}}
DOCUMENTS = {"state": {"step": 4, "seconds": 0.1}}


def written(folder: Path, step: int = 4, keep: int = 5, keep_every: int = 0) -> Path:
    partial = checkpoint.begin(folder, step)
    seals = {
        (name := checkpoint.file_name(group, 0, 1)): checkpoint.write_slices(
            partial / name, {key: TensorSlice.whole(one) for key, one in tensors.items()}, whole=True
        )
        for group, tensors in TENSORS.items()
    }
    for name, document in DOCUMENTS.items():
        seals[f"{name}.json"] = checkpoint.write_document(partial / f"{name}.json", document)
    checkpoint.write_manifest(partial, seals)
    return checkpoint.publish(folder, step, keep, keep_every)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    place = written(tmp_path)
    assert place.name == "step-00000004"
    assert sorted(path.name for path in place.iterdir()) == [
        "manifest.json", "network.safetensors", "state.json",
    ]  # fmt: skip
    checkpoint.verify(place)
    tensors = load_file(place / "network.safetensors")
    assert tensors.keys() == TENSORS["network"].keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS["network"].items())
    assert (tmp_path / "latest").read_text() == "step-00000004\n"
    assert checkpoint.read_document(place, "state") == DOCUMENTS["state"]


@pytest.mark.parametrize("name", ["network.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("place", [0.0, 0.1, 0.35, 0.6, 0.85, 1.0])
def test_one_flipped_bit_is_found(tmp_path: Path, name: str, place: float) -> None:
    path = written(tmp_path) / name
    content = bytearray(path.read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)
    # A manifest that states another digest accuses the file.
    with pytest.raises(DataError, match="step-00000004" if name == "manifest.json" else name):
        checkpoint.verify(path.parent)


@pytest.mark.parametrize("name", ["network.safetensors", "state.json", "manifest.json"])
def test_a_truncated_or_missing_file_is_found(tmp_path: Path, name: str) -> None:
    path = written(tmp_path) / name
    content = path.read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], b"", content + b"\n"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=name):
            checkpoint.verify(path.parent)
    path.unlink()
    with pytest.raises(DataError, match=name):
        checkpoint.verify(path.parent)


@pytest.mark.parametrize(
    "text",
    [
        "[]\n",
        "null\n",
        "{}\n",
        '{"format": "thalweg-checkpoint", "version": 1, "files": {"a": 3}}\n',
        '{"format": "other"}\n',
        "\xff",
    ],
)
def test_a_foreign_manifest_is_refused(tmp_path: Path, text: str) -> None:
    place = written(tmp_path)
    (place / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="manifest"):
        checkpoint.verify(place)


def test_a_newer_format_is_named_as_such(tmp_path: Path) -> None:
    path = written(tmp_path) / "manifest.json"
    manifest = {**json.loads(path.read_text()), "version": 2}
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    with pytest.raises(DataError, match="version 2"):
        checkpoint.verify(path.parent)


def test_the_newest_whole_one_is_used_and_damaged_ones_are_named(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        written(tmp_path, step)
    (tmp_path / "step-00000006" / "state.json").write_text("{")
    said: list[str] = []
    found = checkpoint.latest_complete(tmp_path, said.append)
    assert found is not None
    assert checkpoint.step_of(found) == 4
    assert len(said) == 1
    assert "step-00000006" in said[0]


def test_none_is_none_but_all_damaged_is_an_error(tmp_path: Path) -> None:
    assert checkpoint.latest_complete(tmp_path / "nowhere", pytest.fail) is None
    (written(tmp_path) / "manifest.json").unlink()
    with pytest.raises(DataError, match="all 1 checkpoints"):
        checkpoint.latest_complete(tmp_path, lambda _: None)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        written(tmp_path, step, keep=2)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-00000006", "step-00000008"]


def test_a_damaged_later_one_neither_counts_nor_stays_in_the_way(tmp_path: Path) -> None:
    for step in (4, 6, 8):
        written(tmp_path, step)
    (tmp_path / "step-00000008" / "state.json").write_text("{")
    written(tmp_path, 6, keep=2)
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [4, 6, 8]
    checkpoint.verify(written(tmp_path, 8, keep=2))
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [6, 8]


def test_every_nth_is_kept_for_ever(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        written(tmp_path, step, keep=1, keep_every=4)
    assert [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path)] == [4, 8, 10]


def test_whatever_operation_fails_the_old_or_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = operations(monkeypatch, lambda: written(tmp_path / "count", 4, keep=1))

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for place in range(1, count + 1):
        folder = tmp_path / str(place)
        monkeypatch.setattr(files, "disk", Disk())
        written(folder, 2, keep=1)
        monkeypatch.setattr(files, "disk", FailingDisk(place, full))
        with contextlib.suppress(OSError, ThalwegError):
            written(folder, 4, keep=1)
        monkeypatch.setattr(files, "disk", Disk())
        found = checkpoint.latest_complete(folder, pytest.fail)
        assert found is not None
        assert checkpoint.step_of(found) in (2, 4)
        checkpoint.verify(written(folder, 6, keep=1))
        assert sorted(path.name for path in folder.iterdir()) == ["latest", "step-00000006"]


def test_killed_at_any_operation_the_old_or_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "count", 2, keep=1)
    count = operations(monkeypatch, lambda: written(tmp_path / "count", 4, keep=1))
    assert count > 10
    survivors = set()
    for place in range(1, count + 1):
        folder = tmp_path / str(place)
        monkeypatch.setattr(files, "disk", Disk())
        written(folder, 2, keep=1)
        child = os.fork()
        if child == 0:
            files.disk = FailingDisk(place, lambda: os.kill(os.getpid(), signal.SIGKILL))
            written(folder, 4, keep=1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        found = checkpoint.latest_complete(folder, pytest.fail)
        assert found is not None
        survivors.add(checkpoint.step_of(found))
        checkpoint.verify(written(folder, 6, keep=1))
        assert sorted(path.name for path in folder.iterdir()) == ["latest", "step-00000006"]
    assert survivors == {2, 4}


def test_truncation_anywhere_and_a_thousand_flipped_bits_are_found(tmp_path: Path) -> None:
    place = written(tmp_path)
    draws = random.Random(0)
    names = sorted(path.name for path in place.iterdir())
    for _ in range(1000):
        path = place / draws.choice(names)
        content = bytearray(path.read_bytes())
        kept = bytes(content)
        content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
        path.write_bytes(content)
        with pytest.raises(DataError):
            checkpoint.verify(place)
        path.write_bytes(kept)
    checkpoint.verify(place)


def test_remains_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    shutil.copytree(written(tmp_path), tmp_path / ".partial-step-00000006")
    written(tmp_path, 6)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["latest", "step-00000004", "step-00000006"]
