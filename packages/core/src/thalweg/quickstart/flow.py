"""The whole way once: train both networks, draw from them, judge, write results and report."""

import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import torch
from jaxtyping import UInt8
from torch import Tensor

from thalweg.config import RunConfig
from thalweg.documents import write_document, write_text
from thalweg.folders import clear_leftovers, refuse_links
from thalweg.plugins import build_component
from thalweg.protocols import Dataset
from thalweg.quickstart.judging import DISTANCE, Judge, Scores
from thalweg.quickstart.page import page
from thalweg.quickstart.twins import CLASSES, Settings, twins
from thalweg.regular import parse_json, read_text
from thalweg.report import render
from thalweg.sampling import Samples, sample
from thalweg.saved_network import load
from thalweg.storage.places import check_folder, local_path
from thalweg.training.ending import interruption
from thalweg.training.loop import Trainer
from thalweg.training.progress import Bar, Lines, Progress
from thalweg.training.result import TrainingResult

RESULTS, REPORT = "results.json", "report.html"


@attrs.frozen(eq=False)
class Model:
    """One of the two, all done.

    Attributes:
        name: what it is called.
        config: its run.
        parameters: trainable parameters.
        result: of its training.
        history: the lines of its metrics.jsonl.
        samples: what was drawn.
        images: the same as images.
        scores: what the judge says.
    """

    name: str
    config: RunConfig
    parameters: int
    result: TrainingResult
    history: Sequence[dict[str, Any]]
    samples: Samples
    images: UInt8[Tensor, "N 1 H W"]
    scores: Scores


def run(out: Path | str, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the quick start into a folder; called again, it goes on where it was interrupted.

    Args:
        out: the folder; gets ``results.json``, ``report.html`` and a run directory for each network.
        settings: how much is trained and drawn.
        say: shows one line of progress.

    Returns:
        What ``results.json`` holds.

    Raises:
        InterruptionError: Ctrl-C during training.
        PreemptionError: SIGTERM or SIGUSR1 during training.
        ConfigError: the folder holds a quick start with other settings.
    """
    begun, out = time.perf_counter(), local_path(out, "out")
    check_folder(out, "out")
    configs = twins(settings)
    dataset: Dataset = build_component(next(iter(configs.values())).data)
    refuse_links(out, *map(str.lower, configs))
    trainers = {
        name: Trainer(config, out / name.lower(), accelerator="cpu", devices=1)
        for name, config in configs.items()
    }
    trained = {}
    for place, (name, trainer) in enumerate(trainers.items(), start=1):
        say(f"[{place}/5] training {name}: {settings.steps} steps on {len(dataset.train):,} real digits")
        trained[name] = trainer.train()
        if trained[name].interrupted:
            raise interruption(trained[name], name)
    say("[3/5] training the classifier that judges, on real digits")
    judge = Judge(dataset, settings.seed)
    models = []
    for place, (name, trainer) in enumerate(trainers.items(), start=4):
        say(f"[{place}/5] drawing {settings.samples} samples of {name} by {settings.sampler_steps} SDE steps")
        models.append(_finish(name, trainer, trained[name], dataset, judge))
    results = _results(models, judge, settings, time.perf_counter() - begun)
    clear_leftovers(out / RESULTS, out / REPORT)
    write_document(out / RESULTS, results, sealed=True)
    write_text(out / REPORT, render(page(models, judge, dataset, results)))
    return results


def _finish(
    name: str,
    trainer: Trainer,
    result: TrainingResult,
    dataset: Dataset,
    judge: Judge,
) -> Model:
    sampling = trainer.config.sampling
    labels = [index % CLASSES for index in range(sampling.count)]
    bar: Progress = Bar(sampling.count, 0, "drawing") if sys.stderr.isatty() else Lines(sampling.count)
    samples = sample(
        load(result.run_dir),
        labels=labels,
        indices=range(sampling.count),
        sampler=sampling.sampler,
        guidance=sampling.guidance,
        seed=sampling.seed,
        batch_size=sampling.batch_size,
        progress=lambda done, _: bar.step(done, None),
    )
    bar.close()
    images = dataset.images(samples.x)
    if images is None:
        raise TypeError("the quick start's data set holds images")
    lines = read_text(result.run_dir / "metrics.jsonl").splitlines()
    return Model(
        name=name,
        config=trainer.config,
        parameters=sum(parameter.numel() for parameter in trainer.parts.network.parameters()),
        result=result,
        history=[parse_json(line) for line in lines],
        samples=samples,
        images=images,
        scores=judge(images, labels),
    )


def _results(models: Sequence[Model], judge: Judge, settings: Settings, seconds: float) -> dict[str, Any]:
    return {
        "models": [
            {
                "name": model.name,
                "parameters": model.parameters,
                "steps": model.result.step,
                "seconds": round(model.result.seconds, 2),
                "beside": {what: round(seconds, 2) for what, seconds in model.result.beside.items()},
                "accuracy": model.scores.accuracy,
                "frechet_distance": model.scores.frechet_distance,
                "seed": model.config.seed,
                "samples": model.scores.count,
                "network_evaluations_per_sample": model.samples.evaluations,
                "sampling_precision": model.samples.precision,
                "sampling_seconds": round(model.samples.seconds, 2),
            }
            for model in models
        ],
        "real": attrs.asdict(judge.real),
        "judge": {"classifier": judge.name, "frechet_distance": DISTANCE},
        "settings": attrs.asdict(settings),
        "seconds": round(seconds, 2),
        "versions": {
            "thalweg": version("thalweg-core"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
    }
