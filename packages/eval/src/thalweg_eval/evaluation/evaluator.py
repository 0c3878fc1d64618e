"""A subject and its reference, opened once: ways of sampling are scored against it one after another."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from thalweg.folders import check_room
from thalweg.generation.models import SavedModel
from thalweg.network_field import VelocityNetwork
from thalweg.passport import Passport
from thalweg_eval.evaluation.accumulate import Accumulator, Execution
from thalweg_eval.evaluation.features import rehearse
from thalweg_eval.evaluation.partial_statistics import Statistics
from thalweg_eval.evaluation.protocol import Protocol
from thalweg_eval.evaluation.reference_set import ReferenceComputation, open_reference
from thalweg_eval.evaluation.scoring import score
from thalweg_eval.evaluation.subject import (
    EvaluatedSamples,
    Named,
    NetworkInMemory,
    loaded,
    open_images,
    open_network,
)


@attrs.frozen(eq=False)
class Way:
    """One way of sampling a subject, open; of images there is one, which says nothing.

    Attributes:
        protocol: what is requested.
        subject: the samples.
    """

    protocol: Protocol
    subject: EvaluatedSamples


class Evaluator:
    """Everything that ways of sampling one subject share: the network, extractors, and the reference.

    Args:
        named: the subject, as the user names it.
        what: the same, as it can be read on this machine.
        network: what :func:`thalweg_eval.evaluation.subject.network_of` found.
        reference: what samples are compared with, as it can be read on this machine.
        protocols: at least one way of sampling; they differ in nothing that extractors, metrics and reference
            depend on.
        execution: how work is carried out.
        data: the data set of the subject's run; None for the one that the run names.

    Attributes:
        network: the network, loaded; None for images.
        ways: of the protocols, in order, and those that were added.

    Raises:
        ThalwegError: something is missing or damaged, or the network cannot be sampled so.
    """

    def __init__(
        self,
        named: Named,
        what: Named,
        network: SavedModel | NetworkInMemory | None,
        reference: Named | None,
        protocols: Sequence[Protocol],
        execution: Execution,
        data: Any,
    ) -> None:
        self._named, self._what, self._model, self._data = named, what, network, data
        self._device = execution.devices[0]
        self.network: VelocityNetwork | None = None if network is None else loaded(network, self._device)
        self.ways = [self._open(one) for one in protocols]
        first, config = self.ways[0].subject, protocols[0].config
        self._reference = open_reference(reference, first, config, self._device)
        self._accumulator = Accumulator(config, first.samples.images, self._reference.training, execution)
        self._computation = ReferenceComputation(self._reference, self._accumulator)
        self._statistics: Statistics = {}

    def prepare(self, save_reference: Path | None = None) -> None:
        """Find faults of all ways, and compute the statistics of the reference.

        Faults of samples should show before the reference is read, and its own before hours of sampling.

        Args:
            save_reference: where its statistics are written; None for nowhere.

        Raises:
            ThalwegError: what extractors and metrics say, a network that does not answer, or a full disk.
        """
        accumulator, first = self._accumulator, self.ways[0].subject.samples
        stand_ins, size = rehearse(accumulator.features, first.images, accumulator.makers)
        # Files are merged into one that is written before they go.
        check_room(accumulator.folder(first, accumulator.makers), (len(self.ways) + 1) * size, "--work")
        for one in self.ways:
            one.subject.try_out()
        self._statistics = self._computation.statistics(stand_ins, save_reference)

    def add(self, protocol: Protocol) -> Way:
        """Open one more way of sampling the network, once all is prepared.

        Raises:
            ConfigError: the network cannot be sampled so.
        """
        self.ways.append(self._open(protocol))
        return self.ways[-1]

    def score(self, way: Way, begun: float | None = None) -> Passport:
        """The numbers of a way; what an interrupted command has done of it is not done again.

        Args:
            way: one of this evaluator's.
            begun: when, by ``time.perf_counter``; now by default.

        Raises:
            ThalwegError: samples are not finite or damaged, or a number cannot be computed.
        """
        begun = time.perf_counter() if begun is None else begun
        return score(
            self._accumulator,
            way.protocol,
            way.subject,
            self._named,
            self._reference,
            self._statistics,
            begun,
        )

    def remove(self, way: Way) -> None:
        """Remove a way's statistics from the disk, once its numbers are kept."""
        self._accumulator.remove(way.subject.samples, self._accumulator.makers)

    def _open(self, protocol: Protocol) -> Way:
        if self._model is None or self.network is None:
            return Way(protocol, open_images(self._what, protocol.config, self._device))
        opened = open_network(self._model, self.network, protocol.config, self._device, self._data)
        return Way(protocol, opened)
