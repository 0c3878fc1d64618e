"""The numbers of one subject, and its passport."""

import datetime
import time
from pathlib import Path
from typing import Any

from thalweg.config import dump_component
from thalweg.passport import Passport
from thalweg.storage.redaction import redacted
from thalweg_eval.evaluation.accumulate import Accumulator
from thalweg_eval.evaluation.image_sets.generated import GeneratedImages
from thalweg_eval.evaluation.partial_statistics import Statistics
from thalweg_eval.evaluation.protocol import Protocol
from thalweg_eval.evaluation.provenance import machine, software
from thalweg_eval.evaluation.reference_set import Reference
from thalweg_eval.evaluation.subject import EvaluatedSamples, Named
from thalweg_eval.statistics.nfe import NFE, NfeCounter


def score(
    accumulator: Accumulator,
    protocol: Protocol,
    subject: EvaluatedSamples,
    named: Named,
    reference: Reference,
    statistics: Statistics,
    begun: float,
) -> Passport:
    """Read or generate all samples, and compute their numbers.

    Args:
        accumulator: knows extractors and metrics.
        protocol: the subject's, which differs from the accumulator's in how samples are generated alone.
        subject: what is evaluated.
        named: the same, as the user names it.
        reference: what it is compared with.
        statistics: those of the reference.
        begun: when, by ``time.perf_counter``.

    Raises:
        ConfigError: two numbers bear one name.
        ThalwegError: samples are not finite or damaged, or a number cannot be computed.
    """
    config, images = protocol.config, subject.samples.images
    computed = accumulator.accumulate(subject.samples, accumulator.makers)
    numbers: dict[str, dict[str, Any]] = {}
    for features in accumulator.features:
        for name, number in features.numbers(computed, statistics).items():
            numbers[f"{name} ({features.name})" if name in numbers else name] = number
    conditions = {
        "protocol": {"name": config.name, "version": config.version},
        "count": len(images),
        "crop": config.crop or "none",
        "sampling": subject.sampling or "not stated",
        "reference": reference.identity,
        "features": {
            features.name: {
                "extractor": features.identity,
                "metrics": {
                    name: dump_component("metric", metric)
                    for name, metric in accumulator.config.features[features.name].metrics.items()
                },
            }
            for features in accumulator.features
        },
    }
    where = redacted(str(named)) if isinstance(named, str | Path) else f"{type(named).__name__} in memory"
    described = {"what": where, **images.identity, "shape": list(images.shape), "count": len(images)}
    counter = computed.get(NFE)
    if isinstance(counter, NfeCounter) and counter.per_image is not None:
        described["nfe"] = counter.per_image
    execution = accumulator.execution
    return Passport(
        numbers=numbers,
        conditions=conditions,
        subject=described,
        protocol={
            "name": config.name,
            "version": config.version,
            "sha256": protocol.sha256,
            "changed": list(protocol.changed),
            "sampling": dict(protocol.origins) if isinstance(images, GeneratedImages) else None,
        },
        software=software(),
        machine=machine(execution.devices[0], len(execution.devices), time.perf_counter() - begun),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
