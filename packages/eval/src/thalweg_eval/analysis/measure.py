"""All measurements of a network, on the same held-out samples, times and noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch

from thalweg.calibrating import BINS, calibrate, check_data, measured_heads
from thalweg.errors import ConfigError, DataError
from thalweg.jobs.tasks import Progress
from thalweg.network import FlowNetwork
from thalweg.network_field import evaluating, placed
from thalweg.protocols import Dataset
from thalweg.types import Head
from thalweg_eval.analysis import probe, velocity_error
from thalweg_eval.analysis.distance import Distances
from thalweg_eval.analysis.drawing import Draws
from thalweg_eval.analysis.gradients import HeadGradients
from thalweg_eval.analysis.guidance import HeldOutHeads, effects
from thalweg_eval.analysis.observing import Observer, name_of
from thalweg_eval.analysis.similarity import FEWEST, DebiasedCKA

Plain = dict[str, Any]


@attrs.frozen
class AnalysisSettings:
    """How much is measured.

    Attributes:
        samples: of each part of the data, each of them once in every bin.
        bins: of equal width in time.
        seed: of samples, times and noise.
        batch_size: samples at a time.
    """

    samples: int = 512
    bins: int = attrs.field(default=10, validator=BINS)
    seed: int = 0
    batch_size: int = 32


def measure(
    network: FlowNetwork,
    dataset: Dataset,
    settings: AnalysisSettings,
    *,
    device: torch.device | str | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Measure a network: linear maps are fitted on training samples, all numbers are of held-out ones.

    Args:
        network: with the weights that it is sampled with.
        dataset: what it was trained on.
        settings: how much.
        device: where; where the network is by default.
        progress: called with ``samples``, how many passes are done, and how many there are.

    Returns:
        Plain values: ``edges`` of the bins, ``counts`` of samples, and a table of each measurement; one that
        cannot be made has ``left_out``, a sentence that says why.

    Raises:
        ConfigError: the data are not what the network was trained on.
        DataError: there are too few, or the velocities are not finite.
    """
    check_data(network, dataset)
    home = placed(network, device)
    train, held_out = (
        Draws(
            split, name, settings.samples, settings.seed, network.interpolant, settings.bins,
            settings.batch_size, home,
        )
        for split, name in ((dataset.train, "train"), (dataset.validation, "validation"))
    )  # fmt: skip
    if min(len(train), len(held_out)) < FEWEST:
        raise DataError(f"the data hold {len(held_out)} held-out samples; analysis needs at least {FEWEST}")
    total = settings.bins * (len(train) + len(held_out))
    progress("samples", 0, total)
    measuring = _Bins(network, train, held_out)
    found = []
    with torch.no_grad(), evaluating([network]):
        for place in range(settings.bins):
            found.append(measuring.of(place))
            progress("samples", (place + 1) * total // settings.bins, total)
    return {
        "edges": [float(one) for one in np.linspace(0, 1, settings.bins + 1)],
        "counts": {"train": len(train), "validation": len(held_out)},
        "velocity_error": _velocity_error(measuring, found),
        "similarity": {
            "states": [name_of(one, network.facts.depth) for one in measuring.states],
            "cka": [one["cka"] for one in found],
        },
        "distance": {
            name: _tables(measuring, [one["distance"][name] for one in found])
            for name in ("relative", "euclidean")
        },
        "gradients": _gradients(measuring, found),
        "probe": _probe(measuring, found),
        "guidance": _guidance(measuring, found, dataset, settings),
    }


class _Bins:
    """Measures a network in one bin of time after another.

    Attributes:
        observer: of the network.
        states: where its hidden states stand.
        gradients: over all bins so far.
        unprobed: why there is no probe; empty if there is one.
    """

    def __init__(self, network: FlowNetwork, train: Draws, held_out: Draws) -> None:
        self.network, self.observer = network, Observer(network)
        self._train, self._held_out = train, held_out
        self.states: tuple[Head, ...] = ()
        self.gradients = HeadGradients(network)
        self.unprobed = _unprobed(network)

    def of(self, place: int) -> dict[str, Any]:
        """All that is measured in one bin."""
        facts, hidden = self.network.facts, not self.unprobed
        readouts, probes = velocity_error.ReadoutFit(facts), probe.ProbeFit(facts.classes or 1)
        for drawn in self._train.batches(place):
            readouts.update(self.observer(drawn))
            if hidden:
                probes.update(self.observer(drawn, drawn.condition.null()))
        errors = velocity_error.VelocityErrors(readouts.solve(), facts)
        accuracies = probe.ProbeAccuracy(probes.solve())
        cka, distances, gradients = DebiasedCKA(), Distances(self.observer.last), HeadGradients(self.network)
        heads = HeldOutHeads()
        for drawn in self._held_out.batches(place):
            seen = self.observer(drawn)
            self.states = tuple(seen.states)
            errors.update(seen)
            distances.update(seen)
            cka.update(list(seen.states.values()))
            if facts.weak_heads:
                heads.update(seen)
                gradients.update(drawn)
            if hidden:
                accuracies.update(self.observer(drawn, drawn.condition.null()))
        found = {"errors": errors.result(), "cka": cka.result(), "distance": distances.result()}
        if facts.weak_heads:
            self.gradients.add(gradients)
            found |= {"gradients": gradients.result(), "heads": heads.result()}
        return {**found, "probe": accuracies.result()} if hidden else found


def _tables(measuring: _Bins, found: Sequence[Mapping[Head, Any]]) -> list[Plain]:
    """By place a table of its name, depth and form, with ``values``, one a bin."""
    depth = measuring.network.facts.depth
    return [
        {
            "name": name_of(place, depth),
            "after": place.after,
            "form": place.form,
            "values": [one[place] for one in found],
        }
        for place in found[0]
    ]


def _velocity_error(measuring: _Bins, found: Sequence[dict[str, Any]]) -> Plain:
    heads, linear = (
        _tables(measuring, [one["errors"][name] for one in found]) for name in ("heads", "readouts")
    )
    return {"heads": heads, "readouts": linear, "ridge": velocity_error.RIDGE}


def _gradients(measuring: _Bins, found: Sequence[dict[str, Any]]) -> Plain:
    if reason := _headless(measuring.network):
        return {"left_out": reason}
    depth = measuring.network.facts.depth
    return {
        "heads": [name_of(head, depth) for head in measuring.gradients.heads],
        "cosine": measuring.gradients.result(),
        "over_time": [one["gradients"] for one in found],
        "detached": list(measuring.network.facts.head_depths) if measuring.network.detach_heads else [],
    }


def _probe(measuring: _Bins, found: Sequence[dict[str, Any]]) -> Plain:
    if measuring.unprobed:
        return {"left_out": measuring.unprobed}
    accuracies = _tables(measuring, [one["probe"] for one in found])
    return {"states": accuracies, "ridge": probe.RIDGE, "classes": measuring.network.facts.classes}


def _guidance(
    measuring: _Bins, found: Sequence[dict[str, Any]], dataset: Dataset, settings: AnalysisSettings
) -> Plain:
    if reason := _headless(measuring.network):
        return {"left_out": reason}
    measured = calibrate(
        measuring.network, dataset, bins=settings.bins, samples=settings.samples, seed=settings.seed,
        batch_size=settings.batch_size,
    )  # fmt: skip
    depth = measuring.network.facts.depth
    held_out = effects(measured, [one["heads"] for one in found])
    return {
        "heads": [
            {"name": name_of(head, depth), "after": head.after, "form": head.form, **one}
            for head, one in zip(measured.heads, held_out, strict=True)
        ]
    }


def _headless(network: FlowNetwork) -> str:
    """Why nothing can be measured of intermediate heads; empty if it can."""
    try:
        measured_heads(network)
    except ConfigError as reason:
        return str(reason)
    return ""


def _unprobed(network: FlowNetwork) -> str:
    """Why nothing can be measured of classes; empty if it can."""
    if network.facts.classes is None:
        return "the data have no classes"
    if not network.facts.condition_dropout:
        return (
            "the network was trained with every class shown, so that it has no answer without one; train it "
            "with training.condition_dropout above 0"
        )
    return ""
