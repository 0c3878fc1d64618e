import math

import pytest
from scipy import stats

from thalweg_eval.ablation.spread import Spread, p_in_words, paired, spread


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


def test_the_p_value_is_of_the_paired_t_test():
    numbers, baseline = [3.0, 5.5, 9.0, 4.0], [2.0, 6.0, 6.5, 3.0]
    assert paired(numbers, baseline).p == pytest.approx(stats.ttest_rel(numbers, baseline).pvalue)
    assert paired(baseline, numbers).p == pytest.approx(paired(numbers, baseline).p), "it has two sides"


def test_two_seeds_by_hand():
    # With one degree of freedom P(|T| >= t) = 1 - 2 arctan(t) / pi (Cauchy); differences 1 and 3 give t = 2.
    expected = 1 - 2 * math.atan(2.0) / math.pi
    assert paired([11.0, 23.0], [10.0, 20.0]).p == pytest.approx(expected)


def test_one_seed_has_no_p_value():
    found = paired([1.0], [0.0])
    assert (found.mean, found.half_width, found.p) == (1.0, None, None)


@pytest.mark.parametrize("baseline", [[0.9, 0.91, 0.92], [0.3, 0.1, 0.7]])
@pytest.mark.parametrize("less", [0.0, 0.01])
def test_differences_that_are_the_same_under_every_seed_are_not_certain(baseline, less):
    """By the formula p would be 0, or whatever the rounding of the last digit makes of it."""
    assert paired([one - less for one in baseline], baseline).p is None


def test_p_values_are_told_in_two_digits():
    assert [p_in_words(p) for p in (None, 0.01234, 3e-5, 1.0)] == ["–", "0.012", "below 0.0001", "1"]
