"""The quick start from beginning to end: networks trained, sampled in several ways, scored and shown."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import torch
from torch import Tensor

from thalweg.arguments import SAMPLES, SEED, STEPS, Integers
from thalweg.calibrating import calibrate
from thalweg.cli.progress import ProgressDisplay
from thalweg.config import RunConfig, load_config
from thalweg.documents import write_document, write_text
from thalweg.folders import clear_leftovers, refuse_links
from thalweg.loading import load
from thalweg.network import FlowNetwork
from thalweg.passport import Passport
from thalweg.sampling import sample
from thalweg.storage.places import check_folder, local_path
from thalweg.training.trainer import Trainer
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.evaluation.evaluate import evaluate
from thalweg_eval.evaluation.image_sets.tensor import TensorImages
from thalweg_eval.quickstart.page import CLASSES, REAL, SHOWN, page
from thalweg_eval.quickstart.ways import SCALES, GuidedNetwork, cfg, ways
from thalweg_eval.report import render
from thalweg_eval.report.runs import read_runs

ABLATION = Path(__file__).with_name("quickstart.toml")
PROTOCOL = "signals"
RESULTS, REPORT = "results.json", "report.html"
_EXTRACTOR = "_small_classifier"


@attrs.frozen
class Settings:
    """How much is trained and sampled; the defaults take less than five minutes on two cores.

    Attributes:
        steps: optimiser steps of each network.
        samples: of each way of sampling, the classes in turn.
        sampler_steps: of the SDE.
        seed: of weights, data order, training noise, samples and the classifier that scores.
    """

    steps: int = attrs.field(default=400, validator=STEPS)
    samples: int = attrs.field(default=500, validator=Integers(CLASSES, SAMPLES.high))
    sampler_steps: int = attrs.field(default=50, validator=Integers(2, 100_000))
    seed: int = attrs.field(default=0, validator=Integers(0, SEED.high - 1))


def configs(settings: Settings) -> dict[str, RunConfig]:
    """The run of each network, by name: the baseline first."""
    changes = (
        f"seed={settings.seed}",
        f"training.steps={settings.steps}",
        f"sampling.sampler.steps={settings.sampler_steps}",
        f"sampling.count={settings.samples}",
        f"sampling.seed={settings.seed}",
    )
    grid = read_ablation(ABLATION, overrides=changes)
    return {cell.name: load_config(grid.recipe, [*grid.overrides, *cell.overrides]) for cell in grid.cells}


def run(out: Path | str, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the quick start into a folder; called again, it resumes where it was interrupted.

    Args:
        out: the folder; gets ``results.json``, ``report.html`` and a run directory for each network.
        settings: how much is trained and sampled.
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
    runs = configs(settings)
    folders = {name: out / name.lower() for name in runs}
    refuse_links(out, *(folder.name for folder in folders.values()))
    trainers = {
        name: Trainer(config, folders[name], accelerator="cpu", devices=1) for name, config in runs.items()
    }
    dataset = trainers["SiT"].components.dataset
    networks = []
    for place, (name, trainer) in enumerate(trainers.items(), start=1):
        say(f"[{place}/5] training {name}: {settings.steps} steps on {len(dataset.train):,} real digits")
        done = trainer.train()
        if done.interrupted:
            raise done.interruption(name)
        networks.append(
            {
                "name": name,
                "parameters": sum(one.numel() for one in trainer.components.network.parameters()),
                "steps": done.step,
                "seconds": round(done.seconds, 2),
                "beside": {what: round(seconds, 2) for what, seconds in done.beside.items()},
                "seed": settings.seed,
            }
        )

    def scored(network: str, guidances: Mapping[str, Sequence[Any]], seed: int) -> Mapping[str, Passport]:
        with ProgressDisplay() as progress:
            return evaluate(
                folders[network],
                protocol=PROTOCOL,
                settings=_protocol(settings, seed),
                compare={name: {"guidance": list(one) or None} for name, one in guidances.items()},
                batch_size=runs[network].sampling.batch_size,
                device="cpu",
                progress=progress,
            )

    say(f"[3/5] classifier-free guidance of SiT at {len(SCALES)} scales, on samples of another seed")
    scan = scored("SiT", {f"{scale:g}": [cfg(scale)] for scale in SCALES}, settings.seed + 1)
    distances = {scale: _numbers(scan[f"{scale:g}"])["fd"] for scale in SCALES}
    chosen = ways(min(distances, key=distances.__getitem__))
    found: dict[str, Passport] = {}
    for place, name in enumerate(runs, start=4):
        mine = [way for way in chosen if way.network == name]
        say(f"[{place}/5] {settings.samples} samples of {name} in {len(mine)} ways")
        found.update(scored(name, {way.name: way.guidance for way in mine}, settings.seed))
    held_out = dataset.validation.batch(range(len(dataset.validation)), torch.Generator())
    real = TensorImages(cast(Tensor, dataset.images(held_out.clean)), held_out.condition.labels)
    of_real = evaluate(
        real,
        reference=folders["SiT"],  # whose training data are meant
        protocol=PROTOCOL,
        settings=[f"count={len(real)}", _classifier(settings)],
        device="cpu",
    )
    results = {
        "networks": networks,
        "ways": [
            {
                "name": way.name,
                "network": way.network,
                "guidance": [dict(one) for one in way.guidance],
                "nfe": found[way.name].subject["nfe"],
                "samples": settings.samples,
                **_numbers(found[way.name]),
            }
            for way in chosen
        ],
        "real": {**_numbers(of_real), "samples": len(real)},
        "scan": [{"scale": scale, "fd": distance} for scale, distance in distances.items()],
        "passport": found["SiT"].plain(),
        "settings": attrs.asdict(settings),
        "seconds": round(time.perf_counter() - begun, 2),
    }
    clear_leftovers(out / RESULTS, out / REPORT)
    write_document(out / RESULTS, results, sealed=True)
    trained = {name: load(folder) for name, folder in folders.items()}
    for network in trained.values():
        if network.calibration is None:
            network.calibration = calibrate(network, dataset)
    shown = {REAL: real, **{way.name: _first(way, trained[way.network], settings, dataset) for way in chosen}}
    report = page(results, list(runs.values()), read_runs(list(folders.values())), shown)
    write_text(out / REPORT, render(report))
    return results


def _protocol(settings: Settings, seed: int) -> list[str]:
    return [
        f"count={settings.samples}",
        f"sampling.sampler.steps={settings.sampler_steps}",
        f"sampling.seed={seed}",
        _classifier(settings),
    ]


def _classifier(settings: Settings) -> str:
    return f"features.small_classifier.extractor.seed={settings.seed}"


def _first(way: GuidedNetwork, network: FlowNetwork, settings: Settings, dataset: Any) -> TensorImages:
    """The first few samples of a way, which are among those that were scored."""
    count = min(settings.samples, CLASSES * SHOWN)
    labels = torch.arange(count) % CLASSES
    samples = sample(
        network,
        labels=labels.tolist(),
        indices=range(count),
        sampler={"type": "euler_maruyama", "steps": settings.sampler_steps},
        guidance=list(way.guidance) or "none",
        seed=settings.seed,
        precision="32-true",
    )
    return TensorImages(cast(Tensor, dataset.images(samples.x)), labels)


def _numbers(passport: Passport) -> dict[str, float]:
    wanted = {"fd", "precision", "recall", "accuracy"}
    named = {name.removesuffix(_EXTRACTOR): number["value"] for name, number in passport.numbers.items()}
    return {name: value for name, value in named.items() if name in wanted}
