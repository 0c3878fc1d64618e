"""The interval of time within which a guidance acts."""

Interval = tuple[float, float]


def check_interval(_: object, __: object, interval: tuple[float, ...]) -> None:
    """Two times with 0 <= low <= high <= 1, as a validator of attrs."""
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(f"'interval' must be two times with 0 <= low <= high <= 1: {interval}")
