"""What cells of one composition have in common: facts, parameters, operations."""

import json
from typing import Any

import attrs

from thalweg.composition import compose, composition_of
from thalweg.config import RunConfig, plain
from thalweg.facts import Facts
from thalweg.summary import forward_flop


@attrs.frozen(eq=False)
class Cost:
    """Of one composition.

    Attributes:
        facts: of the composed network.
        parameters: trainable ones.
        gflop: 10^9 operations of one image's forward pass.
    """

    facts: Facts
    parameters: int
    gflop: float


class Costs:
    """Networks of the cells, each composed and counted once: cells mostly differ in something else."""

    def __init__(self) -> None:
        self._facts: list[tuple[Any, Facts]] = []
        self._known: dict[str, Cost] = {}

    def of(self, config: RunConfig) -> Cost:
        """Of a cell's network."""
        composition, facts = composition_of(config), self._facts_of(config.data)
        key = json.dumps([{name: plain(one) for name, one in composition.items()}, repr(facts)], default=repr)
        if key not in self._known:
            network = compose(**composition, facts=facts, device="meta")
            count = sum(parameter.numel() for parameter in network.parameters())
            self._known[key] = Cost(network.facts, count, forward_flop(network) / 1e9)
        return self._known[key]

    def _facts_of(self, data: Any) -> Facts:
        """A data set may be far away, and is asked once."""
        for known, facts in self._facts:
            if known == data:
                return facts
        asked: Facts = data.facts
        self._facts.append((data, asked))
        return asked
