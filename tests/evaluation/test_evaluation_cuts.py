"""Drawings that are cut off at any moment: by a power cut, a kill, Ctrl-C; the same command always resumes or
says that it is complete."""

import json
import os
from functools import cache
from pathlib import Path

import pytest

import thalweg_eval
from evaluated import npz, run_folder
from fault_disk import FaultyDisk, NotingDisk
from shard_makers import header, samples
from thalweg import files
from thalweg.data.shards import ShardWriter
from thalweg.errors import ConfigError, ThalwegError
from thalweg.generation import generate as drawing
from thalweg.generation.generate import generate
from thalweg.generation.network_samples import SavedNetworkSamples
from thalweg.jobs.workspace import sweep
from thalweg.storage import Location
from thalweg_eval.evaluation.features import build_features

FORMS = {"x.npz": False, "x.tar": False, "pngs": True, "tensors": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(autouse=True)
def opened_once(monkeypatch):
    """The network is loaded and its data set built once for all; nothing here depends on it."""
    opened = {}
    for name in ("source", "decoder"):
        once = cache(getattr(SavedNetworkSamples, name))

        def opening(self, device, *facts, once=once, name=name):
            key = (name, repr(self), device)
            if key not in opened:
                opened[key] = once.__wrapped__(self, device, *facts)
            return opened[key]

        monkeypatch.setattr(SavedNetworkSamples, name, opening)
    monkeypatch.setattr(drawing, "model_at", cache(drawing.model_at))


def drawn(run, out, **options):
    fields = {"sampler": {"type": "euler", "steps": 1}, "precision": "32-true", "count": 3, "batch_size": 2}
    return generate(run, out, {**fields, **options}, pngs=FORMS[out.name], device="cpu")


def content(folder):
    """All files below, of notes what does not depend on time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(folder))
            found[name] = path.read_bytes()
            if path.suffix == ".json":
                note = json.loads(found[name])
                found[name] = {key: note[key] for key in note if key not in ("seconds", "digest")}
    return found


class Watching(NotingDisk):
    """Writes down whole paths."""

    def __init__(self):
        super().__init__()
        self.paths = []

    def before(self, number, name, arguments):
        about = arguments[-1] if name in ("move", "exchange") else arguments[0]
        path = Path(f"/proc/self/fd/{about}").readlink() if isinstance(about, int) else Path(about)
        self.paths.append((name, path))


@pytest.mark.parametrize("name", FORMS)
def test_blocks_go_once_the_samples_are_on_disk(run, tmp_path, monkeypatch, name):
    disk = Watching()
    monkeypatch.setattr(files, "disk", disk)
    drawn(run, tmp_path / name)
    done = disk.paths
    moved = done.index(("move", tmp_path / name))
    for at, (what, path) in enumerate(done[:moved]):
        if what in ("write", "create") and not path.name.endswith("lock"):
            assert ("sync", path) in done[at:moved] or ("remove", path) in done[at:moved], path
    for at, (what, path) in enumerate(done[:moved]):
        if what in ("move", "make_folder"):
            assert ("sync", path.parent) in done[at:moved] or path.parent.name.endswith(".part"), path
    if name != "tensors":
        noted = done.index(("move", tmp_path / f"{name}.json"))
        assert ("sync", tmp_path) in done[noted:moved]
    assert done[moved + 1] == ("sync", tmp_path)
    removed = [
        at for at, (what, path) in enumerate(done) if what == "remove" and path.suffix == ".safetensors"
    ]
    assert len(removed) == 2
    assert min(removed) > moved + 1


class Ended(BaseException):
    """The process is no more."""


class Dying(NotingDisk):
    """At the n-th operation the process ends: in the middle of a write, before any other; nothing that comes
    after changes the disk."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def before(self, number, name, arguments):
        if number == self.at and name == "write":
            os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])
        if number >= self.at:
            raise Ended


