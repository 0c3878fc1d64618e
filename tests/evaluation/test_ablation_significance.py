"""Corrected p-values: Holm's method, what is compared with what, and what the page says of it."""

import attrs
import numpy as np
import pytest
from scipy import stats

from found_ablations import MADE, ablation, outcomes
from thalweg.cli.main import main
from thalweg.errors import ConfigError
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.page import markdown
from thalweg_eval.ablation.planning import plan
from thalweg_eval.ablation.reading import reading
from thalweg_eval.ablation.results import results
from thalweg_eval.ablation.significance import compare_cells, correct, holm, of_number
from thalweg_eval.ablation.tables import difference_rows, rows


def cell(name, numbers, against="base"):
    """A cell of results.json with these numbers by metric, a value a seed."""
    count = len(next(iter(numbers.values())))
    runs = [
        {"seed": seed, "scored": [{"numbers": {key: values[seed] for key, values in numbers.items()}}]}
        for seed in range(count)
    ]
    return {"name": name, "compared_with": against, "runs": runs, "diverged": []}


def found_of(*cells, better=(("fd", "lower"),), seeds=3):
    comparisons = compare_cells(cells, dict(better))
    return {"cells": cells, "comparisons": comparisons, "better": dict(better), "seeds": seeds}


def test_holm_by_hand():
    # Ascending 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, which may not fall.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_what_could_not_be_tested_counts_all_the_same():
    assert holm([0.01, None, None]) == [pytest.approx(0.03), None, None]


def test_holm_keeps_the_chance_of_any_false_discovery():
    """Of 20 true null hypotheses, plain tests reject one in 64 % of tables, corrected ones in at most 5 %."""
    draws = np.random.default_rng(0)
    p_values = stats.ttest_1samp(draws.normal(size=(400, 20, 4)), 0.0, axis=-1).pvalue
    wrong = [min(p for p in holm(list(row)) if p is not None) < 0.05 for row in p_values]
    assert (p_values.min(axis=1) < 0.05).mean() > 0.5
    assert np.mean(wrong) < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_all_cells_of_a_table_are_corrected_together_in_each_number():
    base = cell("base", {"fd": [10.0, 12.0, 14.0], "accuracy": [0.9, 0.8, 0.7]}, None)
    one = cell("one", {"fd": [9.0, 10.9, 13.1], "accuracy": [0.91, 0.79, 0.7]})
    two = cell("two", {"fd": [10.5, 11.0, 14.4], "accuracy": [0.5, 0.41, 0.29]})
    assert compare_cells([base, one, two], {}) == 2
    assert base["difference"] == {}
    expected = stats.ttest_rel([9.0, 10.9, 13.1], [10.0, 12.0, 14.0]).pvalue
    assert one["difference"]["fd"]["p"] == pytest.approx(expected)
    for name in ("fd", "accuracy"):
        smaller, larger = sorted(
            (each["difference"][name] for each in (one, two)), key=lambda each: each["p"]
        )
        assert smaller["p_corrected"] == pytest.approx(min(1, 2 * smaller["p"]))
        assert larger["p_corrected"] == pytest.approx(max(smaller["p_corrected"], larger["p"]))


def test_numbers_of_the_reference_are_no_comparisons():
    """Those of the training images alone are the same whatever was sampled."""
    base = cell("base", {"fd": [1.0, 2.0], "nearest_real": [3.0, 3.0]}, None)
    other = cell("other", {"fd": [1.5, 2.1], "nearest_real": [3.0, 3.0]})
    assert compare_cells([base, other], {"fd": "lower", "nearest_real": None}) == 1
    assert list(other["difference"]) == ["fd"]


def test_numbers_of_the_reference_stand_below_the_table():
    asked = ablation(seeds=2)
    runs = plan(asked, asked.recipe.parent)
    scored = [
        attrs.evolve(
            one,
            scores=[attrs.evolve(score, numbers={**score.numbers, "real": 3.25}) for score in one.scores],
        )
        for one in outcomes(runs)
    ]
    found = results(asked, runs, scored, better={"distance": "lower", "real": None}, command="", **MADE)
    assert rows(found)[0][:3] == ["", "distance", "NFE"]
    assert "The same in all runs: real 3.25." in markdown(found)


def test_a_score_that_is_the_same_for_all_is_compared_and_shows_no_difference():
    found = found_of(cell("base", {"fd": [1.0, 1.0]}, None), cell("other", {"fd": [1.0, 1.0]}), seeds=2)
    assert found["comparisons"] == 1
    assert reading(found)[1:] == ("No cell is known to differ from what it is compared with in fd.",)


