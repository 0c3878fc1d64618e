"""What the pages of runs and ablations have in common, and which runs share a chart."""

import json
import re
from pathlib import Path

import pytest

from found_ablations import found
from report_samples import a_passport, a_run, sample_report
from thalweg.config import recorded_text
from thalweg_eval.ablation.page import page
from thalweg_eval.report import Chart, Page, render
from thalweg_eval.report.run_page import LOSS, VELOCITY, comparable, run_page
from thalweg_eval.report.runs import read_runs
from thalweg_eval.report.scores import read_scores
from thalweg_eval.report.sections import facts_of

HEADING = re.compile(r"<h([123])[^>]*>([^<]*)</h\1>")


def two_runs(folder):
    for place, name in enumerate(("SiT", "DeepFlow")):
        a_run(folder / name, name)
        a_passport(folder / name / "score.json", folder / name, 2.0 + place, 30)
    return read_runs([folder / "SiT", folder / "DeepFlow"])


@pytest.fixture
def pages(tmp_path):
    runs = two_runs(tmp_path)
    return [render(one) for one in (page(found(), []), run_page(runs, read_scores(runs)))]


def test_each_thing_is_titled_once(pages):
    for text in pages:
        titles = [title for _, title in HEADING.findall(text)]
        assert len(set(titles)) == len(titles)


def test_scores_come_before_everything_and_facts_after(pages):
    for text in pages:
        body = text.partition("<body>")[2]
        assert next(title for level, title in HEADING.findall(body) if level == "2") == "Scores"
        first = body.partition("<tbody")[2].partition("</tr>")[0]
        label = re.search(r'data-label="([^"]*)"', first)[1]
        assert label in ("distance", "frechet_distance"), "the first column is a score"
        assert body.index("<tbody") < body.index("<footer>") < body.index("<dt>Date</dt><dd>2026-")


def test_every_cell_says_its_column_where_rows_are_stacked(pages):
    for text in (*pages, render(sample_report())):
        cells = re.findall(r"<td[^>]*>", text)
        assert cells
        assert all('data-label="' in cell for cell in cells)


def configured(folder, name, **config):
    a_run(folder, name)
    stated = {"name": name, "training": {"steps": 30}, "data": {"type": "digits"}, **config}
    (folder / "config.toml").write_text(recorded_text(stated))
    return folder


def test_only_losses_of_one_kind_share_a_chart(tmp_path):
    plain = {"objectives": {"velocity": {"type": "velocity"}}, "branches": 1}
    deep = {"objectives": {**plain["objectives"], "acceleration": {"type": "acceleration"}}, "branches": 2}
    runs = read_runs(
        [
            configured(tmp_path / "a", "a", **plain, seed=1),
            configured(tmp_path / "b", "b", **plain, seed=2),
            configured(tmp_path / "c", "c", **deep),
            configured(tmp_path / "d", "d", **plain, plan={"time_sampler": {"type": "uniform"}}),
        ]
    )
    assert [names for names, _ in comparable(runs, LOSS)] == ["a, b", "c", "d"]
    assert [names for names, _ in comparable(runs, VELOCITY)] == ["a, b, c", "d"]
    assert [names for names, _ in comparable(runs[:2], LOSS)] == [""]
    charts = [
        one
        for section in run_page(runs, read_scores(runs)).sections
        for one in section.parts
        if isinstance(one, Chart)
    ]
    for chart in charts:
        together = {curve.name for curve in chart.curves}
        if chart.title.startswith(("loss", "grad_norm")):
            assert together in ({"a", "b"}, {"c"}, {"d"})
        else:
            assert together in ({"a", "b", "c"}, {"d"})
    assert sum(chart.title.startswith("loss") for chart in charts) == 3


def test_what_the_time_of_a_run_went_to_is_told(tmp_path):
    folder = a_run(tmp_path / "a")
    with (folder / "metrics.jsonl").open("a") as file:
        line = {"step": 40, "seconds": 16.0, "seconds/samples": 224.0, "seconds/validation": 0.0}
        file.write(json.dumps({**line, "seconds/unknown": 3.0}) + "\n")
    runs = read_runs([folder])
    assert runs[0].beside == {"samples": 224.0, "validation": 0.0}
    text = render(run_page(runs, read_scores(runs)))
    assert "SiT: 16.0 s for training, besides 224 s for sample grids." in text
    assert ">training s<" in text


def test_facts_leave_out_what_nobody_wrote_down():
    assert facts_of([], [], {}) == ()
    assert facts_of(["2026-11-25"], ["a", "b"], {"python": "3.11", "packages": None}) == (
        ("Date", "2026-11-25"),
        ("Machines", "a; b"),
        ("Versions", "Python 3.11"),
    )
    assert facts_of(["once upon a time"], [], {}) == (("Date", "once upon a time"),)


def test_the_heading_of_a_section_serves_a_table_without_title():
    text = render(Page("R", "", page(found(), []).sections))
    (named,) = set(re.findall(r'<table role="table" aria-labelledby="(section-1)"', text))
    assert f'<h2 id="{named}">Scores</h2>' in text
    assert "<h3" not in text.partition("</table>")[0]


def test_one_spelling_of_frechet():
    root = Path(__file__).parents[2]
    files = [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "packages").rglob("*.py")]
    assert len(files) > 400
    assert not [path for path in files if "fréchet" in path.read_text(encoding="utf-8").lower()]
