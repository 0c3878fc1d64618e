"""Files: bombs, pickles, headers that lie, archives that leave their folder."""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torture.bad_files import bomb, npy_header, png, safetensors, tensor, zipped
from torture.hostile import CANARY, EVALUATE, SAMPLE, TRAIN, Trial
from torture.workshop import IMPORT, TOLD

_NPZ = ("evaluate", "a.npz", "--reference", "b.npz", *EVALUATE[2:])
_MOMENTS = ("evaluate", "run", "--reference", "b.npz", *EVALUATE[2:])
_STATISTICS = ("evaluate", "run", "--reference", "reference.safetensors", *EVALUATE[2:])
_FOLDER = ("data", "verify", "images")
_ENCODE = ("encode", "images", "out", "--size", "8", "--autoencoder", "identity", "--device", "cpu")
_TARS = ("encode", "tars", "out", "--size", "8", "--autoencoder", "identity", "--device", "cpu")
_IDX = ("data", "verify", "idx")
_COCO = ("encode", "coco", "out", "--size", "8", "--autoencoder", "identity", "--device", "cpu")
_SHARDS = ("data", "verify", "shards")


class Runs:
    """Its pickle executes a command."""

    def __init__(self, victim: Path) -> None:
        self._command = f"touch {victim}/{CANARY}"

    def __reduce__(self) -> Any:
        return (os.system, (self._command,))


def _put(name: str, content: bytes) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, _: Path) -> None:
        (folder / name).write_bytes(content)

    return prepare


TENSORS = {
    "a header of 2^63": safetensors(b"{}", size=2**63),
    "a header of 2^62, negative": safetensors(b"{}", size=2**64 - 1),
    "a header beyond the end": safetensors(b"{}", size=10**6),
    "a header of 90 MB": safetensors(b'{"a":"' + b" " * 90_000_000 + b'"}'),
    "a nested header": safetensors(b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "offsets that overlap": safetensors({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)),
    "offsets that go back": safetensors({"a": tensor(8, 0, [8])}, bytes(8)),
    "offsets beyond the end": safetensors({"a": tensor(0, 10**12)}, bytes(8)),
    "a shape that overflows": safetensors({"a": tensor(0, 8, [2**62, 4])}, bytes(8)),
    "a shape that is negative": safetensors({"a": tensor(0, 8, [-8])}, bytes(8)),
    "a type that is none": safetensors({"a": tensor(0, 8, kind="P8")}, bytes(8)),
    "many empty tensors": safetensors({f"t{n}": tensor(0, 0) for n in range(200_000)}),
    "metadata of numbers": safetensors({"__metadata__": {"format": 1, "entries": []}}),
    "names with escapes": safetensors({"\x1b[31mred\x07\n": tensor(0, 8)}, bytes(8)),
    "nothing": b"",
}
READ = {
    "run/model/model.safetensors": SAMPLE,
    "reference.safetensors": _STATISTICS,
    "run/checkpoints/step-00000006/network.safetensors": TRAIN,
    "vae/diffusion_pytorch_model.safetensors": (*_ENCODE[:5], "--weights", "vae", "--device", "cpu"),
    "df.safetensors": ("import", "deepflow", "df.safetensors", "out", *TOLD),
    "shards/shard-00000.safetensors": _SHARDS,
}


def _pickled(name: str, wrapped: str) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, victim: Path) -> None:
        import torch

        path = folder / name
        if wrapped == "torch":
            torch.save({"ema": Runs(victim)}, path)
        elif wrapped == "legacy":
            torch.save({"ema": Runs(victim)}, path, _use_new_zipfile_serialization=False)
        elif wrapped == "pickle":
            path.write_bytes(pickle.dumps(Runs(victim)))
        elif wrapped == "npz":
            np.savez(
                path, arr_0=np.array([Runs(victim)], dtype=object), mu=np.array([Runs(victim)], dtype=object)
            )
        elif wrapped == "tar":
            with tarfile.open(path, "w") as archive:
                for member in ("pickle", "storages", "tensors", "sys_info"):
                    content = pickle.dumps(Runs(victim))
                    info = tarfile.TarInfo(member)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))

    return prepare


def _big_pt(folder: Path, _: Path) -> None:
    zipped(
        folder / "df.pt",
        {
            "archive/data.pkl": (bomb(8 * 2**30), 8 * 2**30),
            "archive/version": (bomb(0, b"3\n"), 2),
        },
    )