class Interrupted(NotingDisk):
    """Ctrl-C before the n-th operation."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def before(self, number, name, arguments):
        if number == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("disk", [Dying, Interrupted])
@pytest.mark.parametrize("name", FORMS)
def test_a_drawing_ended_at_any_operation_comes_to_the_same(run, tmp_path, monkeypatch, caplog, name, disk):
    counting = NotingDisk()
    monkeypatch.setattr(files, "disk", counting)
    (tmp_path / "whole").mkdir()
    drawn(run, tmp_path / "whole" / name)
    whole = content(tmp_path / "whole")
    complete = 0
    for at in range(1, len(counting.done) + 1):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        monkeypatch.setattr(files, "disk", disk(at))
        with pytest.raises((Ended, KeyboardInterrupt)):
            drawn(run, folder / name)
        monkeypatch.setattr(files, "disk", files.Disk())
        there = (folder / name).exists()
        caplog.clear()
        drawn(run, folder / name)
        assert content(folder) == whole, f"{at}: {counting.done[at - 1]}"
        assert {path.name for path in folder.iterdir()} == {
            path.name for path in (tmp_path / "whole").iterdir()
        }
        assert ("complete already" in caplog.text) == there
        complete += there
    assert complete >= 3


@pytest.mark.parametrize("fault", ["full", "broken"])
@pytest.mark.parametrize("name", ["x.npz", "pngs"])
def test_a_disk_that_fails_is_told_of_in_a_sentence_and_the_same_command_resumes(
    run, tmp_path, monkeypatch, name, fault
):
    counting = NotingDisk()
    monkeypatch.setattr(files, "disk", counting)
    (tmp_path / "whole").mkdir()
    drawn(run, tmp_path / "whole" / name)
    whole = content(tmp_path / "whole")
    failed = 0
    for at in range(1, len(counting.done) + 1):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        monkeypatch.setattr(files, "disk", FaultyDisk(at, fault))
        try:
            drawn(run, folder / name)
        except ThalwegError as error:
            failed += 1
            assert "\n" not in str(error)  # noqa: PT017 - some operations may fail
        monkeypatch.setattr(files, "disk", files.Disk())
        drawn(run, folder / name)
        assert content(folder) == whole, f"{at}: {counting.done[at - 1]}"
    assert failed > len(counting.done) / 2


@pytest.mark.parametrize("name", FORMS)
def test_ctrl_c_while_samples_are_hashed_is_gone_on_from(run, tmp_path, monkeypatch, name):
    from thalweg.generation import target as placing

    hashing = placing.Target._identity

    def interrupted(self, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(placing.Target, "_identity", interrupted)
    with pytest.raises(KeyboardInterrupt):
        drawn(run, tmp_path / name)
    assert not (tmp_path / name).exists()
    monkeypatch.setattr(placing.Target, "_identity", hashing)
    drawn(run, tmp_path / name)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") or "unfinished" in path.name]


def test_samples_of_another_request_are_never_taken_for_its_own(run, tmp_path):
    for name in FORMS:
        told = drawn(run, tmp_path / name)
        assert drawn(run, tmp_path / name) == told
        with pytest.raises(ConfigError, match="choose a name that does not"):
            drawn(run, tmp_path / name, seed=1)
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.tar").read_bytes())
    with pytest.raises(ConfigError, match="choose a name that does not"):
        drawn(run, tmp_path / "x.npz")


def test_a_strangers_json_is_no_note(run, tmp_path):
    (tmp_path / "x.npz.json").write_text('{"mine": 1}')
    with pytest.raises(ConfigError, match=r"x\.npz\.json is no note of samples"):
        drawn(run, tmp_path / "x.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz.json"]
    assert (tmp_path / "x.npz.json").read_text() == '{"mine": 1}'
    # One of samples that were drawn and removed makes room.
    (tmp_path / "x.npz.json").unlink()
    drawn(run, tmp_path / "x.npz")
    (tmp_path / "x.npz").unlink()
    drawn(run, tmp_path / "x.npz", seed=1)


def test_work_is_done_through_no_link(run, tmp_path, monkeypatch):
    def failing(self, path):
        raise KeyboardInterrupt

    from thalweg.generation import target as placing

    with monkeypatch.context() as patch:
        patch.setattr(placing.Target, "_identity", failing)
        with pytest.raises(KeyboardInterrupt):
            drawn(run, tmp_path / "x.npz")
    (work,) = tmp_path.iterdir()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    for name in ("whole", "lock", "000000000-000000002.safetensors"):
        place = work / name
        former = place.read_bytes() if place.is_file() else None
        place.unlink(missing_ok=True)
        place.symlink_to(kept if name == "whole" else kept / "file")
        with pytest.raises(ConfigError, match="is a link"):
            drawn(run, tmp_path / "x.npz")
        place.unlink()
        if former is not None:
            place.write_bytes(former)
    moved = work.rename(tmp_path / "moved")
    work.symlink_to(moved)
    with pytest.raises(ConfigError, match="is a link"):
        drawn(run, tmp_path / "x.npz")
    work.unlink()
    moved.rename(work)
    drawn(run, tmp_path / "x.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "x.npz", "x.npz.json"]
    assert (kept / "file").read_text() == "kept"


def test_folders_without_content_are_swept_and_no_others(tmp_path):
    for name in ("empty", "working", "linked"):
        (tmp_path / name).mkdir()
    (tmp_path / "working/a.safetensors").touch()
    (tmp_path / "empty/.a.safetensors.0123abcd.part").touch()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    (tmp_path / "file").touch()
    sweep(path for path in tmp_path.iterdir() if path.name != "linked")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "linked", "working"]


def evaluated(folder, **options):
    """An evaluation that writes all that one can write."""
    return thalweg_eval.evaluate(
        folder.parent / "samples.npz", reference=folder.parent / "real.npz",
        metrics=["frechet_distance", "precision_recall"],
        extractor="small_classifier", settings=["features.small_classifier.extractor.steps=1"], batch_size=10,
        device="cpu", save_seconds=0.0, work=folder / "work", out=folder / "p.json",
        save_reference=folder / "r.safetensors", **options,
    )  # fmt: skip


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Two sets of images, and extractors that are built once."""
    npz(tmp_path / "samples.npz", 20)
    npz(tmp_path / "real.npz", 20, seed=1)
    made = []

    def building(*arguments):
        if not made:
            made.append(build_features(*arguments))
        return made[0]

    monkeypatch.setattr("thalweg_eval.evaluation.accumulate.build_features", building)
    return tmp_path


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_was_seen_goes_once_what_is_made_of_it_is_on_disk(images, monkeypatch):
    disk = Watching()
    monkeypatch.setattr(files, "disk", disk)
    evaluated(images / "out")
    done = disk.paths
    for at, (what, path) in enumerate(done):
        if what in ("write", "create") and not path.name.endswith("lock"):
            assert ("sync", path) in done[at:] or ("remove", path) in done[at:], path
        if what in ("move", "make_folder"):
            assert ("sync", path.parent) in done[at:], path
    last = {}
    for at, (what, path) in enumerate(done):
        if what == "remove" and path.name.endswith(".part.safetensors"):
            last[path.parent] = at
    reference, samples_gone = last.values()
    moved = [at for at, (what, _) in enumerate(done) if what == "move"]
    kept = max(at for at in moved if done[at][1].parent.name == "references")
    passport = done.index(("move", images / "out/p.json"))
    assert kept < done.index(("sync", images / "out/work/references"), kept) < reference
    assert passport < done.index(("sync", images / "out"), passport) < samples_gone


