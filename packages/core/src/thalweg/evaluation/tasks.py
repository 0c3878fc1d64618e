"""What a started process is to do, in plain values, and how it does it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch

from thalweg.config import dump, structure
from thalweg.devices import usable_device
from thalweg.evaluation.blocks import Drawing, Form
from thalweg.evaluation.counting import EVALUATIONS, Evaluations
from thalweg.evaluation.judges import Judge, build_judges
from thalweg.evaluation.parts import Makers, Parts
from thalweg.evaluation.recorders import Recorder, Seeing
from thalweg.evaluation.sets import NetworkSet, opened_once
from thalweg.evaluation.sets import from_plain as set_from_plain
from thalweg.evaluation.sets import to_plain as set_to_plain
from thalweg.evaluation.settings import EvaluationConfig
from thalweg.facts import Facts


@attrs.frozen(eq=False)
class SeeTask:
    """Show a set to judges.

    Attributes:
        images: the set, in plain values.
        config: names the judges.
        facts: shape and classes of the images.
        keys: the statistics to keep.
        count: images of the set that are seen in all.
        reference: whether they are the reference.
        teaching: the set that extractors are fitted to, in plain values; None for none.
        device: where.
        batch_size: images at a time.
        told: what files of statistics say of themselves.
    """

    images: Mapping[str, Any]
    config: EvaluationConfig
    facts: Facts
    keys: tuple[str, ...]
    count: int
    reference: bool
    teaching: Mapping[str, Any] | None
    device: str
    batch_size: int
    told: Mapping[str, str]

    def recorder(self, folder: Path, rank: int) -> Recorder:
        """Open the set and build the judges."""
        device = device_of(self.device, rank)
        teaching = None if self.teaching is None else opened_once(set_from_plain(self.teaching), device)
        judges = build_judges(self.config, self.facts, device, teaching)
        makers = makers_of(judges, self.count, reference=self.reference)
        parts = Parts(folder, {key: makers[key] for key in self.keys}, self.told)
        return Seeing(set_from_plain(self.images).open(device), judges, parts)


@attrs.frozen(eq=False)
class DrawTask:
    """Draw samples of a network.

    Attributes:
        network: what is drawn from.
        form: as images or as tensors.
        first: index of the first sample.
        device: where.
        batch_size: samples at a time.
    """

    network: NetworkSet
    form: Form
    first: int
    device: str
    batch_size: int

    def recorder(self, folder: Path, rank: int) -> Recorder:
        """Load the network."""
        device = device_of(self.device, rank)
        decoder = self.network.decoder(device) if self.form == "images" else None
        return Drawing(self.network.source(device), decoder, folder, self.first)


Task = SeeTask | DrawTask


def to_plain(task: Task) -> dict[str, Any]:
    """A task in plain values."""
    if isinstance(task, DrawTask):
        fields = {**attrs.asdict(task, recurse=False), "network": set_to_plain(task.network)}
        return {"kind": "draw", **fields}
    facts = {"shape": list(task.facts.shape), "classes": task.facts.classes}
    fields = {**attrs.asdict(task, recurse=False), "config": dump(task.config, secrets=True), "facts": facts}
    return {"kind": "see", **fields}


def from_plain(data: Mapping[str, Any]) -> Task:
    """Undoes :func:`to_plain`."""
    fields = dict(data)
    if fields.pop("kind") == "draw":
        network = set_from_plain(fields.pop("network"))
        assert isinstance(network, NetworkSet)  # noqa: S101 - nothing else is drawn from
        return DrawTask(network=network, **fields)
    config = structure(EvaluationConfig, fields.pop("config"))
    return SeeTask(config=config, facts=Facts(**fields.pop("facts")), **fields)


def makers_of(judges: Sequence[Judge], count: int, *, reference: bool) -> Makers:
    """The statistics that all judges need of one side; of samples with what they cost to draw."""
    found: dict[str, Any] = {} if reference else {EVALUATIONS: Evaluations}
    for judge in judges:
        found.update(judge.makers(count, reference=reference))
    return found


def resolved(device: str) -> str:
    """What ``auto`` is on this machine: cuda, mps or cpu; other names are tried.

    Raises:
        ConfigError: if the device cannot be used here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    return str(usable_device(device))


def device_of(device: str, rank: int) -> str:
    """The device of one of several processes: the cards in turn."""
    return f"cuda:{rank % torch.cuda.device_count()}" if device == "cuda" else device
