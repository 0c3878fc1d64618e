"""Documents: nested, endless, with numbers that are none, in other encodings."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from torture.hostile import EVALUATE, SAMPLE, SHOW, TRAIN, Trial
from torture.workshop import ABLATE, IMPORT

DEEP = 100_000
_SHOW = ("config", "show", "tiny.toml")
_ABLATE = (*ABLATE, "--dry-run")
_ABLATION = ("ablate", "ablation.toml", "--out", "out", "--dry-run")
_CHECK = ("data", "verify", "coco")
_STORED = ("data", "verify", "shards")
_COMPARE = ("compare", "run/passport.json", "run/passport.json")
_PROMPTS = ("sample", "run", "out.npz", "--prompt-file", "prompts.json")

RECIPES = {
    "nested arrays": f"a = {'[' * DEEP}{']' * DEEP}".encode(),
    "nested tables": ("a = " + "{a = " * DEEP + "1" + "}" * DEEP).encode(),
    "a long dotted key": (".".join("a" * DEEP) + " = 1").encode(),
    "a deep table": f"[{'.'.join('a' * DEEP)}]\nb = 1".encode(),
    "many tables": b"".join(b"[t%d]\nx = 1\n" % number for number in range(30_000)),
    "tables in tables": b"".join(
        b"[%s]\n" % b".".join([b"a%d" % n for n in range(number)]) for number in range(1, 400)
    ),
    "a digit times 100,000": b"seed = " + b"9" * DEEP,
    "a float times 100,000": b"lr = 0." + b"9" * DEEP,
    "a hexadecimal number": b"seed = 0x" + b"f" * DEEP,
    "NUL": b'name = "a\0b"\n',
    "Latin-1": 'name = "é"'.encode("latin-1"),
    "UTF-16": 'name = "e"'.encode("utf-16"),
    "a BOM": b'\xef\xbb\xbfname = "a"\n',
    "nothing": b"",
    "zeros": bytes(100_000),
    "a long line": b'name = "' + b"a" * 10**7 + b'"',
}
VALUES = (
    "training.optimizer.lr=nan",
    "training.optimizer.lr=inf",
    "training.optimizer.lr=1e400",
    "training.optimizer.lr=-1.0",
    f"seed={10**30}",
    "seed=-1",
    f"training.steps={10**30}",
    f"branches={10**12}",
    f"branches={10**6}",
    f"backbone.depth={10**9}",
    f"backbone.width={10**9}",
    f"training.batch_size={10**15}",
    "training.average.decay=2.0",
    "name=../../victim/file",
    "name=/etc/passwd",
    "name=..",
    "name=",
    f"name={'a' * 5000}",
    "name=a\x1b[31mb",
    "name=a\nb",
    "name=a\0b",
    "data.url=zip://x",
    "backbone.type=os:system",
    "training.optimizer.lr=[[[[",
    f"a{'.a' * 20_000}=1",
    "=1",
    "a",
    "..=1",
    f"training.optimizer.lr={'[' * 5000}",
    "training.condition_dropout=NaN",
)
JSONS = {
    "nested": ("[" * DEEP + "]" * DEEP).encode(),
    "nested tables": ('{"a":' * DEEP + "1" + "}" * DEEP).encode(),
    "NaN": b'{"format": NaN, "images": Infinity, "drawn": {}, "digest": NaN}',
    "a huge number": b'{"format": ' + b"9" * DEEP + b"}",
    "a huge exponent": b'{"format": 1e999999}',
    "NUL": b'{"a": "\\u0000"}\0',
    "a lone surrogate": b'{"format": "\\ud800", "images": "\\ud800"}',
    "Latin-1": '{"é": 1}'.encode("latin-1"),
    "a list": b"[1, 2]",
    "null": b"null",
    "doubled keys": b'{"format": 1, "format": 2}',
    "long": b'{"a": "' + b"a" * 50_000_000 + b'"}',
}
READ = {
    "run/model/model.json": SAMPLE,
    "run/passport.json": SHOW,
    "drawn.npz.json": ("evaluate", "drawn.npz", "--reference", "b.npz", *EVALUATE[2:]),
    "coco/captions_train.json": _CHECK,
    "shards/index.json": _STORED,
    "run/metrics.jsonl": SHOW,
    "run/checkpoints/step-00000006/manifest.json": TRAIN,
    "run/checkpoints/step-00000006/state.json": TRAIN,
    "vae/config.json": ("encode", "images", "out", "--size", "8", "--weights", "vae", "--device", "cpu"),
    "prompts.json": _PROMPTS,
}
ABLATIONS = {
    "a cell's name that leaves": '[cells]\n"../../../victim/file" = []\n"/etc" = []',
    "a cell's name with escapes": '[cells]\n"\\u001b[31mred" = []\n"a\\nb" = []',
    "a billion cells": "[axes]\n"
    + "\n".join(f'"k{n}" = [{", ".join(map(str, range(10)))}]' for n in range(9)),
}


def _put(name: str, content: bytes) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, _: Path) -> None:
        (folder / name).write_bytes(content)

    return prepare


def _ablation(text: str) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, _: Path) -> None:
        (folder / "ablation.toml").write_text(f'recipe = "tiny.toml"\nseeds = 1\n{text}\n')

    return prepare


def _special(kind: str, name: str) -> Callable[[Path, Path], None]:
    """A FIFO, a socket or a device in a file's place."""

    def prepare(folder: Path, _: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        if kind == "FIFO":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "terminal":
            path.symlink_to("/dev/tty")
        else:
            here = Path.cwd()
            os.chdir(path.parent)  # the names of sockets are short
            try:
                socket.socket(socket.AF_UNIX).bind(path.name)
            finally:
                os.chdir(here)

    return prepare


SPECIAL = {
    **READ,
    "tiny.toml": _SHOW,
    "moment.toml": ("evaluate", "run", "--protocol", "moment.toml", "--work", "work", "--device", "cpu"),
    "run/config.toml": SAMPLE,
    "run/model/model.safetensors": SAMPLE,
    "df.pt": IMPORT,
    "a.npz": ("evaluate", "a.npz", "--reference", "b.npz", *EVALUATE[2:]),
    "reference.safetensors": ("evaluate", "run", "--reference", "reference.safetensors", *EVALUATE[2:]),
    "tars/part-00.tar": ("data", "verify", "tars"),
    "images/cat/000.png": ("data", "verify", "images"),
    "idx/train-images-idx3-ubyte": ("data", "verify", "idx"),
    "captioned/000.txt": ("data", "verify", "captioned"),
    "shards/shard-00000.safetensors": _STORED,
    "vae/diffusion_pytorch_model.safetensors": READ["vae/config.json"],
    "run/run.lock": TRAIN,
    "run/samples/step-000003.png": SHOW,
    "run/checkpoints/latest": TRAIN,
    "p.json": EVALUATE,
    "out.html": SHOW,
}


def trials(_: int) -> list[Trial]:
    """All of them."""
    made = [
        Trial(f"recipe, {name}", _put("tiny.toml", content), (_SHOW, TRAIN), refused=name != "many tables")
        for name, content in RECIPES.items()
    ]
    made += [
        Trial(f"config.toml, {name}", _put("run/config.toml", content), (SAMPLE, SHOW))
        for name, content in RECIPES.items()
    ]
    made += [
        Trial(f"override {value[:40]!r}", lambda *_: None, ((*_SHOW, value),))
        for value in VALUES
        if "\0" not in value
    ]
    made += [
        Trial(
            f"train under {value[:40]!r}",
            lambda *_: None,
            (("train", "tiny.toml", value, "--quiet"), (*_ABLATE, value)),
        )
        for value in VALUES
        if value.startswith("name=") and "\0" not in value
    ]
    made += [
        Trial(f"{name}, {words}", _put(name, content), (command,))
        for name, command in READ.items()
        for words, content in JSONS.items()
    ]
    made += [Trial(f"ablation, {name}", _ablation(text), (_ABLATION,)) for name, text in ABLATIONS.items()]
    made += [
        Trial(f"{name} is a {kind}", _special(kind, name), (command,))
        for name, command in SPECIAL.items()
        for kind in ("FIFO", "socket", "device")
    ]
    made.append(
        Trial("passports, nested", _put("run/passport.json", JSONS["nested"]), (_COMPARE,), refused=True)
    )
    return made
