"""A seeded secret is swept for over a whole run on remote data: begun, interrupted, completed and failed."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from fault_server import make_bucket, s3_server
from secret_sweep import assert_absent
from shard_makers import make_shards
from thalweg.cli.main import main
from thalweg.storage import Location
from tiny_runs import recipe

# botocore's own date handling, on some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

SECRET, OTHER = "Tr4/canary+of=the.run", "An0ther.canary-in-the-address"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with s3_server() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        name = make_bucket(f"http://127.0.0.1:{port}")
        make_shards(f"s3://{name}/set", shard_samples=20, count=60, shape=(1, 8, 8), spread=0.1)
        yield name


def interrupt_when_under_way(metrics: Path) -> None:
    while not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_no_log_artefact_or_crash_of_a_run_holds_a_secret(
    bucket: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, options = tmp_path / "run", f'{{key="nobody", secret="{SECRET}"}}'
    common = ["--debug", "train", str(recipe(tmp_path)), "loggers.tensorboard={}", "--device", "cpu"]
    url = f"s3://someone:{OTHER}@{bucket}"
    shards = f'data={{type="shards", url="{url}/set", validation=8, storage_options={options}}}'
    command = [*common, shards, "--run-dir", str(run_dir)]
    assert main([*command, "--dry-run"]) == 0
    waiting = threading.Thread(target=interrupt_when_under_way, args=(run_dir / "metrics.jsonl",))
    waiting.start()
    assert main([*command, "training.steps=100000", "training.log_every=1"]) == 130
    waiting.join()
    said = capfd.readouterr()
    assert "to resume: thalweg" in said.err
    assert main([*common, shards.replace("/set", "/none"), "--run-dir", str(tmp_path / "failed")]) == 4
    assert main([*command, "training.optimizer.lr=true"]) == 2
    steps = [
        int(path.name.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("step-*")
    ]  # fmt: skip
    assert main([*command, f"training.steps={max(steps) + 2}"]) == 0
    away = f"{url}/run"
    for steps in (1, 2):  # begun, and gone on with by another machine
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache" / f"{steps}"))
        assert main([*common, shards, "--run-dir", away, f"training.steps={steps}"]) == 0
    assert main([*common, shards, "--run-dir", f"{url}-none/run"]) == 4
    kept = Location(f"s3://{bucket}/run")
    for file in kept.find():
        file.download(tmp_path / "kept" / file.relative(kept))
    more = capfd.readouterr()
    assert f"s3://{bucket}/run/model" in more.out
    assert (tmp_path / "kept" / "checkpoints" / "latest").read_text() == "step-00000002\n"
    assert "s3://***@" in (run_dir / "config.toml").read_text()
    assert (run_dir / "model").is_dir()
    for secret in (SECRET, OTHER):
        assert_absent(
            secret,
            run_dir,
            tmp_path / "cache",
            tmp_path / "kept",
            texts=[said.out, said.err, more.out, more.err],
        )
