"""The quick start's page: scores, digits, curves, and what they do and do not show."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch

from thalweg.branches import count_of
from thalweg.config import RunConfig
from thalweg.data.grid import grid, png_bytes
from thalweg_eval.evaluation.image_sets.tensor import TensorImages
from thalweg_eval.quickstart.ways import INTERNAL, SCALES
from thalweg_eval.report import Chart, Curve, Page, Picture, Table
from thalweg_eval.report.runs import Run
from thalweg_eval.report.sections import facts_of, machine_in_words, page_of, paragraphs, run_time

CLASSES = 10
SHOWN = 8
"""Rows of a picture, one column a class."""

DISTANCE = "Frechet distance in the features of a small classifier"
REAL = "Real digits"
_ERROR = "mean squared error"


def page(
    results: Mapping[str, Any],
    configs: Sequence[RunConfig],
    runs: Sequence[Run],
    images: Mapping[str, TensorImages],
) -> Page:
    """The page.

    Args:
        results: what ``results.json`` holds.
        configs: of the runs, the baseline first.
        runs: the same, as reports read them.
        images: the real digits and those of each way of sampling, by title.
    """
    passport = results["passport"]
    return page_of(
        "Thalweg quick start",
        "A SiT with a head in its middle, sampled in four ways, and DeepFlow-2T beside it, on the same 8x8 "
        "digits.",
        [
            ("Scores", (_scores(results), *paragraphs(*verdict(results), title="What this shows"))),
            ("Digits", [_picture(title, found) for title, found in images.items()]),
            ("Classifier-free guidance", (_scan(results),)),
            ("Training", _curves(configs, runs)),
            ("How it was made", paragraphs(*_protocol(results, configs))),
        ],
        (
            *facts_of([passport["made"]], [machine_in_words(passport["machine"])], passport["software"]),
            ("Seed", str(results["settings"]["seed"])),
            ("Time in all", f"{results['seconds']:.0f} s"),
        ),
    )


def _scores(results: Mapping[str, Any]) -> Table:
    columns = ("name", "nfe", "fd", "recall", "accuracy", "samples")
    rows = [tuple(way[column] for column in columns) for way in results["ways"]]
    real = tuple(results["real"].get(column) for column in columns[2:])
    return Table(
        "",
        ("", "NFE a sample", "Frechet distance", "recall", "accuracy", "images"),
        (*rows, ("held-out real digits", None, *real)),
        f"{DISTANCE}, to the training digits; not an FID, and comparable within this table alone. Recall: "
        "share of the training digits that lie among the samples in these features. Accuracy: share of "
        "samples that the classifier takes for the digit they were generated for.",
        best=(None, None, "min", "max", "max", None),
        reference=(len(rows),),
    )


def verdict(results: Mapping[str, Any]) -> tuple[str, ...]:
    """What the numbers say, whichever wins."""
    sit, free, internal, both, deep, deep_internal = results["ways"]
    nearest = min(results["ways"], key=lambda way: way["fd"])
    first, second = results["networks"]
    times = " ".join(f"{run_time(one['name'], one['seconds'], one['beside'])}." for one in (first, second))
    return (
        f"{nearest['name']} comes nearest to the real digits here: {nearest['fd']:.3g}, at "
        f"{nearest['nfe']:g} network evaluations a sample.",
        f"Internal guidance reads both heads in one pass. {_against(internal, sit)} "
        f"{_against(internal, free)} With both together: {_against(both, free)}",
        f"{_against(deep, sit)} {_against(deep_internal, deep)} DeepFlow-2T has "
        f"{second['parameters'] / first['parameters']:.2f} times the parameters of SiT and trained "
        f"{second['seconds'] / first['seconds']:.2f} times as long for the same steps. {times}",
        f"With {sit['samples']:,} samples an accuracy has a standard error of about {_error(sit):.3f}. This "
        f"is one seed, one small data set and {first['steps']:,} steps: other seeds change the order of "
        "numbers that are close together.",
        "The classifier was trained on the training digits, and scores by what it learned from them. High "
        "accuracy means recognisable digits, not varied ones; the Frechet distance also falls with variety, "
        "and depends on the number of images, so that of the real digits is no exact floor.",
    )


def _against(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    distance, recall = one["fd"] - other["fd"], one["recall"] - other["recall"]
    nearer = "nearer" if distance < 0 else "further away"
    return (
        f"{one['name']} against {other['name']}: {abs(distance):.2g} {nearer} ({one['fd']:.3g} and "
        f"{other['fd']:.3g}), recall {recall:+.3f}, accuracy {one['accuracy'] - other['accuracy']:+.3f}, "
        f"{one['nfe'] / other['nfe']:.2g} times the evaluations."
    )


def _error(way: Mapping[str, Any]) -> float:
    share, count = way["accuracy"], way["samples"]
    return math.sqrt(max(share * (1 - share), 1 / count) / count)


def _picture(title: str, images: TensorImages) -> Picture:
    """The first few of each class, a class a column."""
    piece = images.read(0, len(images))
    columns = [piece.images[piece.labels == label][:SHOWN] for label in range(CLASSES)]
    rows = min(map(len, columns))
    chosen = torch.stack([column[:rows] for column in columns], dim=1).flatten(0, 1)
    of = "Held out from all training" if title == REAL else "In the order they were generated, not chosen"
    # Ink on paper: the data have bright strokes on black.
    return Picture(title, png_bytes(grid(255 - chosen, columns=CLASSES)), f"{of}, a class a column.")


def _scan(results: Mapping[str, Any]) -> Chart:
    scan = results["scan"]
    curve = Curve("SiT", [one["scale"] for one in scan], [one["fd"] for one in scan])
    return Chart(
        "Distance over the scale",
        "scale",
        "Frechet distance",
        (curve,),
        "On samples of another seed than those in the table; the best scale is the one in the table.",
    )


def _curves(configs: Sequence[RunConfig], runs: Sequence[Run]) -> list[Chart]:
    charts = []
    for config, run in zip(configs, runs, strict=True):
        numbers = {f"branch {one}": f"branch_{one}" for one in range(1, count_of(config.branches) + 1)}
        numbers |= {f"head after {depth}": f"head_{depth}" for depth in config.heads}
        curves = [
            attrs.evolve(run.over("step", f"velocity/{number}"), name=name)
            for name, number in numbers.items()
        ]
        caption = "Each head's own error, without its coefficient; the last branch is the model's velocity."
        title = f"{run.name}, velocity error in training"
        charts.append(Chart(title, "step", _ERROR, tuple(curves), caption, smooth=5))
    held_out = Chart(
        "Velocity error on held-out digits",
        "step",
        _ERROR,
        tuple(run.over("step", run.velocity("validation/")) for run in runs),
        "Last branch of the EMA weights, with the same noise and times at every point and for both.",
    )
    return [*charts, held_out]


def _protocol(results: Mapping[str, Any], configs: Sequence[RunConfig]) -> tuple[str, ...]:
    config, training = configs[0], configs[0].training
    sampler = config.sampling.sampler
    (head,) = config.heads
    extractors = {number["extractor"] for number in results["passport"]["numbers"].values()}
    return (
        f"Both networks have the same backbone, first weights, data order, noise and times. Training: "
        f"{training.steps} steps of {training.batch_size} digits, AdamW with learning rate "
        f"{training.optimizer.lr:g}, EMA weights (decay {training.average.decay:g}), condition dropout "
        f"{training.condition_dropout:g}, logit-normal times. {configs[1].name} puts VeRA between two "
        f"branches of {config.backbone.depth // 2} blocks. SiT's head after block {head} reads detached "
        "tokens: the network is the one that would have been trained without it.",
        f"Samples: Euler-Maruyama, {sampler.steps} steps, evenly from t = 1 to {sampler.last:g} and "
        f"from there to 0, the last without noise; noise of sample i is a function of the seed and i alone, "
        f"so all ways begin alike. Internal guidance: w(t) = 1 + {INTERNAL['strength']:g} (w*(t) - 1), where "
        "w* gives the velocity the least error on training data; the factor was fixed beforehand. Classifier-"
        f"free guidance: the best of {', '.join(f'{one:g}' for one in SCALES)}, by samples of another seed.",
        f"Scores: {', '.join(sorted(extractors))}. The digits are those of scikit-learn (8x8, 1,797 "
        f"images); a fifth of each class is held out.",
    )
