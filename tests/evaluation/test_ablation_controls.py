"""Controls: cells that must come last, or the table cannot tell cells apart."""

import pytest

from thalweg_eval.ablation.controls import check_controls, controls_in_words, failed_controls


def found(better, complete=True, **means):
    cells = [
        {"name": name, "numbers": {"nearest": {"mean": 0.0}, "fd": {"mean": mean}}}
        for name, mean in means.items()
    ]
    return {"cells": cells, "complete": complete, "better": {"nearest": None, "fd": better}}


def checked(asked, *names):
    return {**asked, "controls": check_controls(asked, dict.fromkeys(names, "last"))}


@pytest.mark.parametrize(
    ("better", "shuffled", "held"),
    [
        ("lower", 9.0, True),
        ("lower", 4.0, False),
        ("lower", 5.0, False),
        ("higher", 1.0, True),
        ("higher", 9.0, False),
    ],
)
def test_a_control_holds_if_it_is_worse_than_every_other_cell(better, shuffled, held):
    one = checked(found(better, base=3.0, method=5.0, shuffled=shuffled), "shuffled")
    assert one["controls"] == {"number": "fd", "held": {"shuffled": held}}
    assert failed_controls(one) == ([] if held else ["shuffled"])
    (text,) = controls_in_words(one)
    assert text.startswith(
        "Control: shuffled came last in fd" if held else "CONTROL FAILED: shuffled did not"
    )


def test_several_controls_share_the_last_places():
    one = checked(found("lower", base=3.0, worse=8.0, worst=9.0, method=5.0), "worst", "worse")
    assert set(one["controls"]["held"].values()) == {True}
    one = checked(found("lower", base=3.0, worse=4.0, worst=9.0, method=5.0), "worst", "worse")
    assert one["controls"]["held"] == {"worst": True, "worse": False}
    assert [text.partition(":")[0] for text in controls_in_words(one)] == ["Control", "CONTROL FAILED"]


def test_nothing_is_known_before_all_runs_are_done():
    one = checked(found("lower", complete=False, base=3.0, shuffled=1.0), "shuffled")
    assert failed_controls(one) == []
    assert "shows when all runs are done" in controls_in_words(one)[0]


def test_without_a_direction_nothing_is_last():
    one = checked(found(None, base=3.0, shuffled=9.0), "shuffled")
    assert failed_controls(one) == ["shuffled"]
    assert "cannot come last" in controls_in_words(one)[0]


def test_without_controls_nothing_is_said():
    one = checked(found("lower", base=3.0))
    assert one["controls"] is None
    assert (failed_controls(one), controls_in_words(one)) == ([], ())
