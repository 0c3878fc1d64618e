"""Files that were made to hang, fill memory or mislead: one sentence, at once, before memory is taken."""

import contextlib
import os
import pickle
import resource
import struct
import threading
import zipfile
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

import thalweg_eval
from evaluated import npz
from thalweg.config import component
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.image_sets.npz import NpzImages, members, read_array
from thalweg.tensor_files import open_sealed, write_sealed
from thalweg_backbones.foreign.checkpoints import read_foreign
from thalweg_eval.evaluation.features import FeatureMetrics
from thalweg_eval.evaluation.partial_statistics import load_state
from thalweg_eval.evaluation.reference_statistics import ReferenceFile, is_reference, stored_moments


@contextlib.contextmanager
def little_memory():
    """Half a gigabyte more than there is now, and no more."""
    now = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**29, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def npy(header, content=b""):
    """An array's file with any header."""
    text = header if isinstance(header, bytes) else header.encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + content


def described(shape, dtype="|u1", order=False):
    return f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {shape}}}\n"


def archive(path, content, packed=False, name="arr_0.npy"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        file.writestr(name, content)
    return path


def test_four_megabytes_that_unpack_to_a_gigabyte(tmp_path):
    path, left = tmp_path / "x.npz", 1024 * 2**20
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("arr_0.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy(described((1, 32768, 32768, 1))))
        while left:
            left -= member.write(bytes(2**20))
    assert path.stat().st_size < 5 * 2**20
    with little_memory():
        for read in (lambda: NpzImages(path), lambda: read_array(path, "arr_0")):
            with pytest.raises(DataError, match=r"x\.npz is damaged: arr_0 would unpack from .* to 1,073,"):
                read()


HEADERS = {
    "more than there is": described((10**12, 8, 8, 1)),
    "beyond any number": described((10**300, 10**300, 8, 1)),
    "negative": described((-4, 8, 8, -1)),
    "nothing of everything": described((10**15,), "|S0"),
    "less than there is": described((1, 2, 2, 1)),
    "no shape": described("'x'"),
    "truth": described((True, True, 8, 1)),
    "a record": described((4,), [("a", "<i4")]),
    "nested": "(" * 9000,
    "nested lists": "[" * 9900,
    "long": " " * 10**6,
    "a bomb": "9" * 9000 + "**" + "9" * 100,
    "a call": "__import__('os').system('false')",
    "not closed": "{'descr': '|u1'",
    "no text": b"\xff\xfe\x00" * 30,
    "objects": described((1,), "|O"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_say_what_is_not_there(tmp_path, kind):
    path = archive(tmp_path / "x.npz", npy(HEADERS[kind], bytes(400)))
    for read in (lambda: NpzImages(path), lambda: read_array(path, "arr_0")):
        with little_memory(), pytest.raises(DataError, match=r"x\.npz") as caught:
            read()
        assert len(str(caught.value)) < 1000
        assert str(caught.value).isprintable()


def test_a_header_that_would_be_gigabytes_long(tmp_path):
    path = archive(tmp_path / "x.npz", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + bytes(100))
    with pytest.raises(DataError, match="no header of numpy's"):
        NpzImages(path)
    for version in (b"\x00\x00", b"\x09\x01"):
        path = archive(tmp_path / "x.npz", b"\x93NUMPY" + version + bytes(100))
        with pytest.raises(DataError, match="no header of numpy's"):
            NpzImages(path)


def test_labels_of_classes_without_number(tmp_path):
    for labels in ([0, -1], [0, 2**40]):
        np.savez(tmp_path / "x.npz", arr_0=np.zeros((2, 4, 4, 1), np.uint8), arr_1=np.array(labels))
        with pytest.raises(DataError, match="labels count from 0"):
            NpzImages(tmp_path / "x.npz")


def test_names_that_move_the_cursor_or_are_many(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        for number in range(1000):
            file.writestr(f"\x1b[2J\n{number}.npy", b"")
    with pytest.raises(DataError, match="and 992 more") as caught:
        NpzImages(tmp_path / "x.npz")
    assert str(caught.value).isprintable()


INCEPTION = {"type": "inception"}


@pytest.mark.parametrize(
    ("mean", "covariance"),
    [
        (np.zeros(4), np.eye(5)),
        (np.zeros((4, 4)), np.eye(4)),
        (np.full(4, np.nan), np.eye(4)),
        (np.zeros(4), np.full((4, 4), np.inf)),
    ],
)
def test_moments_that_are_none(tmp_path, mean, covariance):
    metric = component("metric", "frechet_distance").build(Facts(shape=(3, 8, 8)))

    class Eye:
        name, title, offers, identity = "eye", "Eye", frozenset({"pooled"}), MappingProxyType(INCEPTION)

    features = FeatureMetrics("eye", Eye(), {"frechet_distance": metric})
    np.savez(tmp_path / "x.npz", mu=mean, sigma=covariance)
    with pytest.raises(DataError, match=r"x\.npz, mu and sigma: (a mean|a covariance)"):
        stored_moments(tmp_path / "x.npz", features, features.makers(10, reference=True))


@pytest.mark.parametrize("name", ["frechet_distance", "precision_recall", "inception_score"])
def test_states_that_are_none(name):
    metric = component("metric", name).build(Facts(shape=(3, 8, 8)))
    for make in metric.statistics(20).values():
        for state in ({"a": torch.zeros(3)}, {"count": torch.zeros(2), "mean": torch.zeros(2)}):
            with pytest.raises(DataError, match="x: these are no such statistics"):
                load_state(make(), state, "x")


ENTRY = '{"images": {}, "count": 5, "extractor": {}, "statistic": "a"}'


@pytest.mark.parametrize(
    "entries",
    [None, "", "[]", "{}", "[1]", "[" * 10**5, f"[{ENTRY.replace('5', '-5')}]", f"[{ENTRY}, {{}}]", "[{}]",
     f"[{ENTRY.replace('5', '1e999')}]", f"[{ENTRY.replace('{}', 'null')}]"],
)  # fmt: skip
def test_a_reference_that_does_not_say_what_it_is_of(tmp_path, entries):
    told = {"format": "thalweg-reference", "version": "2"}
    told |= {} if entries is None else {"entries": entries}
    write_sealed(tmp_path / "x.safetensors", {"0/mean": torch.zeros(2)}, told)
    with pytest.raises(DataError, match="does not say what its statistics are of"):
        ReferenceFile(tmp_path / "x.safetensors")


def saved(content):
    buffer = BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def test_weights_that_are_not_there_in_full(tmp_path):
    path = tmp_path / "x.pt"
    for content in (
        {"a": torch.zeros(1).expand(10**10)},
        {
            "a": torch.sparse_coo_tensor(
                torch.zeros(1, 1).long(), torch.ones(1), (10**12,), check_invariants=True
            )
        },
        {"a": torch.empty(10**9, device="meta")},
    ):
        path.write_bytes(saved(content))
        with little_memory(), pytest.raises(DataError, match=r"x\.pt (does not hold a in|cannot be read)"):
            read_foreign(path)


def test_weights_that_would_fill_memory(tmp_path):
    path = tmp_path / "x.pt"
    content = saved({"a": torch.zeros(300 * 2**20, dtype=torch.uint8)})
    with (
        zipfile.ZipFile(BytesIO(content)) as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        for one in whole.infolist():
            file.writestr(one.filename, whole.read(one))
    assert path.stat().st_size < 3 * 2**20
    with little_memory(), pytest.raises(DataError, match="would unpack to more than its length"):
        read_foreign(path)


def test_a_pickle_that_is_nested_deeply(tmp_path):
    with (
        zipfile.ZipFile(BytesIO(saved({"a": torch.zeros(1)}))) as whole,
        zipfile.ZipFile(tmp_path / "x.pt", "w") as file,
    ):
        for one in whole.infolist():
            deep = b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b"."
            file.writestr(one.filename, deep if one.filename.endswith("data.pkl") else whole.read(one))
    with pytest.raises(DataError, match=r"x\.pt"):
        read_foreign(tmp_path / "x.pt")
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match=r"x\.pt"):
        read_foreign(tmp_path / "x.pt")


def at_once(act, error, match):
    """It raises, and waits for nobody."""
    met = []

    def trying():
        try:
            act()
        except Exception as fault:  # looked at below
            met.append(fault)

    thread = threading.Thread(target=trying, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it hangs"
    with pytest.raises(error, match=match):
        raise met[0]


def test_fifos_in_place_of_files(tmp_path):
    real = npz(tmp_path / "real.npz", 20)
    for name in ("x.npz", "x.safetensors", "x.pt", "note.npz.json", "x.json"):
        os.mkfifo(tmp_path / name)
    npz(tmp_path / "note.npz", 20)
    at_once(lambda: NpzImages(tmp_path / "x.npz"), DataError, "FIFO")
    at_once(lambda: members(tmp_path / "x.npz"), DataError, "FIFO")
    at_once(lambda: NpzImages(tmp_path / "note.npz"), DataError, "FIFO")
    at_once(lambda: ReferenceFile(tmp_path / "x.safetensors"), DataError, "FIFO")
    at_once(lambda: open_sealed(tmp_path / "x.safetensors"), DataError, "FIFO")
    at_once(lambda: read_foreign(tmp_path / "x.pt"), DataError, "no file")
    at_once(lambda: read_foreign(tmp_path / "x.safetensors"), DataError, "no file")
    options = {"reference": real, "metrics": ["frechet_distance"], "extractor": "small_classifier"}
    for subject, out in ((tmp_path / "x.npz", None), (real, tmp_path / "x.json")):
        at_once(
            lambda: thalweg_eval.evaluate(subject, out=out, work=tmp_path / "work", **options),  # noqa: B023
            DataError if out is None else ConfigError,
            "FIFO" if out is None else "no passport",
        )


def nothing_happened(folder, former):
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == former


def test_an_evaluation_writes_over_nothing_but_its_own_kind(tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg_eval.evaluation.evaluate.Evaluator", lambda *_: pytest.fail("it was opened"))
    a, b = npz(tmp_path / "a.npz", 20), npz(tmp_path / "b.npz", 20)
    mine, statistics = tmp_path / "mine.json", tmp_path / "statistics.safetensors"
    mine.write_text('{"a": 1}')
    (tmp_path / "cut.json").write_text('{"format": "thalweg-passport", ')
    write_sealed(statistics, {"a": torch.zeros(1)}, {"a": "b"})
    write_sealed(tmp_path / "ours.safetensors", {}, {"format": "thalweg-reference"})
    assert is_reference(tmp_path / "ours.safetensors")
    (tmp_path / "link.json").symlink_to(mine)
    (tmp_path / "folder").mkdir()
    former = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    options = {"metrics": ["frechet_distance"], "extractor": "small_classifier", "work": tmp_path / "work"}
    for given, match in (
        ({"out": b}, "b.npz exists and is no passport"),
        ({"out": mine}, "mine.json exists and is no passport"),
        ({"out": tmp_path / "cut.json"}, "is no passport"),
        ({"out": tmp_path / "folder"}, "is no passport"),
        ({"out": tmp_path / "link.json"}, "is no passport"),
        ({"out": a}, "is read"),
        ({"out": tmp_path / "folder" / ".." / "a.npz"}, "is read"),
        ({"reference": b, "out": b}, "is read"),
        ({"save_reference": b}, "holds no statistics"),
        ({"save_reference": statistics}, "holds no statistics"),
        ({"save_reference": mine}, "holds no statistics"),
        (
            {"reference": tmp_path / "ours.safetensors", "save_reference": tmp_path / "ours.safetensors"},
            "read",
        ),
        ({"out": tmp_path / "new", "save_reference": tmp_path / "new"}, "name two files"),
    ):
        with pytest.raises(ConfigError, match=match):
            thalweg_eval.evaluate(a, **options, **given)
        nothing_happened(tmp_path, former)
