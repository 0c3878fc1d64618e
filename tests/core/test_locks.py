"""Locks, where the kernel's work and where it has none: simulated by a flock that fails as there."""

import errno
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from thalweg import files, flocks
from thalweg.errors import ConfigError, ThalwegError
from thalweg.folders import leftovers
from thalweg.jobs.workspace import claimed, shared, sweep
from thalweg.storage import Cache, Location, locks
from thalweg.storage.holders import holders, is_holder
from thalweg.storage.locks import cure, locked
from thalweg.training.run_directory import RunLock

WITHOUT = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL]
CHILD = """
import errno, fcntl, os, sys
from pathlib import Path
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
from thalweg.storage.locks import holding, locked
"""


def fail_with(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(locks, "_told", set())


@pytest.fixture(params=[None, *WITHOUT], ids=lambda code: errno.errorcode[code] if code else "flock")
def kind(request, monkeypatch):
    """Each test runs with the kernel's locks and with none."""
    if request.param is not None:
        fail_with(monkeypatch, request.param)
    return request.param


@pytest.fixture
def without(monkeypatch):
    fail_with(monkeypatch, errno.ENOSYS)


def run(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def foreign(lock: Path, how: str = "alone") -> Path:
    path = lock.with_name(f".{lock.name}.held-{how}.node-7.4711.83021.0123abcd.89abcdef")
    path.touch()
    return path


def test_one_at_a_time_or_several_that_share(kind, tmp_path):
    path = tmp_path / "lock"
    first = locked(path, create=True)
    assert first is not None
    assert locked(path, wait=False) is None
    assert locked(path, wait=False, shared=True) is None
    assert first.share()
    second = locked(path, wait=False, shared=True)
    assert second is not None
    assert locked(path, wait=False) is None
    first.release()
    assert locked(path, wait=False) is None
    second.release()
    third = locked(path, wait=False)
    assert third is not None
    third.release()
    assert [one.name for one in tmp_path.iterdir()] == ["lock"]


def test_none_is_made_unless_asked_for(kind, tmp_path):
    assert locked(tmp_path / "lock") is None
    with pytest.raises(FileNotFoundError):
        locked(tmp_path / "missing" / "lock", create=True)


def test_a_lock_that_loses_its_name_is_known(kind, tmp_path):
    lock = locked(tmp_path / "lock", create=True)
    assert lock.bears_its_name()
    (tmp_path / "lock").unlink()
    assert not lock.bears_its_name()
    lock.release()


def test_held_by_another_is_no_missing_lock(monkeypatch, tmp_path):
    for code in (errno.EAGAIN, errno.EACCES):
        fail_with(monkeypatch, code)
        assert locked(tmp_path / "lock", create=True, wait=False) is None
    assert [one.name for one in tmp_path.iterdir()] == ["lock"]


def test_another_error_stays_one(monkeypatch, tmp_path):
    fail_with(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        locked(tmp_path / "lock", create=True)


def test_what_it_does_not_protect_is_said_once(without, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "thalweg"):
        for name in "ab":
            locked(tmp_path / name, create=True).release()
    (message,) = caplog.messages
    assert "without locks (Function not implemented)" in message
    assert "removed by hand" in message


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process was started")
def test_a_killed_process_leaves_no_lock(without, tmp_path):
    child = run("locked(Path(sys.argv[1]), create=True)\nos.kill(os.getpid(), 9)", tmp_path / "lock")
    child.communicate()
    assert [one for one in tmp_path.iterdir() if is_holder(one, tmp_path / "lock")]
    lock = locked(tmp_path / "lock", wait=False)
    assert lock is not None
    lock.release()
    assert [one.name for one in tmp_path.iterdir()] == ["lock"]


def test_a_process_whose_number_was_given_anew_is_dead(without, tmp_path):
    lock = locked(tmp_path / "lock", create=True)
    (mine,) = holders(tmp_path / "lock")
    stale = mine.path.with_name(mine.path.name.replace(f".{mine.start}.", f".{mine.start - 1}."))
    lock.release()
    stale.touch()
    assert locked(tmp_path / "lock", wait=False) is not None
    assert not stale.exists()


def test_another_machine_is_never_taken_for_dead(without, tmp_path):
    path = tmp_path / "lock"
    theirs = foreign(path)
    assert locked(path, wait=False, create=True) is None
    assert theirs.exists()
    assert cure(path) == f"; if process 4711 on node-7 has ended, remove {theirs}"
    theirs.unlink()
    assert cure(path) == ""
    assert locked(path, wait=False) is not None


def test_a_live_process_of_this_machine_holds_it(without, tmp_path):
    child = run(
        "lock = locked(Path(sys.argv[1]), create=True)\nprint('held', flush=True)\nsys.stdin.read()",
        tmp_path / "lock",
    )
    try:
        assert child.stdout.readline() == "held\n"
        assert locked(tmp_path / "lock", wait=False) is None
        assert cure(tmp_path / "lock") == ""
    finally:
        child.kill()
        child.communicate()
    assert locked(tmp_path / "lock", wait=False) is not None


def test_processes_exclude_each_other(without, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0", encoding="utf-8")
    code = """
for _ in range(20):
    with holding(Path(sys.argv[1])):
        counter = Path(sys.argv[2])
        counter.write_text(str(int(counter.read_text("utf-8")) + 1), "utf-8")
"""
    children = [run(code, tmp_path / "lock", counter) for _ in range(3)]
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0, 0, 0]
    assert counter.read_text(encoding="utf-8") == "60"


def test_a_run_says_who_trains_there(kind, tmp_path):
    claim = RunLock(tmp_path, "runs/a")
    with pytest.raises(ConfigError, match=rf"another process \({os.getpid()}.*\) is training in runs/a"):
        RunLock(tmp_path, "runs/a")
    claim.renew()
    (tmp_path / "run.lock").unlink()
    claim.renew()
    with pytest.raises(ConfigError, match="is training"):
        RunLock(tmp_path, "runs/a")
    claim.release()
    RunLock(tmp_path, "runs/a", trial=True).release()


def test_a_run_that_was_killed_elsewhere_names_the_file(without, tmp_path):
    theirs = foreign(tmp_path / "run.lock")
    with pytest.raises(ConfigError) as refused:
        RunLock(tmp_path, "runs/a")
    assert "another process (4711 on node-7)" in str(refused.value)
    assert str(refused.value).endswith(f"; if process 4711 on node-7 has ended, remove {theirs}")


def test_unfinished_work_is_for_one(kind, tmp_path):
    folder = tmp_path / "work"
    with claimed(folder):
        (folder / "done.safetensors").touch()
        with pytest.raises(ConfigError, match="another process is doing the same work"), claimed(folder):
            pass
        with shared(folder):
            pass
        (folder / "scratch").touch()
    with claimed(folder):
        assert not (folder / "scratch").exists()
        (folder / "done.safetensors").unlink()
        sweep([folder])
        assert folder.exists()
    assert not folder.exists()


def test_the_cache_keeps_what_is_in_use(kind, tmp_path):
    cache = Cache(tmp_path / "cache", limit_bytes=10)
    contents = [bytes([number] * 8) for number in range(2)]
    used = []
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
        place = Location(str(tmp_path / str(number)))
        digest = files.sha256(tmp_path / str(number))
        used.append(cache.fetch(place, sha256=digest, size=8))
    assert [path.read_bytes() for path in used] == contents
    first = used.pop(0)
    name = Path(first)
    del first
    (tmp_path / "3").write_bytes(b"3" * 8)
    cache.fetch(Location(str(tmp_path / "3")), sha256=files.sha256(tmp_path / "3"), size=8)
    assert not name.exists()
    assert used[0].exists()


def test_what_is_written_beside_its_place_is_never_taken_for_left(without, tmp_path):
    with files.replacing(tmp_path / "a") as part:
        files.write_new(part, [b"x"])
        assert leftovers(tmp_path / "a") == []


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EBADF, errno.EACCES])
def test_folders_that_cannot_be_synced_are_told_of_once(monkeypatch, tmp_path, caplog, code):
    def refuse(descriptor: int) -> None:
        if Path(f"/dev/fd/{descriptor}").is_dir():
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files, "_told", [])
    monkeypatch.setattr(files.disk, "sync", refuse)
    with caplog.at_level(logging.WARNING, "thalweg"):
        files.write_bytes(tmp_path / "a", b"1")
        files.write_bytes(tmp_path / "b", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    (message,) = caplog.messages
    assert f"does not sync folders ({os.strerror(code)})" in message


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_folder_that_fails_to_sync_is_an_error(monkeypatch, tmp_path, code):
    def refuse(descriptor: int) -> None:
        if Path(f"/dev/fd/{descriptor}").is_dir():
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.disk, "sync", refuse)
    with pytest.raises(ThalwegError, match=os.strerror(code)):
        files.write_bytes(tmp_path / "a", b"1")


def test_only_one_module_asks_the_kernel():
    sources = Path(flocks.__file__).parent
    asking = [
        path.name for path in sources.rglob("*.py") if "import fcntl" in path.read_text(encoding="utf-8")
    ]
    assert asking == ["flocks.py"]
