import math

import pytest
from scipy import stats

from thalweg.ablation.spread import Spread, paired, spread


def test_the_interval_is_students():
    numbers = [3.0, 5.0, 10.0]
    low, high = stats.ttest_1samp(numbers, 0.0).confidence_interval(0.95)
    found = spread(numbers)
    assert found.mean == pytest.approx(6.0)
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)


def test_three_seeds_by_hand():
    # t(0.975; 2) = 4.3027, s = 1, n = 3
    assert spread([1.0, 2.0, 3.0]).half_width == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)


def test_one_number_tells_nothing_of_its_spread():
    assert spread([2.5]) == Spread(2.5, None, 1)
    assert str(spread([2.5])) == "2.5"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [(Spread(155.44, 107.3, 3), "155.4 ± 110"), (Spread(0.90333, 0.0244, 3), "0.9033 ± 0.024")],
)
def test_an_interval_is_told_in_two_digits(numbers, text):
    assert str(numbers) == text


def test_what_seeds_have_in_common_drops_out_of_differences():
    baseline = [10.0, 50.0, 90.0]
    found = paired([one - 2 for one in baseline], baseline)
    assert (found.mean, found.half_width) == (-2.0, 0.0)
    assert spread(baseline).half_width > 50


def test_pairs_must_pair_off():
    with pytest.raises(ValueError, match="zip"):
        paired([1.0], [1.0, 2.0])
