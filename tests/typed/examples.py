"""A small component of each protocol, by an author who types everything; ``make test`` runs mypy on it.

Nothing here inherits from a protocol: mypy and isinstance see that each fulfils its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from thalweg import protocols
from thalweg.exported import Exported
from thalweg.facts import Facts, image_shape
from thalweg.import_options import Imported, ImportOptions
from thalweg.interpolant import Interpolant, Schedule
from thalweg.types import (
    Batch,
    Boundary,
    Condition,
    ConditionalField,
    EncodedCaptions,
    Features,
    Increments,
    ObjectiveValue,
    Plan,
    Refinement,
    Step,
    Stream,
    VelocityField,
)


class Backbone(nn.Module):
    """One linear block on pixels as tokens."""

    depth: int = 1
    width: int
    heads: int = 1
    grid: tuple[int, int]

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        channels, height, width = image_shape(facts.shape, "backbone pixels", "give it images")
        self.width, self.grid = channels, (height, width)
        self.block = nn.Linear(self.width, self.width)

    def embed(self, x_t: Tensor, condition: Condition) -> Stream:
        return Stream(x_t.flatten(2).transpose(1, 2))

    def condition(self, t: Tensor, condition: Condition) -> Tensor:
        return t.unsqueeze(1).expand(-1, self.width)

    def run(self, stream: Stream, c: Tensor, start: int, stop: int) -> Stream:
        return stream.with_tokens(self.block(stream.tokens) + c.unsqueeze(1)) if stop > start else stream

    def readout(self) -> nn.Module:
        return nn.Identity()


class Refiner(nn.Module):
    readouts: tuple[str, ...] = ()

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:
        return Refinement(stream.tokens + boundary.patch_tokens)


class Objective:
    weight: float = 1.0

    def __call__(self, step: Step) -> ObjectiveValue:
        error = step.prediction.velocities[-1] - step.plan.velocity
        return ObjectiveValue(error.square().flatten(1).mean(dim=1))


class VisionEncoder:
    name: str = "mean"
    offers: frozenset[str] = frozenset({"pooled", "patches"})
    title: str = "mean"
    identity: Mapping[str, Any] = {"type": "mean"}
    width: int = 1
    patch_identity: Mapping[str, Any] = {"type": "mean"}

    def __call__(self, images: Tensor, captions: Sequence[str] | None = None) -> Features:
        return Features(pooled=images.float().flatten(1))

    def number_name(self, number: str) -> str:
        return f"{number}_mean"

    def patch_tokens(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(images.float(), grid)
        return pooled.mean(dim=1).flatten(1).unsqueeze(2)


class TextEncoder:
    identity: Mapping[str, Any] = {"type": "nothing"}
    length: int = 1
    width: int = 2

    def __call__(self, captions: Sequence[str]) -> EncodedCaptions:
        count = len(captions)
        return EncodedCaptions(torch.zeros(count, 1, 2), torch.ones(count, 1, dtype=torch.bool), 0)


class Planner:
    def __call__(
        self, batch: Batch, noise: Tensor, generator: torch.Generator, interpolant: Interpolant
    ) -> Plan:
        times = torch.rand(1, len(noise), generator=generator)
        return Plan.at(batch.clean, noise, times, interpolant)


class StraightPath:
    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def d_alpha(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def time_of_ratio(self, s: Tensor) -> Tensor:
        return s / (1 + s)


class TimeSampler:
    def __call__(self, count: int, generator: torch.Generator, interpolant: Interpolant) -> Tensor:
        return torch.rand(count, generator=generator).square()


class Sampler:
    def __call__(
        self, velocity: VelocityField, x_1: Tensor, increments: Increments, interpolant: Interpolant
    ) -> Tensor:
        return x_1 - velocity(x_1, torch.ones(len(x_1)))


class Guidance:
    def __call__(self, field: ConditionalField) -> ConditionalField:
        return lambda query: field(query.null()) + 2 * (field(query) - field(query.null()))


class Split:
    def __len__(self) -> int:
        return 4

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
        return Batch(torch.zeros(len(indices), 1, 2, 2), Condition())


class Dataset:
    identity: str = "nothing"
    facts: Facts = Facts(shape=(1, 2, 2))
    train: protocols.Split = Split()
    validation: protocols.Split = Split()

    def images(self, x: Tensor) -> Tensor | None:
        return None


class Source:
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    captioned: bool = False
    identity: str = "grey"

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> protocols.Record:
        return protocols.Record(str(index), np.full((2, 2, 1), 128, dtype=np.uint8))


class Autoencoder:
    identity: Mapping[str, Any] = {"type": "half"}
    scale: float = 1.0

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        return channels, height, width

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        return images.float() / 255, None

    def decode(self, x: Tensor) -> Tensor:
        return (x * 255).clamp(0, 255).to(torch.uint8)


class Statistic:
    """Counts."""

    def __init__(self) -> None:
        self.seen = 0

    def update(self, features: Features, labels: Tensor | None, indices: Sequence[int]) -> None:
        self.seen += len(indices)

    def merge(self, other: "Statistic") -> None:
        self.seen += other.seen

    def state(self) -> Mapping[str, Tensor]:
        return {"seen": torch.tensor(self.seen)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.seen = int(state["seen"])


class Metric:
    name: str = "count"
    better: protocols.Better = None

    def statistics(self, count: int) -> Mapping[str, Callable[[], protocols.Statistic]]:
        return {"count": Statistic}

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], protocols.Statistic]]:
        return {}

    def __call__(
        self, samples: Mapping[str, protocols.Statistic], reference: Mapping[str, protocols.Statistic]
    ) -> Mapping[str, float]:
        return {self.name: float(samples["count"].state()["seen"])}


class Logger:
    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self.newest = step

    def image(self, step: int, name: str, path: Path) -> None:
        self.newest = step

    def close(self) -> None:
        self.newest = 0


class Importer:
    def __call__(self, state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
        return Imported({"backbone": "dit"}, Facts(shape=(1, 2, 2)), state_dict, {})


class Exporter:
    suffixes: tuple[str, ...] = (".safetensors",)

    def __call__(self, network: nn.Module) -> Exported:
        return Exported(network.state_dict())


class Optimizer:
    def __call__(self, parameters: Mapping[str, nn.Parameter], fused: bool) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(parameters.values()), lr=0.1)


class RateSchedule:
    of_length: bool = True

    def __call__(self, step: int, total: int) -> float:
        return 1 - step / total


class Averages:
    names: tuple[str, ...] = ("first",)

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def update(self, step: int) -> None:
        pass

    @contextmanager
    def applied(self, name: str) -> Iterator[None]:
        yield

    def state_dict(self, name: str) -> Mapping[str, Tensor]:
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], name: str) -> None:
        pass


class Average:
    names: tuple[str, ...] = ("first",)

    def __call__(self, network: nn.Module) -> Averages:
        return Averages(network)


@attrs.frozen
class RefinerConfig:
    """What is registered."""

    def build(self, facts: Facts) -> Refiner:
        return Refiner()


backbone: protocols.Backbone = Backbone(Facts(shape=(1, 2, 2)))
refiner: protocols.Refiner = Refiner()
objective: protocols.Objective = Objective()
vision_encoder: protocols.VisionEncoder = VisionEncoder()
pooled_encoder: protocols.PooledEncoder = VisionEncoder()
patch_encoder: protocols.PatchEncoder = VisionEncoder()
planner: protocols.Planner = Planner()
time_sampler: protocols.TimeSampler = TimeSampler()
path: Schedule = StraightPath()
optimizer: protocols.Optimizer = Optimizer()
schedule: protocols.RateSchedule = RateSchedule()
average: protocols.Average = Average()
averages: protocols.Averages = average(nn.Identity())
sampler: protocols.Sampler = Sampler()
guidance: protocols.Guidance = Guidance()
dataset: protocols.Dataset = Dataset()
source: protocols.Source = Source()
text_encoder: protocols.TextEncoder = TextEncoder()
autoencoder: protocols.Autoencoder = Autoencoder()
statistic: protocols.Statistic = Statistic()
metric: protocols.Metric = Metric()
logger: protocols.Logger = Logger()
importer: protocols.Importer = Importer()
exporter: protocols.Exporter = Exporter()
config: protocols.Config = RefinerConfig()
EXAMPLES: dict[type, object] = {
    protocols.Backbone: backbone,
    protocols.Refiner: refiner,
    protocols.Objective: objective,
    protocols.VisionEncoder: vision_encoder,
    protocols.PooledEncoder: pooled_encoder,
    protocols.PatchEncoder: patch_encoder,
    protocols.TextEncoder: text_encoder,
    protocols.Planner: planner,
    protocols.TimeSampler: time_sampler,
    Schedule: path,
    protocols.Optimizer: optimizer,
    protocols.RateSchedule: schedule,
    protocols.Average: average,
    protocols.Averages: averages,
    protocols.Sampler: sampler,
    protocols.Guidance: guidance,
    protocols.Split: dataset.train,
    protocols.Dataset: dataset,
    protocols.Source: source,
    protocols.Autoencoder: autoencoder,
    protocols.Statistic: statistic,
    protocols.Metric: metric,
    protocols.Logger: logger,
    protocols.Importer: importer,
    protocols.Exporter: exporter,
}
