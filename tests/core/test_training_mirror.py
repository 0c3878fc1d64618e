"""Run directories on object stores."""

import json
import shutil
import subprocess

import fsspec
import pytest
import torch

import thalweg
from fault_server import make_bucket, s3_server
from run_processes import THALWEG, ended, start
from thalweg import checkpoint
from thalweg.checkpoint import remote
from thalweg.cli.main import main
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.storage import Location
from thalweg.training.preflight import dry_run
from thalweg.training.trainer import Trainer
from tiny_runs import lines, recipe, tensor_files, tiny

# botocore's own date handling, on some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

RUN = "memory://bucket/runs/tiny"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine of its own: nothing in its cache, nothing on the store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    clear()
    return monkeypatch


def clear():
    """Nothing is on the store."""
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]


def train(run_dir=RUN, *, resume="auto", **training):
    return Trainer(tiny(**training), run_dir, accelerator="cpu", quiet=True).train(resume)


def stored(there=RUN):
    return {file.relative(Location(there)) for file in Location(there).find()}


def steps(there=RUN):
    return remote.remote_checkpoints(Location(there) / "checkpoints")


def test_a_run_on_a_store_is_the_one_of_a_folder(tmp_path):
    train(tmp_path / "folder", sample_every=3)
    result = train(sample_every=3)
    assert result.step == 6
    names = {str(path.relative_to(tmp_path / "folder")) for path in (tmp_path / "folder").rglob("*")}
    files = {name for name in names if (tmp_path / "folder" / name).is_file()} - {"run.lock"}
    assert stored() == files | {"claim.json"}
    there = Location(RUN)
    for name in sorted(files):
        if name.endswith(".safetensors"):
            assert (there / name).read() == (tmp_path / "folder" / name).read_bytes(), name
    network = thalweg.load(RUN)
    expected = thalweg.load(tmp_path / "folder").state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_every_average_of_a_run_on_a_store_is_there_and_opened_by_name(tmp_path):
    settings = {"average": {"decay": [0.9, 0.5], "warmup": False}, "validate_every": 0}
    train(tmp_path / "folder", **settings)
    train(steps=3, **settings)
    train(**settings)
    assert {"model/model.json", "model-0.5/model.json", "model-0.5/model.safetensors"} <= stored()
    expected = thalweg.load(tmp_path / "folder", average="0.5").state_dict()
    for found in (thalweg.load(RUN, average="0.5"), thalweg.load(f"{RUN}/model-0.5")):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.state_dict().items())
    main_one = thalweg.load(RUN, average="0.9").state_dict()
    assert any(not torch.equal(tensor, expected[name]) for name, tensor in main_one.items())
    with pytest.raises(DataError, match=r"has no average '0\.7'"):
        thalweg.load(RUN, average="0.7")


def test_another_machine_resumes_as_if_nothing_had_happened(tmp_path, machine):
    train(tmp_path / "folder")
    train(steps=4)
    machine.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    result = train()
    assert lines(result.run_dir) == lines(tmp_path / "folder")
    assert tensor_files(result.run_dir) == tensor_files(tmp_path / "folder")
    lines_there = (Location(RUN) / "metrics.jsonl").read().decode().splitlines()
    assert [json.loads(line)["step"] for line in lines_there] == [1, 2, 3, 4, 5, 6]


def test_the_first_machine_resumes_from_the_store_and_not_from_what_it_has(tmp_path, machine):
    train(steps=2)
    machine.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    train(steps=4)
    machine.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    result = train()
    train(tmp_path / "folder")
    assert tensor_files(result.run_dir) == tensor_files(tmp_path / "folder")
    assert len(lines(result.run_dir)) == 6


def test_old_checkpoints_are_pruned_there_and_latest_moves_on():
    train(keep=2, keep_every=4, checkpoint_every=1)
    assert steps() == ["step-00000004", "step-00000005", "step-00000006"]
    assert (Location(RUN) / "checkpoints" / "latest").read() == b"step-00000006\n"