def _big_storage(folder: Path, _: Path) -> None:
    """A true pickle, and a storage that unpacks to gigabytes."""
    import torch

    torch.save({"ema": {"a": torch.zeros(4)}}, folder / "true.pt")
    with zipfile.ZipFile(folder / "true.pt") as archive:
        said = {name: archive.read(name) for name in archive.namelist()}
    members = {}
    for name, content in said.items():
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        members[name] = (packer.compress(content) + packer.flush(), len(content))
        if "/data/0" in name:
            members[name] = (bomb(8 * 2**30), 8 * 2**30)
    zipped(folder / "df.pt", members)


def _npz(members: dict[str, tuple[bytes, int]]) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, _: Path) -> None:
        for name in ("a.npz", "b.npz"):
            zipped(folder / name, members)

    return prepare


def _array(shape: tuple[int, ...], size: int, kind: str = "|u1") -> tuple[bytes, int]:
    header = npy_header(shape, kind)
    return bomb(size, header), size + len(header)


ARRAYS = {
    "8 GiB in 8 MB": {"arr_0.npy": _array((2**20, 8, 8, 128), 8 * 2**30)},
    "8 GiB of moments": {
        "mu.npy": _array((2048,), 2**20, "<f8"),
        "sigma.npy": _array((2**15, 2**15), 2**33, "<f8"),
    },
    "a shape that lies": {"arr_0.npy": _array((2**40, 8, 8, 1), 2**20)},
    "a shape that overflows": {"arr_0.npy": _array((2**62, 2**62), 2**20)},
    "a negative shape": {"arr_0.npy": _array((-1, 8, 8, 1), 2**20)},
    "a long header": {"arr_0.npy": (bomb(0, npy_header((1,) * 3000)), 10**4)},
    "names that leave": {
        "../../victim/file.npy": _array((4, 8, 8, 1), 2**20),
        "/etc/x.npy": _array((1,), 2**20),
    },
    "many members": {f"a{n}.npy": _array((1,), 0) for n in range(20_000)},
    "labels beyond": {
        "arr_0.npy": _array((16384, 8, 8, 1), 2**20),
        "arr_1.npy": _array((16384,), 2**20, "<i8"),
    },
}


_TEXT = zlib.compress(bytes(400 * 2**20), 9)
PICTURES = {
    "65,000 x 65,000": png(65_000, 65_000),
    "2^31 x 1": png(2**31 - 1, 1, rows=zlib.compress(bytes(100))),
    "0 x 0": png(0, 0, rows=zlib.compress(b"")),
    "a text of 400 MiB": png(8, 8, (b"zTXt", b"a\0\0" + _TEXT)),
    "a profile of 400 MiB": png(8, 8, (b"iCCP", b"a\0\0" + _TEXT)),
    "many texts": png(8, 8, *[(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000)))] * 400),
    "rows of 400 MiB": png(8, 8, rows=_TEXT),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(VICTIM) (w) file closefile\nshowpage\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "text": b"no picture at all",
    "cut": png(8, 8)[:40],
}


def _tar(*members: tuple[str, bytes | None, int]) -> Callable[[Path, Path], None]:
    """Members: name, content (a picture if empty), type."""

    def prepare(folder: Path, victim: Path) -> None:
        with tarfile.open(folder / "tars" / "part-00.tar", "w") as archive:
            for name, linked, kind in members:
                info = tarfile.TarInfo(name.replace("VICTIM", str(victim)))
                info.type = bytes([kind])
                if linked is not None:
                    info.linkname = linked.decode().replace("VICTIM", str(victim))
                    archive.addfile(info)
                else:
                    content = png(8, 8)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))

    return prepare


_PLAIN, _HARD, _SOFT, _CHARACTER, _BLOCK, _FIFO = b"0123467"[0], 0x31, 0x32, 0x33, 0x34, 0x36
TARS = {
    "names that leave": _tar(("../../victim/file", None, _PLAIN), ("../../victim/a.png", None, _PLAIN)),
    "absolute names": _tar(("VICTIM/file", None, _PLAIN), ("VICTIM/a.png", None, _PLAIN)),
    "links to elsewhere": _tar(
        ("a.png", b"VICTIM/deep/one.png", _SOFT), ("b.png", b"../../victim/file", _HARD)
    ),
    "devices": _tar(("a.png", b"", _CHARACTER), ("b.png", b"", _BLOCK), ("c.png", b"", _FIFO)),
    "names with escapes": _tar(("\x1b[31mred\x07.png", None, _PLAIN), ("a\nb.png", None, _PLAIN)),
    "a link to itself": _tar(
        ("a.png", b"a.png", _SOFT), ("b.png", b"c.png", _HARD), ("c.png", b"b.png", _HARD)
    ),
}


