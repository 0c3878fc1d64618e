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


def test_ratios_say_how_many_times_sooner():
    rows = {name: (target, at, ratios) for name, target, at, ratios in reaching([SLOW, FAST])}
    assert rows["slow"] == (5.0, 400.0, {"fast": 4.0})
    assert rows["fast"] == (4.0, 150.0, {"slow": None})


def test_the_table_names_who_gets_there():
    (table,) = reach_table([SLOW, FAST], "distance", "steps", higher=False)
    assert table.header == ("", "best distance", "steps there", "slow gets there", "fast gets there")
    assert table.rows == (
        ("slow", 5.0, 400.0, "", "4.00 times sooner"),
        ("fast", 4.0, 150.0, "never", ""),
    )
    twin = Scores("twin", SLOW.at, SLOW.values)
    (table,) = reach_table([SLOW, twin], "distance", "steps", higher=False)
    assert [row[3:] for row in table.rows] == [("", "as soon"), ("as soon", "")]
    assert reach_table([SLOW], "distance", "steps", higher=False) == []
