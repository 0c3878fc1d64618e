"""Checkpoints that are damaged or forged, and those in pieces of several processes."""

import json
import os
import random
from pathlib import Path

import pytest
import torch

from thalweg import checkpoint
from thalweg.checkpoint import TensorGroup, TensorSlice
from thalweg.errors import DataError
from thalweg.files import Seal

TENSORS = {"weight": torch.arange(12.0).view(3, 4), "bias": torch.zeros(3), "step": torch.tensor(4.0)}
STATE = {"step": 4, "seconds": 0.1}


def written(folder: Path, step: int = 4, keep: int = 5, keep_every: int = 0) -> Path:
    partial = checkpoint.begin(folder, step)
    pieces = {name: TensorSlice.whole(tensor) for name, tensor in TENSORS.items()}
    seals = {
        "network.safetensors": checkpoint.write_slices(partial / "network.safetensors", pieces, whole=True),
        "state.json": checkpoint.write_document(partial / "state.json", STATE),
    }
    checkpoint.write_manifest(partial, seals)
    return checkpoint.publish(folder, step, keep, keep_every)


def test_a_box_of_a_tensor_is_read(tmp_path: Path) -> None:
    group = TensorGroup(written(tmp_path), "network")
    box = group.read_into("weight", torch.empty(2, 3), (1, 1))
    assert torch.equal(box, TENSORS["weight"][1:3, 1:4])


def restated(place: Path, **changes: object) -> None:
    """The manifest with other values, in the form in which it is written."""
    path = place / "manifest.json"
    manifest = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/b", "..", ".hidden", "", "a\x00b", "a\n"])
def test_a_manifest_reaches_no_file_outside(tmp_path: Path, name: str) -> None:
    place = written(tmp_path)
    (tmp_path / "secret").write_text("s")
    restated(place, files={name: {"bytes": 1, "sha256": "0" * 64}})
    with pytest.raises(DataError, match=r"manifest\.json is damaged or foreign"):
        checkpoint.verify(place)


@pytest.mark.parametrize("seal", [{"bytes": "1"}, {"bytes": True}, {"sha256": "0"}, {"sha256": 7}])
def test_a_seal_that_is_none_is_refused(tmp_path: Path, seal: dict[str, object]) -> None:
    place = written(tmp_path)
    restated(place, files={"state.json": {"bytes": 1, "sha256": "0" * 64, **seal}})
    with pytest.raises(DataError, match=r"manifest\.json is damaged or foreign"):
        checkpoint.verify(place)


