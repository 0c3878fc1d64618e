"""An analysis from beginning to end: a trained network, its data, and what is written of them."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from thalweg.arguments import AT_ONCE, SAMPLES, SEED, Integers, check_instance, check_path
from thalweg.config import component
from thalweg.devices import devices_of
from thalweg.documents import states_format, write_document
from thalweg.errors import ConfigError, DataError
from thalweg.folders import check_writable
from thalweg.generation.models import data_of, is_run, model_at
from thalweg.jobs.tasks import Progress
from thalweg.loading import load
from thalweg.network import FlowNetwork
from thalweg.objects import is_object
from thalweg.plugins import build_component
from thalweg.protocols import Dataset
from thalweg.storage import redacted
from thalweg.storage.places import check_folder, local_path
from thalweg.tensor_files import tensors_sha256
from thalweg_eval.analysis.measure import AnalysisSettings, measure
from thalweg_eval.analysis.page import page
from thalweg_eval.analysis.similarity import FEWEST
from thalweg_eval.evaluation.provenance import machine, software
from thalweg_eval.report import write

RESULTS, REPORT = "results.json", "report.html"
_FORMAT, _VERSION = "thalweg-analysis", 1
_LARGEST = 256 * 2**20  # bytes of results
_SAMPLES, _AT_ONCE = Integers(FEWEST, SAMPLES.high), Integers(FEWEST, AT_ONCE.high)


def analyse(
    subject: str | Path | FlowNetwork,
    out: str | Path,
    *,
    data: Any = None,
    samples: int = AnalysisSettings().samples,
    seed: int = AnalysisSettings().seed,
    batch_size: int = AnalysisSettings().batch_size,
    device: str = "auto",
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Measure what a trained network is like inside, and write results and a page.

    Args:
        subject: a run, a checkpoint or a saved network, of which the EMA weights are taken; or a network in
            memory, as it is.
        out: the folder that gets ``results.json`` and ``report.html``; those of an earlier analysis are
            replaced.
        data: a recipe or a run, whose data set is meant; or a data set. The run's own by default.
        samples: how many held-out samples, and as many training samples to fit linear maps on.
        seed: of samples, times and noise.
        batch_size: samples at a time; CKA is of kernels of so many.
        device: where the network runs; ``auto`` takes an accelerator where there is one. A network in memory
            stays where it is with ``auto``.
        progress: called with ``samples``, how many are done, and how many there are.

    Returns:
        What ``results.json`` holds.

    Raises:
        ConfigError: an argument is wrong, the data are not named, or not what the network was trained on.
        DataError: the network or data are missing, damaged or too few.
        ThalwegError: the results cannot be written.
    """
    if not isinstance(subject, FlowNetwork):
        check_instance("subject", subject, (str, Path), "a run, a saved network, or a FlowNetwork")
    check_path("out", out, "the folder of the results")
    settings = AnalysisSettings(
        samples=_SAMPLES.check("samples", samples),
        seed=SEED.check("seed", seed),
        batch_size=_AT_ONCE.check("batch_size", batch_size),
    )
    folder = local_path(out, "out")
    check_out(folder)
    (home,) = devices_of(device)
    begun = time.perf_counter()
    network, identity, own = _opened(subject, home)
    dataset = _data(data, own, subject)
    place = None if isinstance(subject, FlowNetwork) and device == "auto" else home
    check_writable(folder / RESULTS, folder / REPORT)
    measured = measure(network, dataset, settings, device=place, progress=progress)
    where = str(next(network.parameters(), torch.empty(0)).device)
    results = {
        "format": _FORMAT,
        "version": _VERSION,
        "network": identity,
        "data": {"identity": dataset.identity, **measured.pop("counts")},
        "settings": {
            "seed": settings.seed,
            "samples": settings.samples,
            "bins": settings.bins,
            "batch_size": settings.batch_size,
        },
        "measured": measured,
        "software": software(),
        "machine": machine(where, 1, time.perf_counter() - begun),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_document(folder / RESULTS, results, sealed=True)
    write(page(results), folder / REPORT)
    return results


def check_out(folder: Path) -> None:
    """Make sure that nothing but an earlier analysis is written over.

    Raises:
        ConfigError: something else is there, or the folder would be called like a file.
    """
    check_folder(folder, "out")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, and results go into a folder; name another one")
    there = [name for name in (RESULTS, REPORT) if (folder / name).exists()]
    if there and not states_format(folder / RESULTS, _FORMAT, _LARGEST):
        raise ConfigError(f"{folder} has {there[0]}, which no analysis wrote; name another folder")


def _opened(subject: str | Path | FlowNetwork, home: str) -> tuple[FlowNetwork, dict[str, Any], Any]:
    """The network, what it is, and its run's data in plain values, if it has any."""
    if isinstance(subject, FlowNetwork):
        tensors = {name: one.cpu() for name, one in subject.state_dict().items()}
        identity: dict[str, Any] = {
            "what": "a network in memory",
            "sha256": tensors_sha256(tensors),
            "step": None,
        }
        return subject, {**identity, **_described(subject)}, None
    model = model_at(subject)
    if model is None:
        what = redacted(str(subject))
        if is_run(subject):
            raise DataError(f"{what} is a run that holds no network yet; train it first")
        raise DataError(f"{what} holds no network; give a run, a checkpoint or a saved network")
    network = load(model.path, device=home)
    identity = {"what": str(subject), "sha256": model.sha256, "step": model.step}
    return network, {**identity, **_described(network)}, model.data


def _described(network: FlowNetwork) -> dict[str, Any]:
    facts = network.facts
    return {
        "composition": network.composition,
        "depth": facts.depth,
        "ends": list(facts.ends),
        "heads": list(facts.head_depths),
        "parameters": sum(one.numel() for one in network.parameters()),
    }


def _data(stated: Any, own: Any, subject: Any) -> Dataset:
    """The data set that is meant."""
    if isinstance(stated, str | Path):
        data = data_of(stated)
        if data is None:
            raise ConfigError(f"{redacted(str(stated))} is neither a recipe nor a run; give one as the data")
    else:
        data = own if stated is None else stated
    if data is None or (isinstance(data, Mapping) and is_object(data)):
        which = "the network in memory" if isinstance(subject, FlowNetwork) else redacted(str(subject))
        raise ConfigError(
            f"{which} names no data set; say what it was trained on, as by --data-of recipes/digits-sit.toml"
        )
    built = build_component(component("dataset", data))
    check_instance("data", built, Dataset, "a recipe, a run or a data set")
    dataset: Dataset = built
    return dataset
