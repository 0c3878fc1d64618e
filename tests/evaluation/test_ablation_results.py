import json
from pathlib import Path

import pytest

from found_ablations import RECIPES, TWIN, ablation, found
from image_makers import idx_folder
from thalweg.errors import ConfigError
from thalweg.time_samplers.uniform import UniformConfig
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.page import markdown, page
from thalweg_eval.ablation.planning import plan
from thalweg_eval.ablation.tables import difference_rows, rows
from thalweg_eval.report import render

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_runs_come_seed_by_seed_with_a_checkpoint_wherever_they_are_scored(tmp_path):
    runs = plan(ablation(), tmp_path)
    assert [(run.seed, run.cell) for run in runs] == [
        (seed, cell) for seed in range(3) for cell in ("refiner=plain", "refiner=vera")
    ]
    assert {run.scored for run in runs} == {(200, 400)}
    assert {run.config.training.checkpoint_every for run in runs} == {200}
    assert len({run.folder for run in runs}) == 6
    assert [run.config.seed for run in runs] == [run.seed for run in runs]


def test_objectives_that_a_composition_cannot_serve_are_left_out_and_named(tmp_path):
    none, plain, vera = plan(ablation("refiner=none,plain,vera", seeds=1), tmp_path)
    assert none.left_out == plain.left_out == ("acceleration",)
    assert none.config.branches == 1
    assert vera.left_out == ()
    assert list(plain.config.objectives) == ["velocity"]


def test_cells_of_a_file_are_strict(tmp_path):
    file = tmp_path / "strict.toml"
    file.write_text(f'recipe = "{TWIN}"\n[cells]\n"plain" = ["refiner=plain"]\n')
    with pytest.raises(ConfigError, match=r"cell 'plain': objectives\.acceleration needs a refiner"):
        plan(read_ablation(file), tmp_path / "out")


def test_equal_compute_gives_dearer_cells_fewer_steps(tmp_path):
    plain, vera = plan(ablation(equal="compute", seeds=1), tmp_path)
    assert plain.config.training.steps == 400
    assert vera.config.training.steps == round(400 * plain.gflop / vera.gflop) < 400


def test_means_intervals_and_paired_differences():
    plain, vera = found()["cells"]
    assert plain["numbers"]["distance"]["mean"] == 8.0
    assert vera["numbers"]["distance"]["mean"] == 7.0
    assert plain["numbers"]["distance"]["half_width"] == pytest.approx(4.30265 * 2 / 3**0.5, rel=1e-5)
    difference = vera["difference"]["distance"]
    assert difference["mean"] == pytest.approx(-1.0)
    assert difference["half_width"] == pytest.approx(4.30265 * 0.1 / 3**0.5, rel=1e-4)
    # With two degrees of freedom P(|T| >= t) = 1 - t / sqrt(2 + t^2); here t^2 = 3 / 0.1^2 = 300.
    assert difference["p"] == pytest.approx(1 - (300 / 302) ** 0.5)
    assert difference["p_corrected"] == difference["p"], "there is one comparison"
    assert (plain["difference"], plain["compared_with"]) == ({}, None)
    assert (plain["nfe"], vera["compared_with"]) == (50.0, "refiner=plain")
    assert plain["seconds"]["mean"] == pytest.approx(40.0)


def test_what_is_done_so_far_is_a_table_already():
    partial = found(done=3)
    assert not partial["complete"]
    assert [len(cell["runs"]) for cell in partial["cells"]] == [2, 1]
    assert partial["cells"][1]["difference"]["distance"]["half_width"] is None
    assert "So far 3 of 6 runs are done" in markdown(partial)
    assert found(done=0)["cells"][0]["seconds"] is None
    assert "So far 0 of 6" in render(page(found(done=0), []))


