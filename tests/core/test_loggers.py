"""Loggers beside TensorBoard: what they write, resuming after a kill, and one that fails."""

import csv
import json
import struct
import sys
import time

import pytest
from PIL import Image

import thalweg.plugins
from plugin_makers import plugin, site_at
from thalweg.config import component
from thalweg.errors import DataError, PluginError
from thalweg.training.trainer import Trainer
from tiny_runs import lines, tiny


def table(path):
    return list(csv.reader(path.read_text().splitlines()))


def test_a_run_leaves_the_numbers_of_its_metrics_as_a_table(tmp_path):
    config = tiny(top={"loggers": {"csv": {}}}, validate_every=4)
    Trainer(config, tmp_path, accelerator="cpu", quiet=True).train()
    header, *rows = table(tmp_path / "metrics.csv")
    assert "validation/loss" in header
    written = [{name: float(cell) for name, cell in zip(header, row, strict=True) if cell} for row in rows]
    assert written == [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]


def test_a_new_number_gets_a_column_and_the_lines_before_stay_empty(tmp_path):
    logger = component("logger", "csv").build(tmp_path)
    logger.log(1, {"loss": 0.5})
    logger.log(2, {"loss": 0.25, "validation, all": float("nan")})
    assert table(tmp_path / "metrics.csv") == [
        ["step", "loss", "validation, all"], ["1", "0.5", ""], ["2", "0.25", "nan"]
    ]  # fmt: skip
    logger.log(3, {"validation, all": 1e-9})
    logger.close()
    assert table(tmp_path / "metrics.csv")[-1] == ["3", "", "1e-09"]


@pytest.mark.parametrize("cut", ["", "4,0.1", "4"])
def test_a_table_forgets_what_an_earlier_attempt_wrote(tmp_path, cut):
    config = component("logger", "csv")
    first = config.build(tmp_path)
    for step in (1, 2, 3):
        first.log(step, {"loss": 1 / step})
    first.close()
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text() + cut)
    second = config.build(tmp_path)
    assert len(table(path)) == 4 + bool(cut)  # nothing is touched before there is something to write
    second.log(3, {"loss": 9.0})
    second.close()
    assert table(path) == [["step", "loss"], ["1", "1.0"], ["2", "0.5"], ["3", "9.0"]]
    assert [one.name for one in tmp_path.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize("text", ["", "name,age\nAda,36\n", "step,loss\n1,2,3\n", "step,loss\nx,2\n", "\n"])
def test_a_file_that_is_no_table_of_ours_is_left_alone(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"metrics\.csv is no table.*loggers\.csv\.file"):
        component("logger", "csv").build(tmp_path)
    assert path.read_text() == text


BROKEN = """
import attrs

calls = []


@attrs.frozen
class Config:
    where: str
    raises: str

    def build(self, run_dir):
        calls.clear()
        return Broken(self)


class Broken:
    def __init__(self, config):
        self.config = config

    def called(self, what):
        calls.append(what)
        if what == self.config.where:
            raise {"OSError": OSError(28, "No space left"), "SystemExit": SystemExit(3)}[self.config.raises]

    def log(self, step, numbers):
        self.called("log")

    def image(self, step, name, path):
        self.called("image")

    def close(self):
        self.called("close")
"""


@pytest.fixture
def broken(tmp_path):
    """A stranger's logger that fails where its options say."""
    (tmp_path / "site").mkdir()
    with site_at(tmp_path / "site") as site:
        site.install("zoo-plugin", plugin("'logger', 'broken', 'zoo_logger:Config'"), zoo_logger=BROKEN)
        thalweg.plugins.block()
        yield
    thalweg.plugins.block()


@pytest.mark.parametrize("where", ["log", "image", "close"])
@pytest.mark.parametrize("raises", ["OSError", "SystemExit"])
def test_a_logger_that_fails_is_left_out_and_the_run_resumes(tmp_path, broken, caplog, where, raises):
    loggers = {"broken": {"where": where, "raises": raises}, "csv": {}}
    run = tmp_path / "run"
    trainer = Trainer(
        tiny(top={"loggers": loggers}, steps=3, sample_every=2), run, accelerator="cpu", quiet=True
    )
    assert trainer.train().step == 3
    (said,) = [one.getMessage() for one in caplog.records]
    assert said.startswith("the logger 'broken' failed and is left out")
    assert raises in said
    calls = sys.modules["zoo_logger"].calls
    assert calls[-1] == where
    assert calls.count(where) == 1
    assert len(table(run / "metrics.csv")) == 4
    assert len(lines(run)) == 3


def wandb_records(folder):
    """What an offline run wrote: LevelDB's log format, blocks of 32 KiB, behind 7 bytes of head."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("*.wandb")
    data, place, record = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left  # no head fits into what is left of a block
            continue
        _, length, part = struct.unpack_from("<IHB", data, place)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):  # a whole one, or the last of several
            found = wandb_internal_pb2.Record()
            found.ParseFromString(record)
            yield found
            record = b""


def wandb_written(run):
    """Groups, losses by step and the number of pictures of all sittings."""
    groups, numbers, pictures = set(), {}, 0
    for folder in (run / "wandb").glob("offline-run-*"):
        pictures += len(list(folder.rglob("*.png")))
        for record in wandb_records(folder):
            if record.HasField("run"):
                groups.add((record.run.project, record.run.run_group))
            for item in record.history.item:
                key = item.key or "/".join(item.nested_key)
                if key == "loss":
                    numbers[record.history.step.num] = json.loads(item.value_json)
    return groups, numbers, pictures


def test_wandb_writes_offline_and_each_sitting_is_a_run_of_one_group(tmp_path):
    pytest.importorskip("wandb")
    run = tmp_path / "run"
    run.mkdir()
    Image.new("L", (8, 6), 128).save(tmp_path / "grid.png")
    for begin in (1, 3):
        logger = component("logger", "wandb").build(run)
        logger.log(begin, {"loss": 0.5 / begin, "velocity/branch_1": 0.25})
        logger.log(begin + 1, {"loss": 0.125})
        logger.image(begin + 1, "samples", tmp_path / "grid.png")
        logger.close()
    deadline = time.monotonic() + 60
    while True:  # its service is a process of its own, which may write what is left a little later
        groups, numbers, pictures = wandb_written(run)
        if len(numbers) == 4 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert groups == {("thalweg", "run")}
    assert numbers == {1: 0.5, 2: 0.125, 3: 0.5 / 3, 4: 0.125}
    assert pictures == 2


def test_wandb_missing_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(PluginError, match=r"pip install 'thalweg-core\[wandb\]'"):
        component("logger", "wandb").build(tmp_path)
