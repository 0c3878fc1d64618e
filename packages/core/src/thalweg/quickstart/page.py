"""The quick start's report: curves, digits, scores, and what they do and do not show."""

import math
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
import torch
from jaxtyping import UInt8
from torch import Tensor

from thalweg.branches import count_of
from thalweg.data.grid import grid, png_bytes
from thalweg.protocols import Dataset
from thalweg.quickstart.judging import DISTANCE, Judge, real_digits
from thalweg.quickstart.twins import CLASSES
from thalweg.report import Chart, Curve, Picture, Report, Section, Table, Text
from thalweg.training.clock import TRAINING, times_in_words

if TYPE_CHECKING:
    from thalweg.quickstart.flow import Model

_SHOWN = 8  # rows of a grid, one column a class


def page(models: Sequence["Model"], judge: Judge, dataset: Dataset, results: dict[str, Any]) -> Report:
    """The report of a quick start.

    Args:
        models: both, all done.
        judge: who judged them.
        dataset: the real digits.
        results: what ``results.json`` holds.
    """
    settings = results["settings"]
    return Report(
        title="Thalweg quick start",
        subtitle="A plain SiT and its DeepFlow-2T twin, trained on the same 8x8 digits, side by side.",
        sections=(
            Section("Scores", (_scores(models, judge), Text("What this shows", _verdict(models)))),
            Section("Digits", _digits(models, dataset)),
            Section("Training", _curves(models)),
            Section("How it was made", (Text("", _protocol(models, judge)),)),
        ),
        facts=(
            ("Date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
            ("Machine", f"{platform.machine()}, {torch.get_num_threads()} threads"),
            ("Versions", ", ".join(f"{name} {number}" for name, number in results["versions"].items())),
            ("Seed", str(settings["seed"])),
            ("Time in all", f"{results['seconds']:.0f} s"),
        ),
    )


def _scores(models: Sequence["Model"], judge: Judge) -> Table:
    rows: list[tuple[str | int | float | None, ...]] = [
        (
            model.name,
            model.scores.accuracy,
            model.scores.frechet_distance,
            model.scores.count,
            round(model.result.seconds, 1),
            model.result.step,
            model.parameters,
        )
        for model in models
    ]
    real = judge.real
    rows.append(("held-out real digits", real.accuracy, real.frechet_distance, real.count, None, None, None))
    return Table(
        "",
        ("", "accuracy", "Frechet distance", "images", "training s", "steps", "parameters"),
        tuple(rows),
        f"Accuracy: share of samples that a small classifier takes for the digit they were drawn for. "
        f"{DISTANCE}, to the training digits; not an FID, and comparable within this table alone.",
        best=(None, "max", "min", None, None, None, None),
        reference=(len(rows) - 1,),
    )


def _verdict(models: Sequence["Model"]) -> tuple[str, ...]:
    first, second = models
    closer, other = sorted(models, key=lambda model: model.scores.frechet_distance)
    error = math.hypot(_standard_error(first), _standard_error(second))
    gap = abs(first.scores.accuracy - second.scores.accuracy)
    ahead = max(models, key=lambda model: model.scores.accuracy)
    if gap <= 2 * error:
        accuracy = (
            f"The accuracies, {first.scores.accuracy:.3f} and {second.scores.accuracy:.3f}, are within twice "
            f"the standard error of their difference, {error:.3f} with so many samples: none shows."
        )
    else:
        accuracy = (
            f"The accuracy of {ahead.name} is higher by {gap:.3f}, more than twice the standard error of the "
            f"difference, {error:.3f} with so many samples."
        )
    ratio = second.result.seconds / first.result.seconds
    return (
        f"{closer.name} comes closer to the real digits here: {closer.scores.frechet_distance:.3g} against "
        f"{other.scores.frechet_distance:.3g}. {accuracy}",
        f"{second.name} has {second.parameters / first.parameters:.2f} times the parameters of {first.name} "
        f"and trained {ratio:.2f} times as long for the same steps. "
        + " ".join(f"{model.name}: {_time(model)}." for model in models),
        f"This is one seed, one small data set and {first.result.step:,} steps. Other seeds change the order "
        "of two numbers that lie close together, and the gain that the paper reports for large networks on "
        "ImageNet after 400,000 steps can be neither confirmed nor refuted here. What it does show is that "
        "the whole way works: composing, training, sampling and judging.",
        "The classifier saw the training digits and judges by what it learned from them. High accuracy means "
        "recognisable digits, not varied ones; the Frechet distance also falls with variety, and depends on "
        "the number of images, so the real digits' own value is no exact floor.",
    )


def _time(model: "Model") -> str:
    return times_in_words({TRAINING: model.result.seconds, **model.result.beside})


def _standard_error(model: "Model") -> float:
    share, count = model.scores.accuracy, model.scores.count
    return math.sqrt(max(share * (1 - share), 1 / count) / count)


def _digits(models: Sequence["Model"], dataset: Dataset) -> tuple[Picture, ...]:
    images, labels = real_digits(dataset, "validation")
    pictures = [
        Picture(
            "Real digits", _png(_by_class(images, labels)), "Held out from all training, a class a column."
        )
    ]
    for model in models:
        drawn = torch.arange(len(model.images)) % CLASSES
        caption = "Samples in the order they were drawn, not chosen, a class a column."
        pictures.append(Picture(model.name, _png(_by_class(model.images, drawn)), caption))
    return tuple(pictures)


def _by_class(images: UInt8[Tensor, "N 1 H W"], labels: Tensor) -> UInt8[Tensor, "n 1 H W"]:
    """The first few of each class, row by row."""
    columns = [images[labels == label][:_SHOWN] for label in range(CLASSES)]
    rows = min(len(column) for column in columns)
    return torch.stack([column[:rows] for column in columns], dim=1).flatten(0, 1)


def _png(images: UInt8[Tensor, "N 1 H W"]) -> bytes:
    # Ink on paper: the data have bright strokes on black.
    return png_bytes(grid(255 - images, columns=CLASSES))


def _curves(models: Sequence["Model"]) -> tuple[Chart, ...]:
    charts = [
        Chart(
            f"{model.name}, velocity error in training",
            "step",
            "mean squared error",
            tuple(
                _curve(model, f"velocity/branch_{branch}", f"branch {branch}")
                for branch in range(1, count_of(model.config.branches) + 1)
            ),
            "Each branch's own error, without its coefficient; the last branch is the model's velocity."
            if count_of(model.config.branches) > 1
            else "The only branch is the model's velocity.",
            smooth=5,
        )
        for model in models
    ]
    last = [
        _curve(model, f"validation/velocity/branch_{count_of(model.config.branches)}", model.name)
        for model in models
    ]
    charts.append(
        Chart(
            "Velocity error on held-out digits",
            "step",
            "mean squared error",
            tuple(last),
            "Last branch of the averaged weights, with the same noise and times at every point and for both.",
        )
    )
    return tuple(charts)


def _curve(model: "Model", key: str, name: str) -> Curve:
    lines = [line for line in model.history if line.get(key) is not None]
    return Curve(name, [line["step"] for line in lines], [line[key] for line in lines])


def _protocol(models: Sequence["Model"], judge: Judge) -> tuple[str, ...]:
    config = models[0].config
    training = config.training
    sampler, guidance = attrs.asdict(config.sampling.sampler), attrs.asdict(config.sampling.guidance)
    low, high = guidance["interval"]
    return (
        f"Both networks have the same backbone, first weights, data order, noise and times. Training: "
        f"{training.steps} steps of {training.batch_size} digits, AdamW with learning rate {training.lr:g}, "
        f"averaged weights (EMA {training.ema:g}), label dropout {config.plan.label_dropout:g}, log-normal "
        f"times. {models[1].name} puts VeRA between two branches of {config.backbone.depth // 2} blocks.",
        f"Samples: Euler-Maruyama, {sampler['steps']} steps evenly from t = 1 to {sampler['last']:g} and "
        f"from there to 0, the last without noise; classifier-free guidance of {guidance['scale']:g} within "
        f"t = {low:g} to {high:g}; {models[0].samples.evaluations:.0f} network evaluations a sample; noise "
        f"of sample i is a function of the seed and i alone.",
        f"Judge: {judge.name}. The digits are those of scikit-learn (8x8, 1,797 images); a fifth of each "
        f"class is held out.",
    )
