"""What ``benchmarks/gpu.py`` keeps of pieces that crash or are cut off, and says to wrong arguments."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
from benchmarks.gpu import checkout, pieces, running
from benchmarks.gpu.command import main
from benchmarks.gpu.pieces import ALL, Piece, Target
from benchmarks.gpu.results import RESULTS, SUMMARY, Results, planned, table
from benchmarks.gpu.sizes import TINY

ROOT = Path(__file__).parents[2]


def whole(bench):
    bench.check("good", 1.0)
    bench.figure("speed", 12.5, "images/s")
    bench.note("a sentence")
    assert bench.before["whole"]["checks"][0]["met"] is None  # what stood there as it began


def missed(bench):
    assert bench.found("whole", "speed") == 12.5
    assert bench.found("whole", "nothing") is bench.found("nobody", "speed") is None
    bench.check("good", 3.0)


def hanging(bench):
    bench.figure("found before", 7.0)
    # What it has started ends with it.
    child = subprocess.Popen(["sleep", "60"])
    bench.figure("child", child.pid)
    time.sleep(60)


def killed(bench):
    bench.check("good", 1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def failing(bench):
    bench.note("before")
    raise ValueError("no good reason\nat all")


def broken(bench):
    bench.figure("a ratio", float("nan"))


@attrs.frozen
class Made(Piece):
    """A piece that is a function of this file."""

    def load(self):
        return globals()[self.name]


@pytest.fixture
def of_these(monkeypatch, tmp_path):
    """Runs pieces of this file and gives what stands in the folder afterwards."""

    def run(*names, end=60.0, seconds=30.0):
        made = [
            Made(name, f"what {name} does", seconds, (Target("good", "goodness", "at most", 2),))
            for name in names
        ]
        monkeypatch.setattr("benchmarks.gpu.results.PIECES", {one.name: one for one in made})
        results = Results(tmp_path, made, {"device": "none"})
        running.run(made, results, device="cpu", sizes=TINY, end=time.monotonic() + end)
        assert json.loads((tmp_path / RESULTS).read_text()) == results.data
        return results.data["pieces"], (tmp_path / SUMMARY).read_text(), results.complete

    return run


def test_every_piece_is_kept_with_its_verdicts(of_these):
    found, text, complete = of_these("whole", "missed")
    assert {name: one["state"] for name, one in found.items()} == {"whole": "done", "missed": "done"}
    assert found["whole"]["checks"] == [{"what": "goodness", "figure": 1.0, "met": True}]
    assert found["whole"]["figures"] == [{"what": "speed", "value": 12.5, "unit": "images/s"}]
    assert "| | goodness | 3 | at most 2 | **missed** |" in text
    assert "- whole: a sentence" in text
    assert not complete


def test_a_run_without_faults_is_complete(of_these):
    assert of_these("whole")[2]


def test_a_piece_that_hangs_is_cut_off_with_all_that_it_started(of_these):
    found, text, complete = of_these("hanging", "whole", seconds=0.5)
    assert found["hanging"]["state"].startswith("cut off after")
    before, child = found["hanging"]["figures"]
    assert before["value"] == 7.0
    status = Path(f"/proc/{child['value']:.0f}/stat")
    assert not status.exists() or status.read_text(encoding="utf-8").split()[2] == "Z"
    assert found["whole"]["state"] == "done"
    assert "cut off" in text
    assert not complete


def test_a_piece_that_crashes_costs_nothing_but_itself(of_these):
    found, _, complete = of_these("killed", "failing", "broken", "whole")
    assert found["killed"]["state"] == "failed, killed by SIGKILL"
    assert found["killed"]["checks"][0]["figure"] == 1.0
    assert found["failing"]["state"] == "failed, ValueError: no good reason"
    assert found["failing"]["notes"] == ["before"]
    assert "a ratio is nan" in found["broken"]["state"]
    assert found["whole"]["state"] == "done"
    assert not complete


def test_what_does_not_fit_into_the_time_is_left_out(of_these):
    found, text, complete = of_these("whole", end=running.LEAST / 2)
    assert found["whole"]["state"] == "left out, the time was over"
    assert "| | goodness | – | at most 2 | |" in text
    assert not complete


def waiting(bench):
    bench.figure("found before", 7.0)
    time.sleep(60)


def command(out):
    # In a process of its own, whose pieces may be others.
    for piece in ALL:
        sys.modules[f"benchmarks.gpu.{piece.name}"] = SimpleNamespace(run=waiting)
    main(["--device", "cpu", "--only", "syncs,golden", "--out", str(out)])


def test_a_command_that_is_ended_from_outside_leaves_what_it_had(tmp_path):
    process, path = (
        multiprocessing.get_context("fork").Process(target=command, args=(tmp_path,)),
        tmp_path / RESULTS,
    )
    process.start()
    while process.is_alive() and not (path.exists() and "found before" in path.read_text(encoding="utf-8")):
        time.sleep(0.02)
    process.terminate()
    process.join()
    assert process.exitcode == 143
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["made"]["minutes"] == 8.0
    assert "rehearsal" in found["made"]["device"]
    # In the order of the pieces, however they are named.
    assert list(found["pieces"]) == ["golden", "syncs"]
    assert found["pieces"]["golden"]["state"] == "interrupted"
    assert found["pieces"]["golden"]["figures"][0]["value"] == 7.0
    assert found["pieces"]["syncs"]["state"] == "not begun"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: --out"),
        (["--out", "F", "--only", "steps"], "there is no piece 'steps', did you mean 'step'?"),
        (["--out", "F", "--only", ","], "no piece is named (known: golden, loader"),
        (["--out", "F", "--minutes", "0"], "'0' is no time; give minutes above 0"),
        (["--out", "F", "--minutes", "nan"], "'nan' is no time"),
        (["--out", "F", "--device", "tpu"], "invalid choice: 'tpu'"),
        (
            ["--out", "F", "--data", "/nonexistent"],
            "there is no train-images-idx3-ubyte.gz in '/nonexistent'",
        ),
        (["--out", "a-file"], "'a-file' is a file; name a folder"),
        (["--out", "old"], "'old' holds results already; name another folder"),
    ],
)
def test_wrong_arguments_are_one_clear_sentence(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("", encoding="utf-8")
    Path("old").mkdir()
    Path("old", RESULTS).write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert not Path("F").exists()


def test_a_machine_without_a_card_is_told_how_to_rehearse(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(tmp_path / "out")])
    assert capsys.readouterr().err == (
        "error: there is no CUDA device here; --device cpu rehearses everything at tiny sizes\n"
    )
    assert not (tmp_path / "out").exists()


def test_the_page_shows_all_pieces_and_targets():
    page = (ROOT / "docs/results/gpu.md").read_text(encoding="utf-8")
    assert table(planned(ALL)) in page


def test_all_pieces_but_the_training_fit_into_the_time_at_their_limits():
    *measured, training = ALL
    assert training.name == "training"
    assert sum(one.seconds for one in measured) < 60 * 8
    assert all(len({target.key for target in one.targets}) == len(one.targets) for one in ALL)
    assert all(callable(one.load()) for one in ALL)


def test_a_figure_that_is_no_number_meets_no_target():
    for relation in ("at least", "at most"):
        assert not pieces.Target("x", "x", relation, 1.0).met(float("nan"))


def test_a_checkout_alone_offers_the_plugins_of_its_packages(tmp_path):
    from importlib.metadata import distributions

    packages = sorted((ROOT / "packages").iterdir())
    checkout.describe(packages, tmp_path)
    found = {
        entry.name: entry.value
        for one in distributions(path=[str(tmp_path)])
        for entry in one.entry_points
        if entry.group == "thalweg"
    }
    assert found["core"] == "thalweg.plugin"
    assert found["samplers"] == "thalweg_samplers.plugin"
    assert len(found) == len(packages)
    versions = {one.name: one.version for one in distributions(path=[str(tmp_path)])}
    assert set(versions.values()) == {"0.1.0"}
