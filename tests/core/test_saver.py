import json
import logging
import os
import pickle
import resource
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import thalweg
from fault_disk import FaultyDisk, NotingDisk
from small_states import CONFIG, Small, lone, same, small
from thalweg import checkpoint, files
from thalweg.errors import DataError, ThalwegError
from thalweg.files import Disk, Seal, sha256
from thalweg.training.checkpointing import CheckpointWriter, HostMemory
from thalweg.training.run_directory import RunDirectory
from thalweg.training.state import Snapshot

MODES = pytest.mark.parametrize("background", [False, True], ids=["inline", "background"])


def saver(folder: Path, background: bool = False, keep: int = 2) -> CheckpointWriter:
    return CheckpointWriter(RunDirectory(folder), CONFIG, keep, 0, lone(), background)


def saved(folder: Path, one: Small, background: bool = False) -> Path:
    ours = saver(folder, background)
    ours.save(one.state)
    ours.wait()
    return checkpoint.checkpoints(folder / "checkpoints")[-1]


def loaded(place: Path) -> Small:
    checkpoint.verify(place)
    again = small()
    again.state.load(place, again.fabric)
    return again


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.fixture
def one() -> Small:
    made = small()
    made.advance()
    return made


@MODES
def test_a_state_comes_back_to_the_bit_and_continues_alike(
    tmp_path: Path, one: Small, background: bool
) -> None:
    again = loaded(saved(tmp_path, one, background))
    assert again.state.step == 1
    assert same(again.tensors(), one.tensors())
    one.advance()
    again.advance()
    assert same(again.tensors(), one.tensors())


def test_a_parameter_without_a_gradient_has_no_moments_and_keeps_none(tmp_path: Path) -> None:
    one = small()
    first = next(iter(one.losses.parameters()))
    one.advance()
    del one.optimizer.state[first]
    again = loaded(saved(tmp_path, one))
    assert again.tensors().keys() == one.tensors().keys()
    assert len(one.optimizer.state) == len(list(one.losses.parameters())) - 1


