"""What is scanned: grids, intervals, points and their names, and what is refused before any work."""

import pytest

from thalweg.errors import ConfigError
from thalweg_eval.tuning.grids import grid_of, intervals_of
from thalweg_eval.tuning.points import SCALES, STRENGTHS, around_of, method_of, scan_of


def scan(method="internal", **options):
    usual = {"scales": None, "strengths": None, "intervals": (), "after": (), "around": ()}
    return scan_of(method, **{**usual, **options})


@pytest.mark.parametrize(
    ("stated", "numbers"),
    [
        ("1,1.2,1.5", (1, 1.2, 1.5)),
        ("1:3:0.25", (1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3)),
        ("0:1:0.1", (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)),
        ("1:2:0.4", (1, 1.4, 1.8)),
        (" 3, 1:2:0.5 ,1", (1, 1.5, 2, 3)),
        ((2, 1.5), (1.5, 2)),
    ],
)
def test_a_grid_is_numbers_and_ranges_in_order_each_once(stated, numbers):
    assert grid_of("scales", stated, "1,2") == numbers


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("1,a", "scales cannot be read from '1,a'; write it as in 1,2"),
        ("", "cannot be read"),
        ("1:2", "cannot be read"),
        ("1,nan", "cannot be read"),
        ("1:inf:1", "cannot be read"),
        ("2:1:0.5", "has the range 2:1:0.5; write start:stop:step"),
        ("1:2:0", "a step above 0"),
        ("0:1000:0.001", "at most 1,000; take a larger step"),
        ([True], "give numbers, such as 1,2"),
        (3.0, "scales is 3.0; give numbers"),
    ],
)
def test_a_grid_that_is_none_is_refused(stated, said):
    with pytest.raises(ConfigError, match=said):
        grid_of("scales", stated, "1,2")


def test_intervals_are_pairs_of_times():
    assert intervals_of("0:1, 0.3:1,0:1") == ((0, 1), (0.3, 1))
    assert intervals_of([(0.25, 0.75)]) == ((0.25, 0.75),)
    for wrong in ("0", "0:1:2", "a:1", [0.5], "", 3):
        with pytest.raises(ConfigError, match="intervals cannot be read"):
            intervals_of(wrong)
    with pytest.raises(ConfigError, match=r"intervals has 0.5:0.25; each is low:high with 0 <= low <= high"):
        intervals_of("0.5:0.25")


def test_points_are_the_product_of_heads_intervals_and_scales():
    found = scan(scales=(1.0, 2.0), strengths=(0.0, 3.0), intervals=((0.0, 1.0), (0.3, 1.0)), after=(2, 4))
    first, *grid = found.points()
    assert (first.name, first.guidance, first.curve) == ("unguided", (), "")
    assert len(grid) == len({point.name for point in grid}) == 16
    assert len({point.curve for point in grid}) == 8
    one = next(point for point in grid if point.name == "internal after 4, 0.3 to 1, scale 2")
    assert one.guidance == ({"type": "internal", "scale": 2.0, "after": 4, "interval": [0.3, 1.0]},)
    calibrated = next(p for p in grid if p.name == "calibrated internal after 2, 0 to 1, strength 3")
    assert calibrated.guidance[0] == {
        "type": "internal", "scale": "calibrated", "strength": 3.0, "after": 2, "interval": [0.0, 1.0],
    }  # fmt: skip
    assert (calibrated.axis, calibrated.at) == ("strength", 3.0)


def test_the_usual_grid_is_of_scales_or_of_a_ladders_strengths():
    assert [point.at for point in scan("cfg").grid()] == list(SCALES)
    ladder = scan("ladder", after=(1, 3))
    assert [point.at for point in ladder.grid()] == list(STRENGTHS)
    # All heads are of one ladder.
    assert {tuple(point.guidance[0]["after"]) for point in ladder.grid()} == {(1, 3)}


def test_what_stands_around_is_around_every_point_and_is_scored_alone():
    around = around_of(["cfg.scale=1.35", "cfg.interval=[0.0,0.7]"])
    assert around == [{"type": "cfg", "scale": 1.35, "interval": [0.0, 0.7]}]
    assert around_of(["cfg=1.2", "half"]) == [{"type": "cfg", "scale": 1.2}, {"type": "half"}]
    unguided, alone, *grid = scan(scales=(1.0, 2.0), around=around).points()
    assert (unguided.guidance, alone.name, alone.guidance) == ((), "cfg alone", tuple(around))
    assert all([part["type"] for part in point.guidance] == ["internal", "cfg"] for point in grid)
    with pytest.raises(ConfigError, match="around states cfg as"):
        around_of(["cfg=[1, 2]"])


def test_a_method_is_a_name_or_a_table():
    assert method_of("cfg") == "cfg"
    table = method_of('{type = "path_drop", skip = [2, 3]}')
    assert table == {"type": "path_drop", "skip": [2, 3]}
    assert scan(table).grid()[0].guidance == ({"type": "path_drop", "skip": [2, 3], "scale": SCALES[0]},)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("intrnal", {}, "there is no guidance 'intrnal', did you mean 'internal'"),
        ({"scale": 2}, {}, "give a guidance's name, or a table with its type"),
        (
            "ladder",
            {"scales": (1.0, 2.0)},
            "guidance ladder has no scale .its strengths are what is scanned.",
        ),
        ("cfg", {"strengths": (0.0, 2.0)}, "guidance cfg has no strength; leave that out"),
        ("cfg", {"after": (3,)}, "guidance cfg has no after"),
        (
            {"type": "cfg", "scale": 2.0},
            {"scales": (1.0, 2.0)},
            "scale of guidance cfg is stated and scanned",
        ),
        ("internal", {"around": ["nothing"]}, "there is no guidance 'nothing'"),
    ],
)
def test_what_cannot_be_scanned_is_refused(method, options, said):
    with pytest.raises(ConfigError, match=said):
        scan(method, **options)


def test_a_scan_of_one_point_is_refused():
    with pytest.raises(
        ConfigError, match=r"the scan has one scale alone, 1\.5; give at least two, such as 1:2"
    ):
        scan(scales=(1.5,)).grid()
    with pytest.raises(ConfigError, match="one strength alone, 3; give at least two, such as 0:4:1"):
        scan(scales=(1.0, 2.0), strengths=(3.0,)).grid()
