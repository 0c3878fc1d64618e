"""Memory of the statistics of 10,000 x 2,048 features: streamed, against torch-fidelity's way.

torch-fidelity keeps all features in float32 and hands them to numpy's covariance. Each way runs in a process
of its own that has everything imported; counted is how far it grows until the statistics are
complete: here mean and scatter matrix, there mean and covariance.
"""

from common import Verdict  # isort: skip

import argparse
import json
import resource
import subprocess
import sys
import warnings

import numpy as np
import torch

from thalweg.types import Features
from thalweg_eval.statistics.moments import FeatureMoments

SHARE, SAME, BATCH = 0.2, 1e-6, 64


def batches(count: int, width: int):
    """Features as an extractor gives them, batch by batch."""
    draws = torch.Generator().manual_seed(0)
    for start in range(0, count, BATCH):
        yield start, torch.randn(min(BATCH, count - start), width, generator=draws)


def ours(count: int, width: int) -> float:
    moments = FeatureMoments()
    for start, pooled in batches(count, width):
        moments.update(Features(pooled), None, range(start, start + len(pooled)))
    return float(moments.scatter_FF.norm() / (count - 1) + moments.mean().norm())


def theirs(count: int, width: int) -> float:
    from torch_fidelity.metric_fid import fid_features_to_statistics

    found = fid_features_to_statistics(torch.cat([pooled for _, pooled in batches(count, width)]))
    return float(np.linalg.norm(found["sigma"]) + np.linalg.norm(found["mu"]))


def measured(way: str, count: int, width: int) -> tuple[float, float]:
    """Growth in MB and a number that sums the statistics up, from a process of its own."""
    arguments = [sys.executable, __file__, "--count", str(count), "--width", str(width), "--only", way]
    megabytes, summary = json.loads(subprocess.run(arguments, capture_output=True, check=True).stdout)
    return megabytes, summary


def alone(way: str, count: int, width: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_fidelity.metric_fid  # noqa: F401 - either process starts from the same
    run = {"ours": ours, "theirs": theirs}[way]
    run(BATCH, 16)  # what the libraries allot at their first call is no statistic
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    summary = run(count, width)
    print(json.dumps([(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, summary]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--only", choices=("ours", "theirs"))
    options = parser.parse_args()
    if options.only:
        alone(options.only, options.count, options.width)
        return
    verdict = Verdict()
    found = {way: measured(way, options.count, options.width) for way in ("ours", "theirs")}
    for way, (megabytes, _) in found.items():
        print(f"{way}: {megabytes:.0f} MB")
    verdict.at_most(
        "relative difference of the statistics", abs(found["ours"][1] / found["theirs"][1] - 1), SAME
    )
    verdict.at_most("share of torch-fidelity's memory", found["ours"][0] / found["theirs"][0], SHARE)
    verdict.exit()


if __name__ == "__main__":
    main()
