"""Which point is chosen, what is said of it, and weights that minimise a known function."""

import attrs
import pytest

from report_samples import a_passport
from thalweg.calibration import Calibration
from thalweg.errors import ConfigError
from thalweg.passport import read_passport
from thalweg.types import Head
from thalweg_eval.report import render
from thalweg_eval.tuning.fitting import minimised, start_of
from thalweg_eval.tuning.page import page, reading, rows
from thalweg_eval.tuning.points import Point
from thalweg_eval.tuning.results import best_of, edge_of, number_of, row_of, verdict
from thalweg_eval.tuning.scorer import Scored


@pytest.fixture
def passport(tmp_path):
    a_passport(tmp_path / "p.json", tmp_path, 2.0, 30)
    return read_passport(tmp_path / "p.json")


def numbered(passport, **values):
    better = {"fd": "lower", "recall": "higher", "kid_std": None}
    numbers = {
        name: {"value": value, "metric": name, "features": "f", "extractor": "e", "better": better[name]}
        for name, value in values.items()
    }
    return attrs.evolve(passport, numbers=numbers, subject={**passport.subject, "nfe": 8.0})


def scan(passport, *fds, first=1.0):
    """Points of one curve at the scales 1, 2, ..., each with its distances under two seeds or one."""
    found = []
    for place, values in enumerate(fds):
        at = first + place
        point = Point(
            f"internal, scale {at:g}", ({"type": "internal", "scale": at},), "internal", "scale", at
        )
        passports = tuple(numbered(passport, fd=value, recall=value / 100) for value in values)
        found.append(Scored(point, passports, ("x.json",) * len(values)))
    return found


def unguided(passport, *values):
    passports = tuple(numbered(passport, fd=value, recall=value / 100) for value in values)
    return Scored(Point("unguided"), passports, ("u.json",) * len(values))


def test_the_best_has_the_best_mean_and_no_guidance_wins_a_tie(passport):
    grid = scan(passport, (5.0, 9.0), (6.0, 6.0), (7.0, 7.0))
    assert best_of(grid, "fd", higher=False) is grid[1]
    assert best_of(grid, "recall", higher=True) is grid[0]
    plain = unguided(passport, 5.0, 7.0)
    assert best_of([plain, *grid], "fd", higher=False) is plain


def test_a_best_point_at_an_edge_of_its_curve_is_warned_of(passport):
    points = [one.point for one in scan(passport, (1.0,), (2.0,), (3.0,))]
    assert edge_of(points[1], points) == ""
    assert "scale 3 being the largest of internal" in edge_of(points[2], points)
    assert "scale 1 being the smallest of internal" in edge_of(points[0], points)
    # Nothing is beyond 0, and no guidance is on no curve.
    from_zero = [one.point for one in scan(passport, (1.0,), (2.0,), first=0.0)]
    assert edge_of(from_zero[0], from_zero) == ""
    assert edge_of(Point("unguided"), points) == ""


def test_whether_a_difference_excludes_zero_is_said(passport):
    plain = unguided(passport, 10.0, 12.0)
    sure, unsure, _ = scan(passport, (8.0, 10.1), (8.0, 12.5), (9.0, 9.0))
    row = row_of(sure, plain)
    assert row["difference"]["fd"]["mean"] == pytest.approx(-1.95)
    # Student's t of one degree of freedom: 12.706 times 0.05.
    assert row["difference"]["fd"]["half_width"] == pytest.approx(12.706 * 0.05, rel=1e-3)
    assert verdict(row, "fd", 2).endswith("over 2 seeds its 95 % interval excludes zero.")
    assert "includes zero, so it is not known to help" in verdict(row_of(unsure, plain), "fd", 2)
    assert verdict(row_of(plain, plain), "fd", 2).startswith("No guidance is best in fd (11 ± 13)")
    same = scan(passport, (8.0, 10.0))[0]
    assert "is -2 ± 0 under each of 2 seeds, so nothing is known" in verdict(row_of(same, plain), "fd", 2)
    (single, _), first = scan(passport, (8.0,), (9.0,)), unguided(passport, 10.0)
    assert "its difference to unguided is -2. One seed says nothing" in verdict(
        row_of(single, first), "fd", 1
    )