def test_tables_and_reading_say_what_differs():
    header, *body = rows(found())
    assert header[:4] == ["", "distance", "NFE", "training s"]
    assert body[1][:3] == ["refiner=vera", "7 ± 5.1", "50"]
    text = markdown(found())
    assert "| refiner=vera | 7 ± 5.1 | 50 |" in text
    assert "| refiner=vera | refiner=plain | -1 ± 0.25 * |" in text
    assert "these differ: refiner=vera from refiner=plain (-1 ± 0.25, p 0.0033, better)." in text
    assert "All cells and seeds were scored with the same noise, sample by sample (seed 0)." in text
    html = render(page(found(), []))
    assert "Steps until distance is 8.000, the best of refiner=plain" in html
    assert "2026-11-29 10:00 UTC to 2026-11-29 11:30 UTC" in html
    assert "Linux, cpu, 2 threads" in html
    assert "Python 3.11.7, thalweg-core 0.1, torch 2.14" in html
    assert "refiner=plain: 120 s for training, besides 6.0 s for sample grids" in html
    json.dumps(found(), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('recipe = "x.toml"\n[cells]\n', "cells: its length must be at least 1"),
        ('recipe = "x.toml"\nseeds = 0\n[cells]\na = []\n', "seeds: must be at least 1"),
        ('recipe = "x.toml"\nsteps = 3\n[cells]\na = []\n', "steps: unknown key"),
        ("[cells]\na = []\n", "recipe: missing"),
    ],
)
def test_a_faulty_file_is_named(tmp_path, text, says):
    file = tmp_path / "ablation.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_ablation(file)


def test_axes_and_cells_exclude_each_other(tmp_path):
    with pytest.raises(ConfigError, match="say what is to change"):
        read_ablation(TWIN)
    with pytest.raises(ConfigError, match="states its cells itself"):
        read_ablation(RECIPES / "ablations" / "digits-table-7a.toml", axes=("seed=1,2",))


def test_more_scorings_than_steps_are_refused(tmp_path):
    asked = read_ablation(TWIN, axes=("refiner=vera",), overrides=("training.steps=2",), times=3)
    with pytest.raises(ConfigError, match="cannot be scored 3 times"):
        plan(asked, tmp_path)


@pytest.mark.parametrize("name", ["digits", "fashion-mnist"])
def test_shipped_ablations_have_the_rungs_of_the_paper_and_the_residual_form(name, tmp_path):
    place = [f"data.source.url={idx_folder(tmp_path, edge=28)}"] if name == "fashion-mnist" else []
    asked = read_ablation(RECIPES / "ablations" / f"{name}-table-7a.toml", overrides=tuple(place))
    assert list(asked.cells) == list(read_ablation(RECIPES / "ablations" / "digits-table-7a.toml").cells)
    assert (len(asked.cells), asked.seeds) == (6, 3)
    runs = plan(asked, tmp_path)
    assert [run.parameters for run in runs[:6]] == sorted(run.parameters for run in runs[:6])
    assert {run.config.plan.time_sampler for run in runs} == {UniformConfig()}
    assert all(len(run.scored) == asked.evaluation.times for run in runs)


@pytest.mark.parametrize("name", ["digits-table-7a", "emoji-t2i", "examples-digits"])
def test_the_measured_result_is_of_the_shipped_recipe_and_told_as_measured(name):
    """The page shows the table that the command wrote, and that follows from the numbers beside it."""
    folder = RESULTS / name
    found = json.loads((folder / "results.json").read_text())
    asked = read_ablation(RECIPES / "ablations" / f"{name}.toml")
    assert found["complete"]
    assert (found["overrides"], found["seeds"]) == (list(asked.overrides), asked.seeds)
    assert [(cell["name"], tuple(cell["overrides"])) for cell in found["cells"]] == [
        (cell.name, cell.overrides) for cell in asked.cells
    ]
    assert markdown(found) == (folder / "table.md").read_text()
    told = (RESULTS / f"{name}.md").read_text()
    assert found["command"] in told
    differences = {cell: difference for cell, _, difference, *_ in difference_rows(found)[1:]}
    for cell, distance, accuracy, *_ in rows(found)[1:]:
        difference = differences.get(cell, "–")
        assert f"| {cell} | {distance} | {accuracy} | {difference} |" in told
