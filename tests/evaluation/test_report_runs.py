import pytest

from report_samples import a_passport, a_run
from thalweg.errors import DataError
from thalweg_eval.report import Chart, Picture, Table, render
from thalweg_eval.report.run_page import run_page
from thalweg_eval.report.runs import read_runs
from thalweg_eval.report.scores import read_scores


def parts(report, kind):
    return [part for section in report.sections for part in section.parts if isinstance(part, kind)]


def test_runs_of_different_branches_compare_by_their_last(tmp_path):
    runs = read_runs([a_run(tmp_path / "a"), a_run(tmp_path / "b", "DeepFlow", (3.0, 1.0, 0.5), branches=2)])
    report = run_page(runs, read_scores(runs))
    (table,) = [one for one in parts(report, Table) if one.title.startswith("Steps until")]
    assert table.rows == (("SiT", 30, "", 1.0, 30), ("DeepFlow", 20, "1.50 times sooner", 0.5, 30))
    chart = next(one for one in parts(report, Chart) if one.title.startswith("velocity error"))
    assert [tuple(curve.values) for curve in chart.curves] == [(4.0, 2.0, 1.0), (3.0, 1.0, 0.5)]


def test_pictures_stand_in_their_order_and_keys_that_differ_are_shown(tmp_path):
    runs = read_runs([a_run(tmp_path / "a", batch_size=8), a_run(tmp_path / "b", "other", batch_size=16)])
    report = run_page(runs, read_scores(runs))
    titles = [picture.title for picture in parts(report, Picture)]
    assert titles == [f"{name}, step {step}" for name in ("SiT", "other") for step in (10, 20, 30)]
    keys = [row[0] for row in parts(report, Table)[-1].rows]
    assert keys == ["name", "training.batch_size"]


def test_scores_over_steps_and_what_they_were_made_of(tmp_path):
    folder = a_run(tmp_path / "a")
    for step, value in ((10, 9.0), (30, 4.0)):
        a_passport(folder / f"score-{step}.json", folder, value, step)
    other = a_run(tmp_path / "b", "other")
    a_passport(tmp_path / "elsewhere.json", other / "model", 3.0, 20)
    runs = read_runs([folder, other])
    report = run_page(runs, read_scores(runs, [tmp_path / "elsewhere.json"]))
    assert report.sections[0].title == "Scores", "before everything else"
    scores = report.sections[0].parts[0]
    assert scores.header == ("", "frechet_distance", "step"), "the scores before what belongs to them"
    assert scores.rows == (("SiT", 4.0, 30), ("other", 3.0, 20))
    assert scores.best == (None, "min", None)
    reach = next(one for one in parts(report, Table) if one.title.startswith("Steps until frechet_distance"))
    assert reach.rows[1] == ("other", 20, "1.50 times sooner", 3.0, 20)
    assert "protocol.name" in render(report)


def test_numbers_of_different_conditions_are_not_ranked(tmp_path):
    runs = []
    for name, count in (("a", 100), ("b", 200)):
        runs.append(a_run(tmp_path / name, name))
        a_passport(tmp_path / name / "score.json", tmp_path / name, 1.0, 30, count)
    found = read_runs(runs)
    report = run_page(found, read_scores(found))
    scores = report.sections[0].parts[0]
    assert scores.best == ()
    assert "nothing is ranked" in scores.caption


def test_a_run_that_is_being_written_is_read_up_to_its_last_whole_line(tmp_path):
    folder = a_run(tmp_path / "a")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    assert read_runs([folder])[0].newest["step"] == 30


def test_a_run_without_a_line_yet_has_a_report(tmp_path):
    folder = a_run(tmp_path / "a", losses=(), pictures=())
    runs = read_runs([folder])
    assert "SiT" in render(run_page(runs, read_scores(runs)))


def test_runs_of_one_name_are_told_apart(tmp_path):
    names = [run.name for run in read_runs([a_run(tmp_path / "a"), a_run(tmp_path / "b")])]
    assert names == [f"SiT ({tmp_path / 'a'})", f"SiT ({tmp_path / 'b'})"]


def test_names_are_escaped(tmp_path):
    runs = read_runs([a_run(tmp_path / "a", "<script>alert(1)</script>")])
    assert "<script>" not in render(run_page(runs, read_scores(runs)))


def test_what_is_no_run_or_of_no_run_is_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no run, it has no config\.toml"):
        read_runs([tmp_path])
    folder = a_run(tmp_path / "a")
    a_passport(tmp_path / "elsewhere.json", tmp_path / "b", 1.0, 1)
    with pytest.raises(DataError, match="no network of these runs"):
        read_scores(read_runs([folder]), [tmp_path / "elsewhere.json"])