class Gate(Disk):
    """A disk that takes nothing until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def write(self, descriptor: int, content: memoryview) -> int:
        assert self.open.wait(30)
        return super().write(descriptor, content)


def test_what_is_written_is_the_state_at_the_call_however_far_the_run_resumes(
    tmp_path: Path, one: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, gate, ours = one.tensors(), Gate(), saver(tmp_path, background=True)
    monkeypatch.setattr(files, "disk", gate)
    ours.save(one.state)
    one.state.means.add({"loss": torch.tensor(1.0)})
    one.advance()
    one.advance()
    assert checkpoint.checkpoints(tmp_path / "checkpoints") == []
    gate.open.set()
    ours.wait()
    assert same(loaded(tmp_path / "checkpoints" / "step-00000001").tensors(), expected)


def test_nothing_changes_before_it_is_copied(
    tmp_path: Path, one: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    copy = HostMemory.copy

    def slow(self: HostMemory, snapshot: Snapshot) -> Snapshot:
        begun.set()
        assert go_on.wait(30)
        return copy(self, snapshot)

    monkeypatch.setattr(HostMemory, "copy", slow)
    expected, ours = one.tensors(), saver(tmp_path, background=True)
    ours.save(one.state)
    step = threading.Thread(target=one.advance)
    step.start()
    assert begun.wait(30)
    step.join(0.05)
    assert step.is_alive()
    assert same(one.tensors(), expected)
    go_on.set()
    step.join()
    ours.wait()
    assert same(loaded(tmp_path / "checkpoints" / "step-00000001").tensors(), expected)


def test_a_failed_copy_lets_the_run_go_on_and_is_told(
    tmp_path: Path, one: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: HostMemory, snapshot: Snapshot) -> Snapshot:
        raise RuntimeError("no memory left")

    ours = saver(tmp_path, background=True)
    monkeypatch.setattr(HostMemory, "copy", fail)
    ours.save(one.state)
    one.advance()
    with pytest.raises(RuntimeError, match="no memory left"):
        ours.wait()


def test_host_memory_is_paid_for_once(tmp_path: Path, one: Small) -> None:
    memory = HostMemory()
    places = []
    for _ in range(2):
        copied = memory.copy(one.state.snapshot(one.fabric))
        places.append([piece.tensor.data_ptr() for piece in copied.groups["ema"].values()])
        one.advance()
    assert places[0] == places[1]


@MODES
@pytest.mark.parametrize("fault", ["broken", "full"])
def test_whatever_operation_fails_it_is_said_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: bool, fault: str
) -> None:
    one = small()
    one.advance()
    ours = saver(tmp_path, background, keep=1)
    ours.save(one.state)
    ours.wait()
    expected, steps, number, fails = {1: one.tensors()}, {1}, 0, True
    while fails:
        number += 1
        one.advance()
        expected[one.state.step] = one.tensors()
        steps.add(one.state.step)
        monkeypatch.setattr(files, "disk", FaultyDisk(number, fault))
        ours.save(one.state) if background else None
        try:
            ours.wait() if background else ours.save(one.state)
            fails = False
        except ThalwegError as error:
            assert f"cannot write the checkpoint {tmp_path}" in str(error)  # noqa: PT017
            assert "make room or give permission" in str(error)  # noqa: PT017
        monkeypatch.undo()
        found = checkpoint.latest_complete(tmp_path / "checkpoints", pytest.fail)
        assert found is not None
        assert checkpoint.step_of(found) in steps
        again = loaded(found)
        assert same(again.tensors(), expected[checkpoint.step_of(found)])
        steps = {checkpoint.step_of(found)}
    assert number > 20
    assert left(tmp_path) == ["latest", f"step-{one.state.step:08d}"]


@MODES
def test_an_error_in_the_background_is_raised_by_the_next_save(
    tmp_path: Path, one: Small, monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    ours = saver(tmp_path, background)
    monkeypatch.setattr(files, "disk", FaultyDisk(3, "broken"))
    if background:
        ours.save(one.state)
    with pytest.raises(ThalwegError, match=r"step-00000001: .*Input/output error"):
        ours.save(one.state)
    monkeypatch.undo()
    ours.save(one.state)
    ours.wait()
    assert same(loaded(tmp_path / "checkpoints" / "step-00000001").tensors(), one.tensors())


def test_everything_is_on_disk_before_anything_relies_on_it(
    tmp_path: Path, one: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = saver(tmp_path, keep=1)
    ours.save(one.state)
    one.advance()
    disk = NotingDisk()
    monkeypatch.setattr(files, "disk", disk)
    ours.save(one.state)

    def at(name: str, about: str, last: bool = False) -> int:
        places = [place for place, done in enumerate(disk.done) if done == (name, about)]
        assert places, f"no {name} of {about} in {disk.done}"
        return places[-1 if last else 0]

    partial, place = ".partial-step-00000002", "step-00000002"
    for file in (tmp_path / "checkpoints" / place).iterdir():
        assert at("create", file.name) < at("write", file.name) <= at("write", file.name, last=True)
        assert at("write", file.name, last=True) < at("sync", file.name) < at("sync", partial)
        if file.name != "manifest.json":
            assert at("sync", file.name) < at("create", "manifest.json")
    assert at("sync", partial) < at("move", place) < at("sync", "checkpoints") < at("move", "latest")
    # The second time for "latest"; then, and only then, the old one goes.
    last_sync = at("sync", "checkpoints", last=True)
    assert at("move", "latest") < last_sync < at("move", ".partial-old-step-00000001")
    removals = [place for place, (name, _) in enumerate(disk.done) if name.startswith("remove")]
    assert min(removals) > last_sync


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@MODES
def test_a_full_disk_is_said_and_costs_the_older_ones_nothing(
    tmp_path: Path, one: Small, background: bool
) -> None:
    before = saved(tmp_path, one).parent
    kept = {path: path.read_bytes() for path in before.rglob("*") if path.is_file()}
    expected = one.tensors()
    one.advance()
    with largest_file(50_000), pytest.raises(ThalwegError, match=r"step-00000002: .*File too large"):
        saved(tmp_path, one, background)
    assert {path: path.read_bytes() for path in before.rglob("*") if path.is_file()} == kept
    assert same(loaded(before / "step-00000001").tensors(), expected)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, one: Small) -> None:
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(ThalwegError, match=r"cannot write the checkpoint .*checkpoints/step-00000001"):
        saved(tmp_path, one)
    with pytest.raises(ThalwegError, match="cannot write the checkpoint /proc/thalweg/checkpoints"):
        saved(Path("/proc/thalweg"), one)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Inside, permissions count for root too."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@MODES
def test_a_read_only_folder_is_named(one: Small, background: bool) -> None:
    # Not in tmp_path, which lies in a folder that is closed to others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        expected = one.tensors()
        place = saved(folder, one)
        one.advance()
        (folder / "checkpoints").chmod(0o555)
        with without_privileges(), pytest.raises(ThalwegError, match=r"step-00000002: .*Permission denied"):
            saved(folder, one, background)
        assert same(loaded(place).tensors(), expected)


def test_no_temporary_folder_elsewhere_is_used(
    tmp_path: Path, one: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One on another device could not be moved into place; one that is not there is noticed at once.
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert same(loaded(saved(tmp_path, one)).tensors(), one.tensors())


def test_a_checkpoint_of_another_architecture_names_the_first_differences(tmp_path: Path, one: Small) -> None:
    place = saved(tmp_path, one)
    other = small(width=32)
    before = other.tensors()
    with pytest.raises(DataError, match="of another network") as caught:
        other.state.load(place, other.fabric)
    said = str(caught.value)
    assert "its network does not fit: backbone.blocks.0.attention.out.bias is (16,), expected (32,), " in said
    assert said.count("expected") == 3
    assert "and 27 more; use the network that the run began with" in said
    assert same(other.tensors(), before)


def resealed(place: Path, name: str, content: bytes) -> None:
    """A checkpoint that somebody forged, manifest and all."""
    (place / name).write_bytes(content)
    seals = {**checkpoint.listed(place), name: Seal(len(content), sha256(place / name))}
    (place / "manifest.json").unlink()
    checkpoint.write_manifest(place, seals)
    checkpoint.verify(place)


class Malice:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("group", ["network", "ema", "optimizer"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_in_the_place_of_tensors_is_never_executed(
    tmp_path: Path, one: Small, group: str, zipped: bool
) -> None:
    canary, place = tmp_path / "canary", saved(tmp_path, one)
    content = pickle.dumps(Malice(canary))
    if zipped:
        torch.save({"state": Malice(canary)}, tmp_path / "malice")
        content = (tmp_path / "malice").read_bytes()
    resealed(place, f"{group}.safetensors", content)
    again = small()
    before = again.tensors()
    with pytest.raises(DataError, match=rf"{group}\.safetensors is no"):
        again.state.load(place, again.fabric)
    assert same(again.tensors(), before)
    assert not canary.exists()


@pytest.mark.parametrize("size", [101 * 2**20, 2**40, 2**64 - 1])
def test_an_oversize_header_is_refused(tmp_path: Path, one: Small, size: int) -> None:
    place = saved(tmp_path, one)
    resealed(place, "optimizer.safetensors", struct.pack("<Q", size) + b"{" + b" " * 100)
    again = small()
    with pytest.raises(DataError, match=f"its header would have {size} bytes"):
        again.state.load(place, again.fabric)


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"step": "x", "shards": 6, "means": {}}', "{"])
def test_a_forged_state_is_one_clear_error(tmp_path: Path, one: Small, text: str) -> None:
    place = saved(tmp_path, one)
    resealed(place, "state.json", text.encode())
    again = small()
    before = again.tensors()
    with pytest.raises(DataError, match=r"cannot be resumed from|cannot be read"):
        again.state.load(place, again.fabric)
    assert same(again.tensors(), before)


def test_a_run_that_is_not_complete_opens_as_its_newest_averages(
    tmp_path: Path, one: Small, caplog: pytest.LogCaptureFixture
) -> None:
    first = one.tensors()
    place = saved(tmp_path, one)
    one.advance()
    newest = saved(tmp_path, one)
    expected = one.tensors()

    def is_ema(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> bool:
        averages = {f"ema/{name}": tensor for name, tensor in network.state_dict().items()}
        return same(averages, {name: one for name, one in tensors.items() if name.startswith("ema/")})

    assert is_ema(thalweg.load(tmp_path), expected)
    assert is_ema(thalweg.load(newest), expected)
    assert is_ema(thalweg.load(place), first)
    damaged = bytearray((newest / "ema.safetensors").read_bytes())
    damaged[-5] ^= 16
    (newest / "ema.safetensors").write_bytes(damaged)
    with pytest.raises(DataError, match=r"ema\.safetensors is damaged"):
        thalweg.load(newest)
    with caplog.at_level(logging.WARNING, "thalweg"):
        assert is_ema(thalweg.load(tmp_path), first)
    assert "step-00000002" in caplog.text


def test_a_checkpoint_describes_its_network_and_its_run(tmp_path: Path, one: Small) -> None:
    place = saved(tmp_path, one)
    assert json.loads((place / "config.json").read_text()) == CONFIG
    assert json.loads((place / "model.json").read_text())["facts"] == {
        "shape": [1, 8, 8],
        "classes": 3,
        "condition_dropout": True,
    }
    assert json.loads((place / "state.json").read_text())["shards"] == 6
