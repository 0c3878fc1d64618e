"""A training step of DeepFlow-2T aligned with DINOv2: teacher, stored features, or neither.

Latents 4x32x32 and images of 256 pixels; networks of the published sizes with random weights. All three steps
read their latents from shards; the first has its images at hand as bytes, and the second reads the features,
in float16, from shards too, in the step itself and not ahead of it. The teacher's share is what it takes to
look at a batch by itself.
"""

from common import IMAGENET, Verdict, alternately, awake  # isort: skip

import argparse
import tempfile
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

import thalweg
from thalweg.averages.ema import EMA
from thalweg.composition import seeded
from thalweg.config import component
from thalweg.data.shards import ShardHeader, ShardWriter, TeacherHeader
from thalweg.data.shards.dataset import Shards, ShardsConfig
from thalweg.machine import native_precision
from thalweg.optimizers.adamw import AdamW
from thalweg.planning import draw_plan
from thalweg.randomness import generator
from thalweg.storage import Location
from thalweg.training.optimizer import make_optimizer
from thalweg.training.step import Losses

SAVED = 0.8
GRID = (16, 16)
NETWORKS = {"s": "vit_small_patch14_dinov2", "b": "vit_base_patch14_dinov2", "l": "vit_large_patch14_dinov2"}


def write_weights(path: Path, size: str) -> None:
    model = timm.create_model(NETWORKS[size], pretrained=False, num_classes=0)
    torch.save(dict(model.state_dict(), mask_token=torch.zeros(1, model.num_features)), path)


def write_shards(folder: Path, count: int, teachers: dict[str, TeacherHeader], seen_TF: Tensor) -> Shards:
    """Random latents, and beside each what the teacher saw in one image."""
    header = ShardHeader(
        kind="posterior", count=count, shape=IMAGENET.shape, dtype="float16", classes=1000,
        autoencoder={"type": "random"}, teachers=teachers,
    )  # fmt: skip
    writer, draws = ShardWriter(Location(folder), header), generator(0, "shards")
    for number in range(writer.shards):
        samples = len(writer.samples(number))
        latents = torch.randn(samples, *IMAGENET.shape, generator=draws).half()
        tensors = {"mean": latents, "std": latents.abs(), "labels": torch.arange(samples) % 1000}
        for name in teachers:
            tensors[f"teacher.{name}"] = seen_TF.half().expand(samples, -1, -1)
        writer.write_shard(number, tensors)
    writer.finish()
    return ShardsConfig(url=str(folder), validation=1).build()


class Step:
    """Everything that one step does, reading included."""

    def __init__(
        self,
        data: Shards,
        given: argparse.Namespace,
        images: Tensor,
        teacher: dict[str, object] | None = None,
    ) -> None:
        network = awake(
            thalweg.compose(
                backbone={"type": "dit", "size": given.backbone, "patch": 2},
                refiner={"type": "vera", "clamp_scale": 5.0},
                branches=2,
                facts=data.facts,
            )
        )
        if given.compile:
            network.compile_regions()
        options: dict[str, object] = {"velocity": {}, "acceleration": {}}
        if teacher is not None:
            options["alignment"] = {"type": "alignment", "teacher": teacher}
        with seeded(0, torch.device("cpu")):
            objectives = {
                name: component("objective", one or name).build(network.facts)
                for name, one in options.items()
            }
        self._losses = Losses(network, objectives, lambda _: images)
        self._optimizer = make_optimizer(AdamW(1e-4, (0.9, 0.999), 0.0), self._losses, fused=True)
        self._ema = EMA(network, 0.9999)
        self._planner = component("planner", "branch_times").build(network.facts)
        self._split, self._size, self._count = data.train, given.batch_size, 0

    def numbers(self) -> dict[str, Tensor]:
        first = self._count * self._size
        indices = [(first + place) % len(self._split) for place in range(self._size)]
        batch = self._split.batch(indices, generator(0, "data", self._count))
        path = self._losses.network.interpolant
        plan = draw_plan(self._planner, batch, generator(0, "plan", self._count), path)
        mixed = native_precision("cpu") == "bf16-mixed"
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            numbers: dict[str, Tensor] = self._losses(plan, batch)
        return numbers

    def __call__(self) -> None:
        self.numbers()["loss"].backward()
        nn.utils.clip_grad_norm_(self._losses.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._ema.update(0)
        self._count += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="S", choices=["S", "B", "L"])
    parser.add_argument("--teacher", default="b", choices=list(NETWORKS))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        write_weights(place / "dinov2.pth", given.teacher)
        options = {"type": "dinov2", "size": given.teacher, "weights": str(place / "dinov2.pth")}
        teacher = component("vision_encoder", options).build(IMAGENET)
        header = TeacherHeader(teacher.patch_identity, GRID, teacher.width)
        image = torch.randint(256, (1, 3, 256, 256), dtype=torch.uint8, generator=generator(0, "image"))
        images, (seen,) = image.expand(given.batch_size, -1, -1, -1), teacher.patch_tokens(image, GRID)
        bare = write_shards(place / "bare", given.samples, {}, seen)
        stored = write_shards(place / "stored", given.samples, {teacher.name: header}, seen)
        looking, reading = Step(bare, given, images, options), Step(stored, given, images, options)
        one, other = (float(step.numbers()["alignment"]) for step in (looking, reading))
        assert abs(one - other) < 1e-3, (one, other)
        steps = {
            "no alignment": Step(bare, given, images),
            "teacher in the step": looking,
            "features from shards": reading,
            "teacher by itself": lambda: teacher.patch_tokens(images, GRID),
        }
        for step in steps.values():
            for _ in range(2):  # which compiles and warms up
                step()
        seconds = alternately(steps, given.rounds)
    for name, taken in seconds.items():
        print(f"{name}: {taken:.3f} s")
    share = seconds["teacher by itself"] / seconds["teacher in the step"]
    print(f"the teacher's share of a step with it: {share:.2f}")
    verdict = Verdict()
    saved = seconds["teacher in the step"] - seconds["features from shards"]
    part = saved / seconds["teacher by itself"]
    verdict.at_least("part of the teacher's share that stored features save", part, SAVED)
    verdict.exit()


if __name__ == "__main__":
    main()
