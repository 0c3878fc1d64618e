"""Metrics side by side."""

from contracts.catalogue import names, subject


def test_metrics_that_share_a_key_share_its_statistic():
    kinds = {}
    for name in names("metric"):
        for key, make in subject("metric", name).build().statistics(40).items():
            assert kinds.setdefault(key, type(make())) is type(make()), key
