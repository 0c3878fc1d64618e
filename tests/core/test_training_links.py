"""Links in a run directory: nothing is written, cut or removed that they lead to."""

import os
import re
import shutil
from pathlib import Path

import pytest

import thalweg
from thalweg import checkpoint
from thalweg.config import dump, recorded_text
from thalweg.errors import ThalwegError
from thalweg.storage import Location
from thalweg.training.preflight import dry_run
from thalweg.training.trainer import Trainer
from tiny_runs import lines, tensor_files, tiny

LOGGERS = {"csv": {}, "tensorboard": {}}
NAMES = [
    "config.toml", ".config.toml.partial", ".config.toml.0badcafe.part",
    "metrics.jsonl", ".metrics.jsonl.partial", ".metrics.jsonl.0badcafe.part", "metrics-kept.jsonl",
    "run.lock", "saved.json", "metrics.csv", ".metrics.csv.0badcafe.part", "tensorboard",
    "samples", "samples/step-000004.png", "samples/.step-000004.png.0badcafe.part",
    "model", ".model.partial", ".model.partial.former",
    "checkpoints", "checkpoints/latest", "checkpoints/.latest.0badcafe.part", "checkpoints/.partial-x",
    "checkpoints/.partial-step-00000004", "checkpoints/.partial-old-step-00000002",
    "checkpoints/step-00000004",
]  # fmt: skip
REFUSED = {"run.lock", "samples", "checkpoints", "tensorboard"}
"""Whatever they lead to: what is written there would be written outside."""

READ = {"metrics.jsonl", "metrics.csv", "checkpoints/step-00000004"}
"""What is read before it is replaced, and found not to be of the run."""


def trainer(run_dir: Path | str, *, steps: int = 4, logging: bool = True, **training: object) -> Trainer:
    top = {"loggers": LOGGERS} if logging else {}
    config = tiny(top=top, steps=steps, validate_every=0, sample_every=2, **training)
    return Trainer(config, run_dir, accelerator="cpu", quiet=True)


def tree(folder: Path) -> dict[str, object]:
    """Names, bytes, times and links of everything below, and of the folder itself."""
    found: dict[str, object] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, content)
    return found


def without_times(found: dict[str, object]) -> dict[str, object]:
    return {name: (mode, content) for name, (mode, _, content) in found.items()}  # type: ignore[misc]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    pytest.importorskip("tensorboard")
    run = tmp_path_factory.mktemp("begun") / "run"
    trainer(run, steps=2).train()
    return run


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    folder = tmp_path / "victim"
    (folder / "below").mkdir(parents=True)
    (folder / "precious").write_text("do not touch\n")
    (folder / "below" / "thesis.tex").write_text("not this either\n")
    return folder


