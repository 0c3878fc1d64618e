import json
import shutil
from pathlib import Path

import pytest
import torch

from thalweg.errors import DataError, ThalwegError
from thalweg.training import checkpoint

TENSORS = {"network": {"weight": torch.arange(12.0).view(3, 4), "bias": torch.zeros(3)}}
DOCUMENTS = {"state": {"step": 4, "seconds": 0.1}}


def written(folder: Path, step: int = 4, keep: int = 5) -> Path:
    return checkpoint.save(folder, step, TENSORS, DOCUMENTS, keep)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    place = written(tmp_path)
    assert place.name == "step-00000004"
    assert sorted(path.name for path in place.iterdir()) == [
        "manifest.json", "network.safetensors", "state.json",
    ]  # fmt: skip
    checkpoint.verify(place)
    tensors = checkpoint.read_tensors(place, "network")
    assert tensors.keys() == TENSORS["network"].keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS["network"].items())
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
    found = checkpoint.newest(tmp_path, said.append)
    assert found is not None
    assert checkpoint.step_of(found) == 4
    assert len(said) == 1
    assert "step-00000006" in said[0]


def test_none_is_none_but_all_damaged_is_an_error(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nowhere", pytest.fail) is None
    (written(tmp_path) / "manifest.json").unlink()
    with pytest.raises(DataError, match="all 1 checkpoints"):
        checkpoint.newest(tmp_path, lambda _: None)


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


def test_a_failed_write_leaves_the_older_ones_and_no_remains(tmp_path: Path) -> None:
    written(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    shared = torch.zeros(3)
    with pytest.raises(ThalwegError, match="cannot write the checkpoint") as caught:
        checkpoint.save(tmp_path, 6, {"network": {"a/b": shared}, "no/folder": {"a": shared}}, {}, 2)
    assert "step-00000006" in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_remains_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    shutil.copytree(written(tmp_path), tmp_path / ".partial-step-00000006")
    written(tmp_path, 6)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000004", "step-00000006"]
