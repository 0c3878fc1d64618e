import math

from thalweg_eval.report.model import Curve
from thalweg_eval.report.sections import best, reached, time_to_target

SLOW = Curve("slow", (100.0, 200.0, 300.0, 400.0), (9.0, 7.0, 6.0, 5.0))
FAST = Curve("fast", (50.0, 100.0, 150.0), (8.0, 5.0, 4.0))


def test_the_first_place_that_is_as_good_counts_and_nothing_is_interpolated():
    assert reached(SLOW, 7.0) == 200.0
    assert reached(SLOW, 6.9) == 300.0
    assert reached(SLOW, 4.9) is None
    assert reached(SLOW, 6.0, higher=True) == 100.0


def test_a_score_that_is_not_finite_reaches_nothing():
    broken = Curve("broken", (1.0, 2.0), (math.nan, 3.0))
    assert reached(broken, 100.0) == 2.0
    assert best(Curve("none", (1.0,), (math.nan,))) is None


def test_the_table_says_how_soon_each_is_as_good_as_the_first():
    (table,) = time_to_target([SLOW, FAST], "distance", "steps", higher=False)
    assert table.title == "Steps until distance is 5.000, the best of slow"
    assert table.header == ("", "steps", "against slow", "own best", "steps until that")
    assert table.rows == (("slow", 400, "", 5.0, 400), ("fast", 100, "4.00 times sooner", 4.0, 150))
    assert table.best == (None, "min", None, "min", None)

    (table,) = time_to_target([FAST, SLOW], "distance", "steps", higher=False)
    assert table.rows == (("fast", 150, "", 4.0, 150), ("slow", "never", "", 5.0, 400))


def test_what_is_as_soon_or_later_or_has_no_score():
    twin, late = Curve("twin", SLOW.steps, SLOW.values), Curve("late", (1000.5,), (5.0,))
    none = Curve("none", (1.0,), (math.nan,))
    (table,) = time_to_target([SLOW, twin, late, none], "distance", "seconds", higher=False)
    assert [row[1:3] for row in table.rows] == [
        (400, ""), (400, "as soon"), (1000.5, "2.50 times later"), ("never", "")
    ]  # fmt: skip
    assert table.rows[-1][3:] == (None, None)
    assert time_to_target([SLOW], "distance", "steps", higher=False) == []
    assert time_to_target([none, SLOW], "distance", "steps", higher=False) == []


def test_more_is_better_where_it_is():
    low, high = Curve("low", (1.0, 2.0), (0.1, 0.5)), Curve("high", (1.0, 2.0), (0.6, 0.9))
    (table,) = time_to_target([low, high], "accuracy", "steps", higher=True)
    assert table.rows[1] == ("high", 1, "2.00 times sooner", 0.9, 2)
    assert table.best[3] == "max"
