"""Ablations of data that need credentials: all cells are trained and scored, and nothing tells them."""

import json

import pytest

from fault_server import make_bucket, s3_server
from secret_sweep import assert_absent
from shard_makers import make_shards
from thalweg.cli.main import main
from thalweg.config import to_toml
from tiny_ablations import PROTOCOL
from tiny_runs import TINY, TRAINING

# botocore's own date handling, on some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

LONG, SLASHED, WORD = "Ab1canary0f-the-cells", "Q7%2Fcanary%2Bof%3Durl", "wren"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with s3_server() as port, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        bucket = make_bucket(f"http://127.0.0.1:{port}")
        make_shards(
            f"s3://{bucket}/set", kind="pixels", shard_samples=40, count=120, shape=(1, 8, 8), dtype="uint8",
            classes=10
        )  # fmt: skip
        (folder / "moment.toml").write_text(to_toml(PROTOCOL))
        data = {"type": "shards", "url": f"s3://{bucket}/set", "validation": 40}
        training = {**TRAINING, "steps": 2}
        (folder / "tiny.toml").write_text(to_toml({**TINY, "data": data, "training": training}))
        yield folder, bucket


def ablate(folder, out, *more):
    protocol = str(folder / "moment.toml")
    return main(
        ["--debug", "ablate", str(folder / "tiny.toml"), "--axis", "refiner=none,plain", "--seeds", "1",
         "--protocol", protocol, "--out", str(out), *more]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "data.url=s3://AKIA0canary:{0}@{bucket}/set".replace("{0}", SLASHED),
            "data.url=s3://AKIA0canary:{0}@{bucket}/set".replace("{0}", LONG),
        ),
        (
            f'data.storage_options={{key="{WORD}", secret="{LONG}"}}',
            f'data.storage_options={{key="{WORD}", secret="An0ther-{LONG}"}}',
        ),
    ],
)
def test_all_cells_are_trained_and_scored_and_no_file_tells(served, tmp_path, capfd, first, second):
    folder, bucket = served
    out = tmp_path / "out"
    assert ablate(folder, out, first.replace("{bucket}", bucket)) == 0
    found = json.loads((out / "results.json").read_text())
    assert [len(cell["runs"]) for cell in found["cells"]] == [1, 1]
    assert "data." in (out / "report.html").read_text()
    # Secrets are replaced now and then; the ablation is the same.
    assert ablate(folder, out, second.replace("{bucket}", bucket)) == 0
    assert ablate(folder, out, "training.optimizer.lr=0.5") == 2
    printed = capfd.readouterr()
    for secret in ("canary", WORD, LONG):
        assert_absent(secret, out, folder / "cache", texts=[printed.out, printed.err])
