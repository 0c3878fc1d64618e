"""Means of a few numbers and of paired differences, each with how sure it is."""

import math
from collections.abc import Sequence

import attrs

from thalweg_eval.report.numbers import MISSING

_LEVEL = 0.95
_ROUNDING = 1e-9
"""Relative to the numbers that are compared: a deviation below it is their rounding."""


@attrs.frozen
class Spread:
    """Mean of some numbers, and how sure it is.

    Attributes:
        mean: of the numbers.
        half_width: half the width of the 95 % confidence interval of the mean, by Student's t with
            count - 1 degrees of freedom; None for a single number, which says nothing of it.
        count: how many numbers.
    """

    mean: float
    half_width: float | None
    count: int

    def __str__(self) -> str:
        spread = "" if self.half_width is None else f" ± {_digits(self.half_width, 2)}"
        return f"{_digits(self.mean, 4)}{spread}"


@attrs.frozen
class Difference(Spread):
    """Mean of paired differences.

    Attributes:
        p: two-sided p-value of Student's t-test that the mean is 0, uncorrected; None where the differences
            have no spread to test against.
        p_corrected: by Holm's method over all comparisons in the same number.
    """

    p: float | None = None
    p_corrected: float | None = None


def _digits(number: float, count: int) -> str:
    # By way of float: 110 rather than 1.1e+02.
    return f"{float(f'{number:.{count}g}'):g}"


def p_in_words(p: float | None) -> str:
    """A p-value: ``0.012``, or ``below 0.0001``."""
    return MISSING if p is None else "below 0.0001" if p < 1e-4 else _digits(p, 2)


def spread(numbers: Sequence[float]) -> Spread:
    """Mean and 95 % interval of independent numbers, at least one."""
    found = _moments(numbers)
    if found.count == 1:
        return Spread(found.mean, None, 1)
    # scipy takes a moment to import; help and configuration do without it.
    from scipy.stats import t

    quantile = float(t.ppf((1 + _LEVEL) / 2, found.count - 1))
    return Spread(found.mean, quantile * found.error, found.count)


def paired(numbers: Sequence[float], baseline: Sequence[float]) -> Difference:
    """The difference to a baseline, seed by seed: what seeds have in common drops out.

    The p-value is P(|T| >= |mean| / standard error) for T of Student's t with count - 1 degrees of freedom
    (Student, *The probable error of a mean*, 1908). Differences that are the same under every seed, as a few
    counted digits can be, would give p = 0 whatever they are: their spread is not known, and there is no p.
    """
    differences = [one - other for one, other in zip(numbers, baseline, strict=True)]
    found, interval = _moments(differences), spread(differences)
    least = _ROUNDING * max(map(abs, (*numbers, *baseline)))
    if found.count == 1 or found.error * math.sqrt(found.count) <= least:
        return Difference(interval.mean, interval.half_width, interval.count)
    from scipy.stats import t

    p = 2 * float(t.sf(abs(found.mean) / found.error, found.count - 1))
    return Difference(interval.mean, interval.half_width, interval.count, p)


@attrs.frozen
class _Moments:
    """Mean of numbers, its standard error (0 for a single one), and how many they are."""

    mean: float
    error: float
    count: int


def _moments(numbers: Sequence[float]) -> _Moments:
    count = len(numbers)
    mean = math.fsum(numbers) / count
    variance = math.fsum((number - mean) ** 2 for number in numbers) / max(count - 1, 1)
    return _Moments(mean, math.sqrt(variance / count), count)
