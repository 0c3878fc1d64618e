"""Benches that were run: their pages tell what the command wrote, of the bench as it is shipped."""

import json
import re
import tarfile
from pathlib import Path

import pytest

from thalweg_eval.ablation.page import markdown
from thalweg_eval.ablation.spread import paired
from thalweg_eval.ablation.tables import difference_rows, rows
from thalweg_eval.bench.config import read_bench

RESULTS = Path(__file__).parents[2] / "docs" / "results"
RUN = sorted(
    (path.parent.parent.name, path.parent.name)
    for path in RESULTS.glob("*/*/results.json")  # an ablation's are one level higher
)


@pytest.mark.parametrize(("name", "data"), RUN)
def test_a_measured_table_is_of_the_shipped_bench_and_told_as_measured(name, data):
    folder = RESULTS / name / data
    found = json.loads((folder / "results.json").read_text())
    asked = read_bench(name).ablations[data]
    assert found["complete"]
    assert found["overrides"] == list(asked.overrides)
    assert found["seeds"] >= asked.seeds
    assert [(cell["name"], tuple(cell["overrides"])) for cell in found["cells"]] == [
        (cell.name, cell.overrides) for cell in asked.cells
    ]
    assert markdown(found) == (folder / "table.md").read_text()

    told = (RESULTS / f"{name}.md").read_text()
    assert found["command"] in told
    header, *lines = rows(found)
    differences = {cell: first for cell, _, first, *_ in difference_rows(found)[1:]}
    columns = [header.index("NFE"), 1, *map(header.index, _beside(header))]
    for line in lines:
        shown = [line[0], *(line[at] for at in columns), differences.get(line[0], "–")]
        assert f"| {' | '.join(shown)} |" in told


def _beside(header):
    """The scores that pages show beside the first."""
    return [name for name in header if name.startswith(("recall_", "accuracy_", "caption_"))]


@pytest.mark.parametrize(("name", "data"), RUN)
def test_every_number_has_its_passport(name, data):
    folder = RESULTS / name / data
    found = json.loads((folder / "results.json").read_text())
    with tarfile.open(folder / "passports.tar.gz") as archive:
        passports = {one.name: json.load(archive.extractfile(one)) for one in archive if one.isfile()}
    for cell in found["cells"]:
        for run in cell["runs"]:
            for scored in run["scored"]:
                numbers = passports[scored["passport"]]["numbers"]
                assert {key: one["value"] for key, one in numbers.items()} == scored["numbers"]


@pytest.mark.parametrize("name", sorted({name for name, _ in RUN}))
def test_differences_that_a_page_states_follow_from_the_runs(name):
    told = (RESULTS / f"{name}.md").read_text()
    stated = re.findall(r"^\| ([\w-]+): (.+?) minus (.+?) \| (.+) \|$", told, re.MULTILINE)
    assert stated
    for data, one, other, texts in stated:
        cells = json.loads((RESULTS / name / data / "results.json").read_text())["cells"]
        runs = {
            cell["name"]: {run["seed"]: run["scored"][-1]["numbers"] for run in cell["runs"]}
            for cell in cells
        }
        scores = [
            next(key for key in runs[one][0] if key.startswith(start))
            for start in ("fd_", "recall_", "accuracy_")
        ]
        differences = [
            paired(*([numbers[score] for _, numbers in sorted(runs[cell].items())] for cell in (one, other)))
            for score in scores
        ]
        assert texts.split(" | ") == [str(difference) for difference in differences]