def test_the_number_to_choose_by_is_the_first_that_ranks_or_the_one_named(passport):
    made = numbered(passport, kid_std=0.1, fd=2.0, recall=0.5)
    assert number_of(made, None) == "fd"
    assert number_of(made, "recall") == "recall"
    for name in ("recal", "kid_std"):
        with pytest.raises(ConfigError, match=f"the protocol computes no '{name}'"):
            number_of(made, name)
    with pytest.raises(ConfigError, match="no number of which more or less is better"):
        number_of(numbered(passport, kid_std=0.1), None)


def test_weights_are_minimised_within_their_evaluations():
    asked = []

    def bowl(weights):
        asked.append(weights)
        return (weights[0] - 1.5) ** 2 + 2 * (weights[1] + 0.5) ** 2 + weights[0] * weights[1] / 2

    weights, values = minimised(bowl, (0.0, 0.0), 200)
    # Where its gradient is zero: 2 x - 3 + y / 2 = 0 and 4 y + 2 + x / 2 = 0.
    assert weights == pytest.approx((52 / 31, -22 / 31), abs=2e-3)
    assert len(values) == len(asked) <= 200
    assert asked[0] == (0.0, 0.0)
    asked.clear()
    first, few = minimised(bowl, (0.0, 0.0), 7)
    assert len(few) == 7
    assert few == values[:7]
    assert bowl(first) == min(few)
    far, _ = minimised(lambda w: -w[0], (19.0,), 60)
    assert far[0] <= 20


def test_a_fit_starts_at_the_calibrated_weights_of_its_interval():
    # One head with d.d = 2 and d.r = 1, 2, 3, 4 in four bins: w* - 1 = 0.5, 1, 1.5, 2.
    calibration = Calibration(
        heads=(Head(1),), edges=(0, 0.25, 0.5, 0.75, 1), products=(((2.0,),),) * 4,
        leads=((1.0,), (2.0,), (3.0,), (4.0,)), errors=(9.0,) * 4, made={},
    )  # fmt: skip
    assert start_of(calibration, (1,), 2.0, None) == (2.5,)
    assert start_of(calibration, (1,), 1.0, (0.5, 1.0)) == (1.75,)


def made_up(passport, by="fd"):
    plain, grid = unguided(passport, 10.0), scan(passport, (10.0,), (7.0,), (8.0,))
    every = [row_of(one, plain) for one in (plain, *grid)]
    return {
        "subject": "run", "network": {"checkpoint": "ab" * 32, "step": 300},
        "protocol": {"name": "quick", "version": 1, "sha256": "c", "settings": ["count=40"]}, "count": 40,
        "method": {"type": "internal"}, "around": [], "seeds": [0], "by": by,
        "better": {"fd": "lower", "recall": "higher"}, "points": every, "best": every[2],
        "verdict": verdict(every[2], by, 1), "warnings": ["At the edge."], "fit": None,
        "written": "best.toml",
        "command": "thalweg tune guidance run", "software": {"python": "3.11"}, "made": ["2026-01-01"] * 2,
        "machines": ["Linux"],
    }  # fmt: skip


def test_the_page_has_a_row_a_point_a_chart_a_number_and_the_unguided_value_as_a_line(passport):
    found = made_up(passport)
    built = page(found)
    scores, over, _ = built.sections
    table = scores.parts[0]
    assert table.header == ("", "fd", "less unguided", "NFE", "recall")
    assert table.rows[2] == ("internal, scale 2", 7.0, -3.0, "8", 0.07)
    assert table.rows[0][2] is None
    assert table.best == (None, "min", None, None, "max")
    fd, recall = over.parts
    assert (fd.title, recall.title) == ("fd over scale", "recall over scale")
    line, curve = fd.curves
    assert (line.name, line.steps, line.values) == ("unguided", (1, 3), (10, 10))
    assert (curve.name, curve.steps, curve.values) == ("internal", (1, 2, 3), (10, 7, 8))
    text = render(built)
    assert "Internal, scale 2 is best in fd (7)" in text
    assert "At the edge." in text
    assert "best.toml" in text
    assert [row[0] for row in rows(found)][3] == "internal, scale 2 *"
    assert any("chosen on the noise" in sentence for sentence in reading(found))
    assert page(made_up(passport, "recall")).sections[0].parts[0].header[1] == "recall"
