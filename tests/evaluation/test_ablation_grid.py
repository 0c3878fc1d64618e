import pytest

from thalweg.errors import ConfigError
from thalweg_eval.ablation.axes import Cell, cells_of


def test_axes_multiply_and_the_last_one_runs_fastest():
    cells = cells_of(["refiner=plain,vera", "plan.max_time_gap=0.0,0.01"])
    assert [cell.name for cell in cells] == [
        "refiner=plain, plan.max_time_gap=0.0",
        "refiner=plain, plan.max_time_gap=0.01",
        "refiner=vera, plan.max_time_gap=0.0",
        "refiner=vera, plan.max_time_gap=0.01",
    ]
    assert cells[1].overrides == ("refiner=plain", "plan.max_time_gap=0.01")


def test_no_refiner_means_one_branch():
    assert cells_of(["refiner=none,plain"])[0] == Cell("refiner=none", ("refiner=none", "branches=1"), False)


def test_commas_in_lists_tables_and_strings_divide_nothing():
    (axis,) = [["guidance={type='cfg', interval=[0.0, 0.7]},none", "name='a,b',c"]]
    assert [cell.overrides[0] for cell in cells_of(axis[:1])] == [
        "guidance={type='cfg', interval=[0.0, 0.7]}",
        "guidance=none",
    ]
    assert [cell.overrides[0] for cell in cells_of(axis[1:])] == ["name='a,b'", "name=c"]


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        (["refiner"], "is not of the form"),
        (["refiner="], "is not of the form"),
        (["=a,b"], "is not of the form"),
        (["refiner=plain,,vera"], "is not of the form"),
        (["refiner=plain,plain"], "states plain twice"),
        (["seed=1,2", "seed=3"], "two axes are of seed"),
        (["seed = 1,2", "seed=3"], "two axes are of seed"),
    ],
)
def test_a_faulty_axis_is_named(axes, says):
    with pytest.raises(ConfigError, match=says):
        cells_of(axes)
