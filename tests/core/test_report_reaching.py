import math

from thalweg.report.reach_table import reach_table
from thalweg.report.reaching import Scores, best, reached, reaching

SLOW = Scores("slow", (100.0, 200.0, 300.0, 400.0), (9.0, 7.0, 6.0, 5.0))
FAST = Scores("fast", (50.0, 100.0, 150.0), (8.0, 5.0, 4.0))


def test_the_first_place_that_is_as_good_counts_and_nothing_is_interpolated():
    assert reached(SLOW, 7.0) == 200.0
    assert reached(SLOW, 6.9) == 300.0
    assert reached(SLOW, 4.9) is None
    assert reached(SLOW, 6.0, higher=True) == 100.0


def test_a_score_that_is_not_finite_reaches_nothing():
    broken = Scores("broken", (1.0, 2.0), (math.nan, 3.0))
    assert reached(broken, 100.0) == 2.0
    assert best(Scores("none", (1.0,), (math.nan,))) is None


def test_where_each_run_reaches_the_best_of_each():
    slow, fast = reaching([SLOW, FAST])
    assert (slow.name, slow.target, slow.places) == ("slow", 5.0, {"slow": 400.0, "fast": 100.0})
    assert (fast.name, fast.target, fast.places) == ("fast", 4.0, {"slow": None, "fast": 150.0})
    (none,) = reaching([Scores("none", (1.0,), (math.nan,))])
    assert (none.target, none.places) == (None, {"none": None})


def test_the_table_says_who_gets_where_and_how_much_sooner_or_later():
    (table,) = reach_table([SLOW, FAST], "distance", "steps", higher=False)
    assert table.title == "Steps until distance is as good as"
    assert table.header == ("", "slow", "fast")
    assert table.rows == (
        ("5.000, slow at its best", "400", "100 (4.00× sooner)"),
        ("4.000, fast at its best", "never", "150"),
    )
    twin = Scores("twin", SLOW.at, SLOW.values)
    (table,) = reach_table([SLOW, twin], "distance", "steps", higher=False)
    assert [row[1:] for row in table.rows] == [("400", "400"), ("400", "400")]
    late = Scores("late", (1000.0,), (5.0,))
    (table,) = reach_table([SLOW, late], "distance", "seconds", higher=False)
    assert table.rows[0] == ("5.000, slow at its best", "400", "1,000 (2.50× later)")
    assert reach_table([SLOW], "distance", "steps", higher=False) == []