def damage(name):
    file = Location(RUN) / name
    content = bytearray(file.read())
    content[len(content) // 2] ^= 1
    file.write(bytes(content))


@pytest.mark.parametrize("how", ["damaged", "unfinished"])
def test_a_bad_checkpoint_is_named_and_the_one_before_is_taken(how, tmp_path, machine, capsys):
    train(steps=4, keep=2)
    last = Location(RUN) / "checkpoints" / "step-00000004"
    if how == "damaged":
        damage("checkpoints/step-00000004/ema.safetensors")
    else:
        (last / checkpoint.MANIFEST).remove()
    machine.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    result = train(keep=2)
    assert "step-00000004" in capsys.readouterr().err
    train(tmp_path / "folder", keep=2)
    assert tensor_files(result.run_dir) == tensor_files(tmp_path / "folder")
    assert steps() == ["step-00000004", "step-00000006"]


def test_what_a_killed_upload_left_is_removed_and_not_kept_instead_of_a_whole_one(tmp_path, machine):
    train(steps=2, keep=2)
    (Location(RUN) / "checkpoints" / "step-00000003" / "ema.safetensors").write(b"half")
    machine.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    train(steps=4, keep=2)
    assert steps() == ["step-00000002", "step-00000004"]


def test_what_loggers_wrote_goes_along_and_is_extended(tmp_path, machine):
    logged = {"loggers": {"csv": {"type": "csv"}}}
    for place, cache, sitting in ((RUN, "first", 3), (RUN, "second", 6), (tmp_path / "folder", "third", 6)):
        machine.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        Trainer(
            tiny(top=logged, steps=sitting, validate_every=3), place, accelerator="cpu", quiet=True
        ).train()
    rows = (Location(RUN) / "metrics.csv").read().decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3", "4", "5", "6"]
    assert rows[0] == (tmp_path / "folder" / "metrics.csv").read_text().splitlines()[0]


def test_a_model_that_was_half_replaced_is_none(tmp_path, machine):
    """The description goes before new tensors come, so that a run in between opens as its checkpoint."""
    train(steps=2)
    upload = Location.upload

    def killed(self, path):
        if (path.parent.name, path.name) == ("model", "model.json"):
            raise Killed
        upload(self, path)

    machine.setattr(Location, "upload", killed)
    with pytest.raises(Killed):
        train(steps=4)
    train(tmp_path / "folder", steps=4)
    opened, expected = thalweg.load(RUN).state_dict(), thalweg.load(tmp_path / "folder").state_dict()
    assert all(torch.equal(opened[name], expected[name]) for name in expected)


def test_if_all_are_damaged_it_says_so(tmp_path, machine):
    train(steps=2, keep=1)
    damage("checkpoints/step-00000002/network.safetensors")
    machine.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    with pytest.raises(DataError, match=r"none of the 1 checkpoints in memory://bucket/runs/tiny.* is whole"):
        train()


class Killed(BaseException):
    """In place of kill -9: nothing that handles errors sees it."""


def test_killed_at_any_upload_the_run_resumes(tmp_path, machine):
    """After every change of the store in turn the process is gone; another machine resumes exactly."""
    train(tmp_path / "folder", steps=4, async_checkpoints=False, keep=1)
    expected = tensor_files(tmp_path / "folder")
    changes = ("upload", "write", "remove")
    real = {name: getattr(Location, name) for name in changes}

    def counted(budget):
        left = [budget]

        def wrap(name):
            def call(self, *arguments):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return real[name](self, *arguments)

            return call

        for name in changes:
            machine.setattr(Location, name, wrap(name))
        return left

    left = counted(10**6)
    train(steps=4, async_checkpoints=False, keep=1)
    total = 10**6 - left[0]
    assert total > 20
    for budget in range(0, total, 3):
        clear()
        shutil.rmtree(tmp_path / "first")
        counted(budget)
        with pytest.raises(Killed):
            train(steps=4, async_checkpoints=False, keep=1)
        counted(10**6)
        machine.setenv("XDG_CACHE_HOME", str(tmp_path / f"second-{budget}"))
        result = train(steps=4, async_checkpoints=False, keep=1)
        machine.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
        assert tensor_files(result.run_dir) == expected, budget
        assert steps()[-1] == "step-00000004"


def test_a_run_that_was_taken_over_saves_nothing_any_more(machine):
    train(steps=2)
    before = stored()
    content = (Location(RUN) / "metrics.jsonl").read()
    ours = Trainer(tiny(), RUN, accelerator="cpu", quiet=True)
    original = type(ours.run.remote).take_over

    def taken_over_twice(self):
        original(self)
        (self.there / "claim.json").write(b'{"token": "theirs", "host": "elsewhere", "process": 7}')

    machine.setattr(type(ours.run.remote), "take_over", taken_over_twice)
    with pytest.raises(ThalwegError, match=r"process \(7 on elsewhere\) has taken over the run in memory://"):
        ours.train()
    assert stored() == before
    assert (Location(RUN) / "metrics.jsonl").read() == content


def test_what_is_refused_is_refused_there_too():
    (Location(RUN) / "holiday.jpg").write(b"sun")
    with pytest.raises(ConfigError, match=r"memory://bucket/runs/tiny is not empty and holds no run"):
        train()
    assert stored() == {"holiday.jpg"}
    other = "memory://bucket/runs/other"
    train(other, steps=2)
    with pytest.raises(
        ConfigError, match=r"other belongs to a run with another configuration: training.optimizer.lr"
    ):
        train(other, optimizer={"lr": 0.5})
    with pytest.raises(ConfigError, match="holds a run already"):
        train(other, resume="never")
    with pytest.raises(ConfigError, match=r"training.steps is 1 and the run in memory://bucket/runs/other"):
        train(other, steps=1)


def test_a_dry_run_tries_to_write_and_leaves_nothing():
    said = dry_run(tiny(), RUN, accelerator="cpu")
    assert said["run"] == f"tiny in {RUN}"
    assert not Location(RUN).exists()


def test_networks_are_opened_by_url(machine, tmp_path):
    train(steps=4)
    (Location(RUN) / "model" / "model.json").remove()
    again = thalweg.load(RUN)  # its newest checkpoint
    named = thalweg.load(f"{RUN}/checkpoints/step-00000004")
    for name, tensor in named.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    with pytest.raises(DataError, match="memory://bucket/runs/nothing holds no network"):
        thalweg.load("memory://bucket/runs/nothing")
    train(steps=6)
    assert thalweg.load(f"{RUN}/model").composition == named.composition
    damage("model/model.safetensors")
    machine.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    with pytest.raises(DataError, match="SHA-256"):
        thalweg.load(RUN)


def test_the_web_is_refused_before_the_first_step():
    with pytest.raises(ConfigError, match=r"http://127.0.0.1:9/run, and the web can only be read"):
        dry_run(tiny(), "http://127.0.0.1:9/run", accelerator="cpu")


def test_the_command_line_resumes_from_s3(tmp_path, machine):
    secret = "Sesame/open+now=42"
    with s3_server() as port:
        endpoint = f"http://127.0.0.1:{port}"
        place = f"s3://{make_bucket(endpoint)}/runs/tiny"
        options = {"key": "AKIATESTTEST", "secret": secret, "endpoint_url": endpoint,
                   "client_kwargs": {"region_name": "us-east-1"}}  # fmt: skip
        told = json.dumps({"s3": options})
        machine.setenv("THALWEG_STORAGE_OPTIONS", told)
        train(place, steps=4)
        command = [*THALWEG, "train", str(recipe(tmp_path)), "--run-dir", place, "--device", "cpu"]
        there = {"THALWEG_STORAGE_OPTIONS": told, "XDG_CACHE_HOME": str(tmp_path / "second")}
        code, out, err = ended(start(command, **there))
        assert (code, out.strip()) == (0, f"{place}/model"), err
        assert "resuming from step 4" in err
        images = tmp_path / "x.npz"
        settings = ["count=4", "sampler=euler", "sampler.steps=2", "guidance=none"]
        assert main(["sample", place, str(images), *settings]) == 0
    assert images.exists()
    grep = subprocess.run(["grep", "-rlF", secret, str(tmp_path)], capture_output=True, text=True)
    assert grep.returncode == 1, grep.stdout
