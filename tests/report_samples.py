"""A report with everything that reports hold, as realistic as digits and made-up curves make it."""

import io
import json
import math

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from thalweg.config import recorded_text
from thalweg.passport import Passport
from thalweg_eval.report import Chart, Curve, Page, Paragraphs, Picture, Section, Table


def digit_grid(first: int) -> bytes:
    """A PNG of 6 rows of 10 digits, 8 x 8 pixels each with 1 pixel between, from the given one on."""
    tiles = 16 - load_digits().images[first : first + 60]
    grid = np.full((6 * 9 + 1, 10 * 9 + 1), 16.0)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, 10)
        grid[row * 9 + 1 : row * 9 + 9, column * 9 + 1 : column * 9 + 9] = tile
    buffer = io.BytesIO()
    Image.fromarray((grid / 16 * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def loss_curve(name: str, floor: float, seed: int, steps: int = 3000, every: int = 1) -> Curve:
    """A noisy decay to a floor."""
    noise = np.random.default_rng(seed)
    at = range(every, steps + 1, every)
    values = [floor + 0.9 * math.exp(-(step**0.5) / 9) + 0.02 * noise.normal() for step in at]
    return Curve(name, at, values)


def sample_report() -> Page:
    """The report."""
    losses = Chart(
        "Training loss",
        "optimiser step",
        "velocity error, mean square",
        (
            loss_curve("SiT", 0.30, 0),
            loss_curve("DeepFlow-2T, first branch", 0.34, 1),
            loss_curve("DeepFlow-2T, last branch", 0.29, 2),
        ),
        "Every step of both runs. They saw the same batches in the same order with the same noise.",
        smooth=101,
    )
    validation = Chart(
        "Validation loss",
        "optimiser step",
        "velocity error, mean square (logarithmic)",
        (
            loss_curve("SiT", 0.30, 3, every=150),
            loss_curve("DeepFlow-2T, first branch", 0.34, 4, every=150),
            loss_curve("DeepFlow-2T, last branch", 0.29, 5, every=150),
        ),
        "On held-out digits with fixed noise and times; the weights are the moving average.",
        log_y=True,
    )
    scores = Table(
        "Scores",
        ("model", "seed", "parameters", "steps", "seconds", "accuracy", "Frechet distance", "evaluations"),
        (
            ("SiT", "0", 1_234_570, 3000, 62.31, 0.9512, 13.42, 498),
            ("DeepFlow-2T", "0", 1_467_914, 3000, 71.08, 0.9631, 12.97, 498),
            ("real digits", None, None, None, None, 0.9889, 2.318, None),
        ),
        "Accuracy of a small classifier on class-conditional samples, and the Frechet distance in its "
        "features. It is trained on real digits here and is not Inception, so the distance is no FID.",
        best=(None, None, "min", None, "min", "max", "min", None),
        reference=(2,),
    )
    caption = "Sixty digits; in this example real ones stand in for samples."
    findings = Paragraphs(
        "",
        (
            "The model with two branches drew digits that the classifier recognised slightly more often. "
            "One seed each says little: the difference is within what another seed can change.",
            "Both models stay clearly behind real digits in the Frechet distance, which also sees a lack of "
            "variety that accuracy cannot see.",
        ),
    )
    limits = Paragraphs(
        "Scale", ("Digits of 8 × 8 pixels and networks of a million parameters say nothing about ImageNet.",)
    )
    grids = (
        Picture("SiT", digit_grid(0), caption),
        Picture("DeepFlow-2T", digit_grid(60), caption),
        Picture("Real digits", digit_grid(120), "From the training set, for comparison."),
    )
    return Page(
        "DeepFlow and SiT on handwritten digits",
        "Two small flow models, alike but for deep supervision and its refiner, trained on the same data in "
        "the same order and scored by the same classifier.",
        (
            Section("What came out", (findings, scores)),
            Section("How training went", (losses, validation)),
            Section("What they draw", grids),
            Section("What this does not show", (limits,)),
        ),
        (
            ("Date", "2 March 2026, 14:05 UTC"),
            ("Machine", "2 cores, x86-64, no GPU"),
            ("Versions", "thalweg 0.1.0, torch 2.9.1, Python 3.11.2"),
            ("Seed", "0"),
        ),
    )


def a_run(folder, name="SiT", losses=(4.0, 2.0, 1.0), branches=1, pictures=(10, 20, 30), **training):
    """A run's folder as training leaves it."""
    folder.mkdir(parents=True)
    config = {"name": name, "seed": 0, "training": {"steps": 30, "batch_size": 8, **training}}
    (folder / "config.toml").write_text(recorded_text(config))
    lines = [
        {
            "step": 10 * place,
            "seconds": 5.0 * place,
            "loss": loss,
            "images_per_second": 16.0,
            f"velocity/branch_{branches}": loss,
            f"validation/velocity/branch_{branches}": loss,
        }
        for place, loss in enumerate(losses, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "samples").mkdir()
    for step in pictures:
        (folder / "samples" / f"step-{step:06d}.png").write_bytes(digit_grid(0))
    return folder


def a_passport(path, what, value, step, count=100):
    """The passport of an evaluation."""
    Passport(
        numbers={"frechet_distance": {"value": value, "metric": "frechet_distance", "better": "lower"}},
        conditions={"protocol": {"name": "quick"}, "count": count},
        subject={"what": str(what), "step": step},
        protocol={},
        software={"python": "3"},
        machine={},
        made="2026-01-01T00:00:00+00:00",
    ).write(path)