def test_a_cell_is_compared_with_the_one_that_is_stated():
    sit = cell("SiT", {"fd": [10.0, 11.0, 12.0]}, None)
    cfg = cell("cfg", {"fd": [8.0, 9.1, 9.9]}, "SiT")
    internal = cell("internal", {"fd": [8.1, 9.0, 10.1]}, "cfg")
    found = found_of(sit, cfg, internal)
    assert internal["difference"]["fd"]["mean"] == pytest.approx(0.2 / 3)
    assert [row[:2] for row in difference_rows(found)] == [
        ["", "compared with"],
        ["cfg", "SiT"],
        ["internal", "cfg"],
    ]
    assert difference_rows(found)[1][2].endswith(" *")
    assert not difference_rows(found)[2][2].endswith("*")
    first, differ = reading(found)
    assert first.startswith("P-values are corrected for 2 comparisons in the same number (Holm)")
    p = 2 * cfg["difference"]["fd"]["p"]
    assert differ == (
        f"In fd, these differ: cfg from SiT (-2 ± 0.25, p {p:.2g}, better). "
        "Nothing can be said in it of internal."
    )


def test_a_table_without_differences_says_so():
    found = found_of(cell("base", {"fd": [1.0, 2.0, 4.0]}, None), cell("other", {"fd": [2.0, 1.0, 4.5]}))
    assert reading(found)[1] == "No cell is known to differ from what it is compared with in fd."


def test_what_is_the_same_under_every_seed_is_told_and_not_marked():
    base, other = cell("base", {"accuracy": [0.9, 0.8]}, None), cell("other", {"accuracy": [0.91, 0.81]})
    found = found_of(base, other, better=(("accuracy", "higher"),), seeds=2)
    assert found["comparisons"] == 1
    assert "not tested: other in accuracy (0.01)." in reading(found)[-1]
    assert not difference_rows(found)[1][2].endswith("*")


def test_with_one_seed_there_is_no_p_value():
    asked = ablation(seeds=1)
    runs = plan(asked, asked.recipe.parent)
    found = results(asked, runs, outcomes(runs), better={"distance": "lower"}, command="", **MADE)
    difference = found["cells"][1]["difference"]["distance"]
    assert (difference["p"], difference["p_corrected"], found["comparisons"]) == (None, None, 0)
    text = markdown(found)
    assert "One seed was run, so there is no p-value, and of no cell can be said that it differs" in text
    assert "With one seed there is no p-value: any of these may be chance." in text
    assert " *" not in rows(found)[2][1]


def test_tables_that_are_corrected_together_are_corrected_more():
    base = cell("base", {"fd": [10.0, 12.0, 14.0]}, None)
    here, there = (cell(name, {"fd": [9.0, 10.9, 13.1]}) for name in ("here", "there"))
    compare_cells([base, here], {})
    compare_cells([base, there], {})
    p = here["difference"]["fd"]["p_corrected"]
    assert correct(of_number([base, here, there], "fd")) == 2
    assert here["difference"]["fd"]["p_corrected"] == pytest.approx(2 * p)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[compare]\nc = 'a'", "compare: there is no cell 'c' .known: a, b."),
        ("[compare]\nb = 'aa'", "compare: there is no cell 'aa', did you mean 'a'"),
        ("[compare]\nb = 'b'", "compare: the cell 'b' is compared with itself"),
        ("[controls]\nc = 'last'", "controls: there is no cell 'c'"),
        ("[controls]\nb = 'first'", r"controls\.b: .*'last'"),
        ("[controls]\na = 'last'\nb = 'last'", "controls: every cell is a control"),
    ],
)
def test_faulty_comparisons_and_controls_are_named(tmp_path, capsys, text, says):
    file = tmp_path / "ablation.toml"
    file.write_text(f'recipe = "x.toml"\n{text}\n[cells]\na = []\nb = ["seed=1"]\n')
    with pytest.raises(ConfigError, match=says):
        read_ablation(file)
    assert main(["ablate", str(file), "--dry-run"]) == 2
    assert capsys.readouterr().err.count("\n") <= 2


def test_what_a_file_compares_with_is_read(tmp_path):
    file = tmp_path / "ablation.toml"
    cells = '[cells]\na = []\nb = ["seed=1"]\nc = ["seed=2"]\n'
    file.write_text(f"recipe = 'x.toml'\n{cells}[compare]\nc = 'b'\na = 'c'\n[controls]\nc = 'last'\n")
    asked = read_ablation(file)
    assert [asked.baseline(name) for name in "abc"] == ["c", "a", "b"]
    assert attrs.evolve(asked, compare={}).baseline("a") is None
    assert asked.controls == {"c": "last"}