@pytest.mark.parametrize("disk", [Dying, Interrupted])
def test_an_evaluation_ended_at_any_operation_comes_to_the_same(images, monkeypatch, disk):
    counting = NotingDisk()
    monkeypatch.setattr(files, "disk", counting)
    whole = evaluated(images / "whole")
    for at in range(1, len(counting.done) + 1):
        folder = images / f"{at}"
        monkeypatch.setattr(files, "disk", disk(at))
        with pytest.raises((Ended, KeyboardInterrupt)):
            evaluated(folder)
        monkeypatch.setattr(files, "disk", files.Disk())
        again = evaluated(folder)
        assert again.values == pytest.approx(whole.values, rel=1e-9)
        assert again.conditions == whole.conditions
        assert below(folder) == below(images / "whole"), counting.done[at - 1]


def encoded(folder):
    one = ShardWriter(Location(folder), header(), shard_samples=5)
    for number in set(range(one.shards)) - set(one.written):
        held = one.samples(number)
        one.write_shard(number, samples(one.header, held.start, len(held)))
    one.finish()


def test_a_shard_is_on_disk_before_it_is_said_to_be_and_the_index_before_that_goes(tmp_path, monkeypatch):
    disk = Watching()
    monkeypatch.setattr(files, "disk", disk)
    encoded(tmp_path)
    done = disk.paths
    for number in range(3):
        shard, beside = (tmp_path / f"shard-0000{number}.{kind}" for kind in ("safetensors", "json"))
        said = done.index(("move", beside))
        assert ("sync", tmp_path) in done[done.index(("move", shard)) : said]
        whole = done.index(("move", tmp_path / "index.json"))
        assert ("sync", tmp_path) in done[whole : done.index(("remove", beside))]


@pytest.mark.parametrize("disk", [Dying, Interrupted])
def test_encoding_ended_at_any_operation_comes_to_the_same(tmp_path, monkeypatch, disk):
    counting = NotingDisk()
    monkeypatch.setattr(files, "disk", counting)
    (tmp_path / "whole").mkdir()
    encoded(tmp_path / "whole")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    for at in range(1, len(counting.done) + 1):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        monkeypatch.setattr(files, "disk", disk(at))
        with pytest.raises((Ended, KeyboardInterrupt)):
            encoded(folder)
        monkeypatch.setattr(files, "disk", files.Disk())
        encoded(folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