@pytest.mark.parametrize("kind", ["file", "folder", "dangling", "loop"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("resumed", [False, True], ids=["fresh", "resumed"])
def test_nothing_that_a_link_leads_to_is_touched(
    tmp_path: Path, begun: Path, victim: Path, name: str, kind: str, resumed: bool
) -> None:
    run = tmp_path / "run"
    if resumed:
        shutil.copytree(begun, run)
    else:
        run.mkdir()
        (run / "config.toml").write_text(recorded_text(dump(trainer(run).config)))
    link = run / name
    link.parent.mkdir(exist_ok=True)
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    targets = {"file": victim / "precious", "folder": victim, "dangling": victim / "new", "loop": link}
    link.symlink_to(targets[kind])
    before, run_before = tree(victim), without_times(tree(run))
    run_before.pop("run.lock", None)
    refused = name in REFUSED or (kind == "file" and name in READ - {"checkpoints/step-00000004"})
    if name == "checkpoints/step-00000004" and kind == "folder":
        refused = not resumed  # there is a whole one before it
    if refused:
        with pytest.raises(ThalwegError, match=re.escape(name.partition("/")[0])):
            trainer(run).train()
        after = without_times(tree(run))
        if name != "run.lock":
            after.pop("run.lock", None)
        if not (resumed and name in ("metrics.jsonl",)):  # found damaged when the checkpoint is read
            assert {one: after[one] for one in run_before} == run_before
        assert link.is_symlink()
    else:
        assert trainer(run).train().step == 4
        assert len(lines(run)) == (2 if resumed and name == "metrics.jsonl" else 4)
        written = [path for path in run.rglob("*") if path.is_symlink()]
        assert written in ([], [link]), written
        assert not link.is_symlink() or name.endswith(".partial") or name == "metrics-kept.jsonl"
    assert tree(victim) == before


@pytest.mark.parametrize("name", ["run.lock", ".probe-1", "checkpoints", "tensorboard", "metrics.jsonl"])
def test_a_dry_run_touches_nothing(tmp_path: Path, begun: Path, victim: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    if (run / name).is_dir():
        shutil.rmtree(run / name)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(victim if "." not in name else victim / "precious")
    before, victim_before = without_times(tree(run)), tree(victim)
    config = tiny(top={"loggers": LOGGERS}, steps=4, validate_every=0, sample_every=2)
    if name in REFUSED:
        with pytest.raises(ThalwegError, match="is a link"):
            dry_run(config, run, accelerator="cpu")
    else:
        dry_run(config, run, accelerator="cpu")
    after = without_times(tree(run))
    if name == "run.lock":
        assert after.pop("run.lock") == before.pop("run.lock")
    assert after == before
    assert tree(victim) == victim_before


def test_what_was_moved_to_a_bigger_disk_and_linked_back_stays_there(tmp_path: Path) -> None:
    run, disk = tmp_path / "run", tmp_path / "disk"
    disk.mkdir()
    more = {"keep": 2, "checkpoint_every": 1, "logging": False}
    trainer(run, steps=3, **more).train()  # type: ignore[arg-type]
    for name in ("checkpoints/step-00000002", "checkpoints/step-00000003", "model"):
        shutil.move(run / name, disk / Path(name).name)
        (run / name).symlink_to(disk / Path(name).name)
    before = tree(disk)
    whole = thalweg.load(run).state_dict()
    assert whole.keys() == thalweg.load(run / "checkpoints" / "step-00000002").state_dict().keys()
    for steps in (4, 5, 6):
        assert trainer(run, steps=steps, **more).train().step == steps  # type: ignore[arg-type]
    assert tree(disk) == before
    assert not (run / "model").is_symlink()
    assert [path.name for path in checkpoint.checkpoints(run / "checkpoints")] == [
        "step-00000005", "step-00000006",
    ]  # fmt: skip
    trainer(tmp_path / "whole", steps=6, **more).train()  # type: ignore[arg-type]
    assert tensor_files(run) == tensor_files(tmp_path / "whole")


def test_the_run_directory_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    assert trainer(tmp_path / "run", logging=False).train().step == 4
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "disk" / "model" / "model.json").is_file()


def test_a_copy_of_hard_links_stays_as_it_was(tmp_path: Path, begun: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    shutil.copytree(begun, run)
    shutil.copytree(run, copy, copy_function=os.link)
    before = tree(copy)
    trainer(run).train()
    assert tree(copy) == before
    assert trainer(copy).train().step == 4


def test_what_hides_in_the_mirror_of_a_store_is_neither_followed_nor_sent(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there = "memory://links/run"
    run = trainer(there, steps=2, logging=False)
    run.train()
    here = run.run.path
    for name, target in (("metrics.csv", victim / "precious"), ("wandb", victim), ("notes", victim / "new")):
        (here / name).symlink_to(target)
    (here / "model").rename(tmp_path / "model")
    (here / "model").symlink_to(tmp_path / "model")
    before, model = tree(victim), tree(tmp_path / "model")
    assert trainer(there, steps=4, logging=False).train().step == 4
    assert tree(victim) == before
    assert tree(tmp_path / "model") == model
    sent = {file.relative(Location(there)) for file in Location(there).find()}
    assert not sent & {"metrics.csv", "notes", "wandb/precious"}


@pytest.mark.parametrize(
    "name", ["run.lock", "config.toml", "metrics.jsonl", "metrics.csv", "saved.json", "samples", "model"]
)
def test_a_fifo_hangs_nothing(tmp_path: Path, begun: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    if (run / name).is_dir():
        shutil.rmtree(run / name)
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    with pytest.raises(ThalwegError, match=name.replace(".", r"\.")):
        trainer(run).train()


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "config.json", "ema.safetensors"])
def test_a_fifo_in_a_checkpoint_is_damage(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    more = {"keep": 2, "checkpoint_every": 1, "logging": False}
    trainer(run, steps=2, **more).train()  # type: ignore[arg-type]
    path = run / "checkpoints" / "step-00000002" / name
    path.unlink()
    os.mkfifo(path)
    assert trainer(run, steps=3, **more).train().step == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "place", ["../beside", "/tmp/elsewhere", "", "a/../../b", ".", "s3://b/x", "file:///x"]
)
@pytest.mark.parametrize(("logger", "key"), [("csv", "file"), ("tensorboard", "folder")])
def test_a_logger_stays_within_the_run_directory(place: str, logger: str, key: str) -> None:
    with pytest.raises(ThalwegError, match="within the run directory"):
        tiny(top={"loggers": {logger: {key: place}}})
