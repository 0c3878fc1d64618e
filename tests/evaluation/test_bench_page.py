"""What the joint page of a bench says: which method wins where, and which does not."""

import re

import pytest

from thalweg_eval.ablation.config import Ablation, ScoringConfig
from thalweg_eval.ablation.significance import compare_cells
from thalweg_eval.bench.config import Bench
from thalweg_eval.bench.page import conclusions, markdown, outcome_rows, page
from thalweg_eval.bench.results import joint_results
from thalweg_eval.report import render

BASE = [10.0, 12.0, 14.0]


def cell(name, numbers, against="SiT"):
    runs = [
        {
            "seed": seed,
            "seconds": 1.0,
            "beside": {},
            "scored": [{"step": 9, "seconds": 1.0, "numbers": {"fd": number}, "noise": 0}],
        }
        for seed, number in enumerate(numbers)
    ]
    return {
        "name": name,
        "compared_with": against,
        "runs": runs,
        "numbers": {"fd": {"mean": sum(numbers) / len(numbers), "half_width": 1.0, "count": len(numbers)}},
        "nfe": 50.0,
        "seconds": {"mean": 1.0, "half_width": 0.1, "count": len(numbers)},
        "steps": 9,
        "parameters": 5,
        "gflop_forward": 0.5,
        "network": name,
        "overrides": [],
        "diverged": [],
    }


def ablated(*cells, better="lower", controls=None, complete=True):
    return {
        "cells": list(cells),
        "comparisons": compare_cells(cells, {"fd": better}),
        "better": {"fd": better},
        "complete": complete,
        "seeds": 3,
        "controls": controls,
        "made": ["2026-11-29T10:00:00+00:00", "2026-11-29T11:30:00+00:00"],
        "machines": ["a machine"],
        "software": {"python": "3.11.7"},
    }


def method(shift, spread=0.1, name="method"):
    return cell(name, [one + shift + wobble * spread for one, wobble in zip(BASE, (-1, 0, 1), strict=True)])


def joint(**data):
    asked = Ablation("x", None, (), (), 3, "steps", ScoringConfig())
    return joint_results(Bench("mine", "What it is.", dict.fromkeys(data, asked)), data, "thalweg bench mine")


def two(first, second, **more):
    return joint(
        digits=ablated(cell("SiT", BASE, None), first, **more),
        letters=ablated(cell("SiT", BASE, None), second),
    )


def test_p_values_are_corrected_over_all_data_sets():
    found = two(method(-1.0), method(0.1, spread=3.0))
    (one,) = [cell for cell in found["data"]["digits"]["cells"] if cell["name"] == "method"]
    difference = one["difference"]["fd"]
    assert found["comparisons"] == found["data"]["digits"]["jointly"]["comparisons"] == 2
    assert difference["p_corrected"] == pytest.approx(2 * difference["p"])
    assert ablated(cell("SiT", BASE, None), method(-1.0))["comparisons"] == 1, "alone it is one"


@pytest.mark.parametrize(
    ("better", "shift", "outcome"),
    [
        ("lower", -1.0, "better"),
        ("lower", 1.0, "worse"),
        ("higher", 1.0, "better"),
        ("higher", -1.0, "worse"),
    ],
)
def test_a_difference_is_better_or_worse_by_the_direction_of_the_score(better, shift, outcome):
    found = joint(digits=ablated(cell("SiT", BASE, None), method(shift), better=better))
    assert found["outcomes"]["digits"]["cells"] == {"method": outcome}
    assert outcome_rows(found)[2][1].startswith(f"{outcome} ({shift:g} ± 0.25, p ")


def test_negative_results_are_told_as_such():
    found = two(method(1.0), method(0.1, spread=3.0))
    digits, letters, over = conclusions(found)
    assert digits == (
        "On digits, by fd, the best mean is that of SiT. No method is known to be better than what it is "
        "compared with. Worse: method."
    )
    assert letters.endswith("No difference shows: method.")
    assert over == "Over the data sets: method: better on 0, worse on 1 of 2."
    text = markdown(found)
    assert "| method | worse (1 ± 0.25, p 0.0066) | no difference shows (" in text
    assert "| SiT | baseline | baseline |" in text


def test_methods_are_listed_by_how_often_they_win():
    cells = [cell("SiT", BASE, None), method(1.0, name="bad"), method(-1.0, name="good")]
    found = joint(digits=ablated(*cells), letters=ablated(*cells))
    assert conclusions(found)[-1] == (
        "Over the data sets: good: better on 2, worse on 0 of 2; bad: better on 0, worse on 2 of 2."
    )


def test_where_a_control_failed_nothing_is_concluded():
    controls = {"number": "fd", "held": {"shuffled": False}}
    found = joint(
        digits=ablated(
            cell("SiT", BASE, None), method(-1.0), method(-2.0, name="shuffled"), controls=controls
        ),
        letters=ablated(cell("SiT", BASE, None), method(-1.0)),
    )
    first, letters = conclusions(found)
    assert first.startswith("On digits the control shuffled did not come last")
    assert first.endswith("nothing is concluded.")
    assert letters.startswith("On letters, by fd, the best mean is that of method.")
    assert outcome_rows(found)[3][1].startswith("control (-2 ± 0.25")
    assert found["outcomes"]["digits"]["best"] == "method", "a control does not compete"


def test_a_cell_that_a_data_set_leaves_out_has_no_entry():
    found = joint(
        digits=ablated(cell("SiT", BASE, None), method(-1.0)), letters=ablated(cell("SiT", BASE, None))
    )
    assert outcome_rows(found)[2][2] == "–"


def test_the_page_holds_a_table_for_each_data_set_and_titles_each_thing_once():
    text = render(page(two(method(-1.0), method(1.0))))
    titles = re.findall(r"<h2[^>]*>([^<]*)</h2>", text)
    assert titles == ["Which method wins where", "On digits", "On letters", "How it was made"]
    assert text.count("Differences on digits") == text.count("Differences on letters") == 1
    assert "digits: digits/report.html; letters: letters/report.html" in text