def _tar_size(folder: Path, _: Path) -> None:
    info = tarfile.TarInfo("a.png")
    info.size = 2**40
    (folder / "tars" / "part-00.tar").write_bytes(info.tobuf() + bytes(1024))


def _coco(names: list[str]) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, victim: Path) -> None:
        images = [{"id": n, "file_name": one.replace("VICTIM", str(victim))} for n, one in enumerate(names)]
        notes = [{"id": n, "image_id": n, "caption": "\x1b[31mred\x07"} for n in range(len(names))]
        (folder / "coco" / "captions_train.json").write_text(
            json.dumps({"images": images, "annotations": notes})
        )

    return prepare


def _named(*names: str) -> Callable[[Path, Path], None]:
    """Pictures and classes under such names."""

    def prepare(folder: Path, _: Path) -> None:
        for name in names:
            (folder / "images" / name).mkdir()
            for number in range(3):
                (folder / "images" / name / f"{number}\x1b[31m.png").write_bytes(b"damaged")

    return prepare


def trials(_: int) -> list[Trial]:
    """All of them."""
    made = [
        Trial(f"{name}, {words}", _put(name, content), (command,), refused="checkpoints" not in name)
        for name, command in READ.items()
        for words, content in TENSORS.items()
    ]
    for name, kind in (("df.pt", "torch"), ("df.pt", "legacy"), ("df.pt", "pickle"), ("df.pt", "tar")):
        made.append(Trial(f"a pickle that executes, {kind}", _pickled(name, kind), (IMPORT,), refused=True))
    for name, command in READ.items():
        made.append(
            Trial(
                f"a pickle that executes as {name}",
                _pickled(name, "pickle"),
                (command,),
                refused="checkpoints" not in name,
            )
        )
    made.append(Trial("a pickle that executes in npz", _pickled("a.npz", "npz"), (_NPZ,), refused=True))
    made.append(
        Trial("a pickle that executes in moments", _pickled("b.npz", "npz"), (_MOMENTS,), refused=True)
    )
    made.append(Trial(".pt whose pickle is 8 GiB", _big_pt, (IMPORT,), refused=True))
    made.append(Trial(".pt whose storage is 8 GiB", _big_storage, (IMPORT,), refused=True))
    made += [
        Trial(f"npz, {words}", _npz(members), (_NPZ, _MOMENTS), refused=True)
        for words, members in ARRAYS.items()
    ]
    made += [
        Trial(f"PNG, {words}", _put("images/cat/000.png", content), (_FOLDER, _ENCODE))
        for words, content in PICTURES.items()
    ]
    made += [
        Trial(
            f"PNG in a report, {words}",
            _put("run/samples/step-000003.png", content),
            (("report", "run", "-o", "out.html"),),
        )
        for words, content in PICTURES.items()
    ]
    made += [
        Trial(f"tar, {words}", prepare, (("data", "verify", "tars"), _TARS))
        for words, prepare in TARS.items()
    ]
    made.append(Trial("tar, a member of 1 TiB", _tar_size, (("data", "verify", "tars"), _TARS), refused=True))
    header = bytes([0, 0, 8, 3]) + struct.pack(">III", 2**32 - 1, 2**16, 2**16)
    made.append(Trial("idx, 2^64 bytes", _put("idx/train-images-idx3-ubyte", header), (_IDX,), refused=True))
    made.append(
        Trial(
            "idx, 255 dimensions",
            _put("idx/train-images-idx3-ubyte", bytes([0, 0, 8, 255]) + b"\xff" * 1020),
            (_IDX,),
            refused=True,
        )
    )
    outside = _coco(["../../victim/deep/one.png", "VICTIM/deep/one.png", "a\x1b[31m.png"])
    made.append(Trial("COCO, images elsewhere", outside, (_COCO,), refused=True))
    made.append(Trial("classes with escapes", _named("\x1b[31mred\x07", "a\nb"), (_FOLDER, _ENCODE)))
    return made
