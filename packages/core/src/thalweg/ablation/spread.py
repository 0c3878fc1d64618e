"""What several seeds say together: mean and confidence interval."""

import math
from collections.abc import Sequence

import attrs

_LEVEL = 0.95


@attrs.frozen
class Spread:
    """Mean of some numbers, and how sure it is.

    Attributes:
        mean: of the numbers.
        half_width: half the width of the 95 % confidence interval of the mean, by Student's t with
            count - 1 degrees of freedom; None for a single number, which tells nothing of it.
        count: how many numbers.
    """

    mean: float
    half_width: float | None
    count: int

    def __str__(self) -> str:
        spread = "" if self.half_width is None else f" ± {_digits(self.half_width, 2)}"
        return f"{_digits(self.mean, 4)}{spread}"


def _digits(number: float, count: int) -> str:
    # By way of float: 110 rather than 1.1e+02.
    return f"{float(f'{number:.{count}g}'):g}"


def spread(numbers: Sequence[float]) -> Spread:
    """Mean and 95 % interval of independent numbers, at least one."""
    count = len(numbers)
    mean = math.fsum(numbers) / count
    if count == 1:
        return Spread(mean, None, 1)
    # scipy takes a moment to import; help and configuration do without it.
    from scipy.stats import t

    variance = math.fsum((number - mean) ** 2 for number in numbers) / (count - 1)
    quantile = float(t.ppf((1 + _LEVEL) / 2, count - 1))
    return Spread(mean, quantile * math.sqrt(variance / count), count)


def paired(numbers: Sequence[float], baseline: Sequence[float]) -> Spread:
    """The difference to a baseline, seed by seed: what seeds have in common drops out."""
    return spread([one - other for one, other in zip(numbers, baseline, strict=True)])