def test_a_link_is_no_file_of_a_checkpoint(tmp_path: Path) -> None:
    place = written(tmp_path)
    (place / "state.json").rename(tmp_path / "elsewhere.json")
    (place / "state.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(DataError, match=r"state\.json is missing"):
        checkpoint.verify(place)


def test_steps_beyond_eight_digits_are_in_order(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000):
        written(tmp_path, step)
    found = checkpoint.latest_complete(tmp_path, pytest.fail)
    assert found is not None
    assert checkpoint.step_of(found) == 100_000_000


def in_pieces(folder: Path, pieces: list[dict[str, TensorSlice]], ranks: int | None = None) -> Path:
    """A checkpoint whose group ``network`` is in pieces."""
    partial = checkpoint.begin(folder, 4)
    seals: dict[str, Seal] = {}
    for rank, held in enumerate(pieces):
        name = checkpoint.file_name("network", rank, ranks or len(pieces))
        seals[name] = checkpoint.write_slices(partial / name, held, whole=False)
    checkpoint.write_manifest(partial, seals)
    return checkpoint.publish(folder, 4, 1, 0)


WHOLE = torch.arange(35.0).view(5, 7)


def cut(*boxes: tuple[int, int, int, int]) -> list[dict[str, TensorSlice]]:
    """Pieces of WHOLE: rows from, to, columns from, to."""
    return [{"w": TensorSlice(WHOLE[a:b, c:d], (a, c), (5, 7))} for a, b, c, d in boxes]


@pytest.mark.parametrize(
    "boxes",
    [
        [(0, 3, 0, 7), (3, 5, 0, 7)],
        [(0, 5, 0, 4), (0, 5, 4, 7)],
        [(0, 2, 0, 4), (0, 2, 4, 7), (2, 5, 0, 4), (2, 5, 4, 7)],
        [(0, 5, 0, 7), (5, 5, 0, 7)],  # nothing is left for the second process
    ],
)
def test_pieces_make_up_a_tensor_however_it_was_cut(
    tmp_path: Path, boxes: list[tuple[int, int, int, int]]
) -> None:
    group = TensorGroup(in_pieces(tmp_path, cut(*boxes)), "network")
    assert group.shapes == {"w": (5, 7)}
    assert torch.equal(group.read("w"), WHOLE)
    for a, b, c, d in [(0, 1, 0, 7), (2, 4, 3, 6), (1, 5, 0, 2), (5, 5, 0, 7)]:
        assert torch.equal(group.read_into("w", torch.empty(b - a, d - c), (a, c)), WHOLE[a:b, c:d])


@pytest.mark.parametrize(
    "boxes",
    [
        [(0, 3, 0, 7), (4, 5, 0, 7)],  # a hole
        [(0, 3, 0, 7), (2, 5, 0, 7)],  # twice the same
        [(0, 3, 0, 7), (0, 2, 0, 7)],  # as large as the whole, but not the whole
    ],
)
def test_pieces_that_do_not_make_up_a_tensor_are_refused(
    tmp_path: Path, boxes: list[tuple[int, int, int, int]]
) -> None:
    with pytest.raises(DataError, match=r"pieces of 'w' .* do not make it up"):
        TensorGroup(in_pieces(tmp_path, cut(*boxes)), "network")


@pytest.mark.parametrize(
    ("offset", "shape"),
    [((4, 0), (5, 7)), ((-1, 0), (5, 7)), ((0,), (5, 7)), ((0, 0), (5,)), ((0, 0), (2, 7))],
)
def test_a_piece_that_lies_nowhere_is_refused(
    tmp_path: Path, offset: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    pieces = [{"w": TensorSlice(WHOLE[:3], offset, shape)}, *cut((3, 5, 0, 7))]
    with pytest.raises(DataError, match="does not say where its piece of 'w' belongs"):
        TensorGroup(in_pieces(tmp_path, pieces), "network")


def test_a_file_of_a_process_that_is_missing_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not hold all of 'network'"):
        TensorGroup(in_pieces(tmp_path, cut((0, 5, 0, 7)), ranks=2), "network")


def test_every_truncation_is_found(tmp_path: Path) -> None:
    place = large(tmp_path)
    for path in place.iterdir():
        content = path.read_bytes()
        for length in range(0, len(content), 4096):
            os.truncate(path, length)
            with pytest.raises(DataError, match="step-00000004"):
                checkpoint.verify(place)
            path.write_bytes(content)
    checkpoint.verify(place)


def test_every_flipped_bit_in_a_piece_is_found(tmp_path: Path) -> None:
    place = large(tmp_path)
    # Small files are hit as often as large ones.
    contents = {path: path.read_bytes() for path in sorted(place.iterdir())}
    draws = random.Random(7)
    for flip in range(200):
        path = list(contents)[flip % len(contents)]
        damaged = bytearray(contents[path])
        damaged[draws.randrange(len(damaged))] ^= 1 << draws.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="step-00000004"):
            checkpoint.verify(place)
        path.write_bytes(contents[path])
    checkpoint.verify(place)


def large(folder: Path) -> Path:
    """A hundred kilobytes in pieces of two processes."""
    values = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    halves = [{"w": TensorSlice(values[a:b], (a, 0), (400, 64))} for a, b in ((0, 200), (200, 400))]
    return in_pieces(folder, halves)
