"""A tuning's network, protocol and reference, and the protocol of each point."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from thalweg.config import dump
from thalweg.generation.models import SavedModel
from thalweg.inherited import origin_in_words, settings_in_words
from thalweg.plugins.recording import digests_of
from thalweg_eval.evaluation.accumulate import Execution
from thalweg_eval.evaluation.evaluator import Evaluator
from thalweg_eval.evaluation.protocol import Protocol, read_protocol
from thalweg_eval.evaluation.subject import NetworkInMemory
from thalweg_eval.tuning.points import TunedPoint

Tuned = Literal["guidance", "sampler"]
"""The key of a protocol's ``sampling`` that is tuned."""

_SEED = "sampling.seed"


@attrs.frozen(eq=False)
class Asked:
    """What all points of a tuning have in common.

    Attributes:
        tuned: what they differ in.
        named: the network, as the user names it.
        at: the same, as it can be read on this machine.
        network: what was found there.
        reference: what samples are compared with; None for what the protocol says.
        execution: how work is carried out.
        data: the data set of the network's run; None for what the run says.
        protocol: as of :func:`thalweg_eval.evaluate`.
        settings: ``key=value`` changes of it.
        say: shows one line of progress.
    """

    tuned: Tuned
    named: Any
    at: Any
    network: SavedModel | NetworkInMemory
    reference: Any
    execution: Execution
    data: Any
    protocol: str | Path
    settings: tuple[str, ...]
    say: Callable[[str], None]

    def base(self) -> Protocol:
        """The protocol: without guidance if that is tuned, otherwise as it is."""
        stated = {"guidance": None} if self.tuned == "guidance" else None
        return read_protocol(self.protocol, self.settings, None, self.network.inherited, stated)

    @property
    def seed(self) -> int:
        """The first one of the samples."""
        return int(self.base().config.sampling.seed)

    def read(self, point: TunedPoint, seed: int) -> Protocol:
        """The protocol of a point."""
        changes = (*self.settings, f"{_SEED}={seed}")
        return read_protocol(self.protocol, changes, None, self.network.inherited, point.stated)

    def plan(self, bound: Mapping[str, Any], reference: Any) -> dict[str, Any]:
        """What the folder is bound to.

        Args:
            bound: what is so beside network, protocol and reference.
            reference: as the user names it.
        """
        config = self.base().config
        place = isinstance(reference, str | Path)
        return {
            "network": dict(self.network.identity),
            "calibration": self.network.calibration,
            "protocol": dump(config),
            **bound,
            "reference": str(reference) if place or reference is None else type(reference).__name__,
            "plugin files": digests_of(config),
        }

    def opened(self, protocols: Sequence[Protocol]) -> Evaluator:
        """Network and reference."""
        evaluator = Evaluator(
            self.named, self.at, self.network, self.reference, protocols, self.execution, self.data
        )
        base = self.base()
        origins = {key: origin for key, origin in base.origins.items() if key != self.tuned}
        words = settings_in_words(base.config.sampling, origins, self.network.identity.get("step"))
        self.say(f"{words}, count {base.config.count} ({origin_in_words(base.counted)})")
        evaluator.prepare()
        return evaluator

    def described(self) -> dict[str, Any]:
        """Network and protocol in plain values, as ``results.json`` has them."""
        base = self.base()
        return {
            "network": {key: self.network.identity.get(key) for key in ("checkpoint", "step")},
            "protocol": {
                "name": base.config.name,
                "version": base.config.version,
                "sha256": base.sha256,
                "settings": list(self.settings),
            },
            "count": base.config.count,
        }
