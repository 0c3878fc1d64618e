"""Weights & Biases while a run is on, against a server on loopback: numbers arrive, a resumed run goes on
there, and a server that is gone costs the run nothing."""

import logging
import threading

import pytest
from PIL import Image

from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.training.loggers import weights_and_biases
from thalweg.training.loggers.in_background import InBackground
from thalweg.training.trainer import Trainer
from tiny_runs import lines, tiny
from wandb_server import WandbServer

wandb = pytest.importorskip("wandb")

KEY = "c0ffee" * 6 + "cafe"


@pytest.fixture(scope="module")
def port():
    """One for all, since wandb reads its settings once a process."""
    with WandbServer() as server:
        found = server.port
    wandb.teardown()
    yield found
    wandb.teardown()


@pytest.fixture
def hasty(port, tmp_path, monkeypatch):
    """An API key, and a wandb that sends often and gives up soon; the folder of a run."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setattr(weights_and_biases, "_INIT", 20)
    monkeypatch.setattr(weights_and_biases, "_FINISH", 2)
    settings = weights_and_biases._settings
    monkeypatch.setattr(
        weights_and_biases, "_settings", lambda: {**settings(), "x_file_stream_transmit_interval": 0.1}
    )
    run = tmp_path / "run"
    run.mkdir()
    return run


def online(run):
    return component("logger", {"type": "wandb", "mode": "online"}).build(run)


def losses(server):
    ((run, history),) = server.history.items()
    return run, [(line["_step"], line["loss"]) for _, line in sorted(history.items()) if "loss" in line]


def test_numbers_arrive_during_the_run_and_a_resumed_one_goes_on_in_the_same(hasty, port, tmp_path, capfd):
    Image.new("L", (8, 6), 128).save(tmp_path / "grid.png")
    with WandbServer(port) as server:
        first = online(hasty)
        for step in (1, 2, 3):
            first.log(step, {"loss": 1 / step, "velocity/branch_1": 0.25})
        assert server.arrived.wait(60)
        assert not server.finished  # it is on
        first.log(4, {"loss": 0.25})
        first.image(4, "samples", tmp_path / "grid.png")
        first.close()
        run, before = losses(server)
        assert before == [(step, 1 / step) for step in (1, 2, 3, 4)]
        # As after a kill: resumed from the checkpoint of step 2, which does steps 3 and 4 once more.
        second = online(hasty)
        for step in (3, 4, 5):
            second.log(step, {"loss": 1 / step})
        second.close()
        assert losses(server) == (run, [*before, (5, 0.2)])
        assert server.finished == [run, run]
        assert len([one for one in server.keys if one]) == 1
    for path in hasty.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert KEY not in "".join(capfd.readouterr())


def test_a_server_that_is_down_neither_ends_the_run_nor_loses_its_numbers(hasty, caplog, monkeypatch):
    monkeypatch.setattr(weights_and_biases, "_INIT", 1)
    config = tiny(top={"loggers": {"wandb": {"mode": "online"}}}, steps=3)
    result = Trainer(config, hasty, accelerator="cpu", quiet=True).train()
    assert result.step == len(lines(hasty)) == 3
    said = [one.getMessage() for one in caplog.records if "Weights & Biases" in one.getMessage()]
    assert len(said) == 1
    assert "cannot be reached" in said[0]
    assert "wandb sync" in said[0]
    assert KEY not in caplog.text
    assert list((hasty / "wandb").glob("offline-run-*/*.wandb"))


def test_a_server_that_goes_away_during_the_run_costs_no_more_than_the_patience(hasty, port):
    with WandbServer(port) as server:
        logger = online(hasty)
        logger.log(1, {"loss": 1.0})
        logger.log(2, {"loss": 0.5})  # which completes the line of step 1
        assert server.arrived.wait(60)
    logger.log(3, {"loss": 0.25})
    logger.close()
    assert list((hasty / "wandb").glob("run-*/*.wandb"))


def test_without_a_key_it_is_refused_before_the_run(hasty, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    with pytest.raises(
        ConfigError, match=r"no API key for it; set WANDB_API_KEY.*or leave loggers\.wandb\.mode"
    ):
        online(hasty)


class Slow:
    """A logger that waits until it is told to go on, and may fail."""

    def __init__(self, fault=None):
        self.go, self.taken, self.fault = threading.Event(), [], fault

    def log(self, step, numbers):
        self.go.wait(30)
        if self.fault is not None:
            raise self.fault
        self.taken.append((step, numbers))

    def image(self, step, name, path):
        self.taken.append((step, name))

    def close(self):
        self.taken.append("closed")


def test_a_slow_logger_is_not_waited_for_and_gets_all_in_order(caplog):
    slow = Slow()
    logger = InBackground(slow, patience=30, left="nothing")
    numbers = {"loss": 1.0}
    logger.log(1, numbers)
    numbers["loss"] = 2.0
    logger.image(1, "samples", "grid.png")
    assert slow.taken == []
    slow.go.set()
    logger.close()
    assert slow.taken == [(1, {"loss": 1.0}), (1, "samples"), "closed"]
    assert not caplog.records


def test_one_that_hangs_is_given_up_with_a_word(caplog):
    slow = Slow()
    logger = InBackground(slow, patience=0.05, left="the rest is lost")
    logger.log(1, {})
    with caplog.at_level(logging.WARNING):
        logger.close()
    assert "the rest is lost" in caplog.text
    slow.go.set()


def test_one_that_fails_says_so_at_the_next_call():
    slow = Slow(OSError("no space"))
    slow.go.set()
    logger = InBackground(slow, patience=30, left="")
    logger.log(1, {})
    with pytest.raises(OSError, match="no space"):
        logger.close()
    InBackground(slow, patience=0, left="").close()  # what was never begun has nothing to end
