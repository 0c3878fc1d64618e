"""A run directory on an S3 server that fails now and then, by one process and by two that share a network."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_server import Fault, FaultServer, make_bucket, s3_server
from run_processes import THALWEG, ended, start
from thalweg.errors import ThalwegError
from thalweg.storage import Location, retrying
from thalweg.storage.options import VARIABLE
from thalweg.training.trainer import Trainer
from tiny_runs import lines, recipe, tensor_files, tiny

# botocore's own date handling, on some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultServer]:
    with s3_server() as port, FaultServer(port) as server:
        yield server


@pytest.fixture
def home(proxy: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Location:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = {
        "key": "nobody", "secret": "nothing at all", "endpoint_url": proxy.url,
        "client_kwargs": {"region_name": "us-east-1"},
    }  # fmt: skip
    monkeypatch.setenv(VARIABLE, json.dumps({"s3": options}))
    monkeypatch.setattr(retrying, "sleep", lambda _: None)
    proxy.spoil()
    return Location(f"s3://{make_bucket(proxy.url)}/deep/run")


def train(where: Location | Path, **training: int) -> int:
    return Trainer(tiny(**training), str(where), accelerator="cpu", quiet=True).train().step


def downloaded(home: Location, folder: Path) -> Path:
    for file in home.find():
        file.download(folder / file.relative(home))
    return folder


def test_a_run_outlives_a_server_that_fails_and_resumes_from_what_is_there(
    home: Location, proxy: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole", steps=8)
    proxy.spoil(
        Fault(500, times=2, path="ema", method="PUT"),
        Fault(503, times=2, path="manifest", method="PUT"),
        Fault(503, times=2, path="claim", method="PUT"),
        Fault(500, times=1, path="latest", method="PUT"),
        Fault(503, times=1, method="HEAD"),
    )
    assert train(home, steps=4) == 4
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    proxy.spoil(
        Fault("cut", path="optimizer"), Fault(503, path="network"), Fault("cut", path="metrics.jsonl")
    )
    assert train(home, steps=8) == 8
    brought = downloaded(home, tmp_path / "brought")
    assert tensor_files(brought) == tensor_files(tmp_path / "whole")
    assert lines(brought) == lines(tmp_path / "whole")


def test_what_cannot_be_written_there_is_said_and_the_one_before_stays(
    home: Location, proxy: FaultServer
) -> None:
    proxy.spoil(Fault(403, times=-1, method="PUT"))
    with pytest.raises(ThalwegError, match=r"deep/run/claim.json may not be accessed \(403\)"):
        train(home, steps=4)
    proxy.spoil(Fault(403, times=-1, path="step-00000004/optimizer", method="PUT"))
    with pytest.raises(ThalwegError, match=r"cannot write the checkpoint s3://.*/step-00000004.*\(403\)"):
        train(home, steps=6)
    assert (home / "checkpoints" / "latest").read() == b"step-00000002\n"
    proxy.spoil()
    assert train(home, steps=6) == 6
    assert (home / "checkpoints").children() == ["latest", "step-00000004", "step-00000006"]


def test_two_processes_share_the_network_and_one_resumes(
    home: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        *THALWEG, "train", str(recipe(tmp_path, steps=4)), "--run-dir", str(home), "--quiet",
        "--device", "cpu", "--devices", "2", "--strategy", "fsdp",
    ]  # fmt: skip
    code, out, said = ended(
        start(command, **{name: os.environ[name] for name in ("XDG_CACHE_HOME", VARIABLE)})
    )
    assert (code, out) == (0, f"{home}/model\n"), said
    names = (home / "checkpoints" / "step-00000004").children()
    assert {name for name in names if name.startswith("ema")} == {
        "ema.rank0of2.safetensors", "ema.rank1of2.safetensors",
    }  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    assert train(home, steps=6, accumulate=2) == 6  # as many shards, and so the same run
    found, expected = (lines(downloaded(home, tmp_path / "brought")), tmp_path / "whole")
    train(expected, steps=6, accumulate=2)
    for line, other in zip(found, lines(expected), strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)
