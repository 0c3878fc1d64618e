"""File systems in image files, mounted through loop devices: small, full, read-only, copied as a power cut
leaves them."""

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

MAKERS = {
    "ext4": (["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"], 64),
    "xfs": (["mkfs.xfs", "-q", "-f"], 320),
}
"""By name: what makes one, and its size in MiB."""


def possible(name: str) -> str:
    """Why there can be no such file system here; empty if there can."""
    if os.geteuid():
        return "mounting needs root"
    tool = MAKERS[name][0][0]
    if not any((Path(folder) / tool).exists() for folder in ("/sbin", "/usr/sbin", "/usr/bin")):
        return f"there is no {tool}"
    with contextlib.suppress(OSError):
        if Path("/dev/loop-control").exists():
            return ""
    return "there are no loop devices"


def run(*words: object) -> None:
    """A system's command that must work."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def make(name: str, image: Path) -> Path:
    """An empty file system in a sparse file."""
    command, mib = MAKERS[name]
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(mib * 2**20)
    run(*command, image)
    return image


@contextlib.contextmanager
def mounted(image: Path, at: Path, *options: str) -> Iterator[Path]:
    """The file system of an image; a journal that was not finished is replayed."""
    at.mkdir(parents=True, exist_ok=True)
    # Copies of one XFS bear one identity.
    with_magic = image.open("rb")
    with with_magic:
        xfs = with_magic.read(4) == b"XFSB"
    said = ["loop", *options, *(["nouuid"] if xfs else [])]
    run("mount", "-o", ",".join(said), image, at)
    try:
        yield at
    finally:
        _unmount(at)


@contextlib.contextmanager
def memory(at: Path, mib: int) -> Iterator[Path]:
    """A file system in memory, of a size."""
    at.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", at)
    try:
        yield at
    finally:
        _unmount(at)


def _unmount(at: Path) -> None:
    for _ in range(50):
        if subprocess.run(["umount", str(at)], check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    run("umount", "-l", at)


def unmount_below(folder: Path) -> None:
    """Whatever is still mounted below a folder, after an interruption."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        if line.split()[1].startswith(f"{folder}/"):
            run("umount", "-l", line.split()[1])


def copy(image: Path, target: Path) -> str:
    """Copy an image as it is on the device now, whatever waits in memory; a digest of it."""
    run("cp", "--sparse=always", "--reflink=auto", image, target)
    digest = hashlib.sha256()
    with target.open("rb") as file:
        at, size = 0, os.fstat(file.fileno()).st_size
        while at < size:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            file.seek(begin)
            digest.update(b"%d:" % begin + file.read(at - begin))
    return digest.hexdigest()


def fill(folder: Path, leave: int) -> Path:
    """Fill a file system but for some bytes; the file that does it."""
    filler = folder / "filler"
    status = os.statvfs(folder)
    with filler.open("wb", buffering=0) as file:
        left = max(0, status.f_bavail * status.f_frsize - leave)
        with contextlib.suppress(OSError):
            while left > 0:
                left -= file.write(bytes(min(left, 2**20)))
            if not leave:
                while file.write(bytes(4096)):
                    pass
    return filler
