"""What is tortured: a folder with one small thing of every kind, and the commands that make and read them."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from tiny_ablations import AXIS, PROTOCOL
from torture.common import Ended, contents, forked, remove, thalweg

FAST = ("sampling.sampler=euler", "sampling.sampler.steps=2", "features.small_classifier.extractor.steps=2")
DRAW = ("count=12", "batch_size=4", "sampler=euler", "sampler.steps=2", "guidance=none", "--device", "cpu")
ABLATE = (
    *("ablate", "tiny.toml", "--axis", AXIS, "--protocol", "moment.toml"),
    *("--seeds", "1", "--out", "out", "training.steps=2"),
)
TRAIN = ("train", "tiny.toml", "--device", "cpu", "--devices", "1", "--quiet")


@attrs.frozen
class Case:
    """A command and what it leaves.

    Attributes:
        name: for the table.
        arguments: of ``thalweg``, relative to the folder that it works in.
        outs: what it leaves that is compared.
        fresh: whether it needs an interpreter of its own, as it starts its like.
    """

    name: str
    arguments: tuple[str, ...]
    outs: tuple[str, ...]
    fresh: bool = False

    @property
    def task(self) -> Callable[[], int]:
        """The command, for a child."""
        return _executed(*self.arguments) if self.fresh else thalweg(*self.arguments)

    def result(self, folder: Path) -> dict[str, str]:
        """What it has left."""
        return contents(folder, *self.outs)


def _executed(*arguments: str) -> Callable[[], int]:
    def task() -> int:
        os.execv(sys.executable, [sys.executable, "-m", "thalweg", *arguments])

    return task


def _train(*more: str, devices: str = "1", name: str = "train") -> Case:
    arguments = (
        "train",
        "tiny.toml",
        "--run-dir",
        "out",
        "--device",
        "cpu",
        "--devices",
        devices,
        *more,
    )
    outs = ("out/config.toml", "out/metrics.jsonl", "out/model", "out/checkpoints")
    return Case(name, arguments, outs, fresh=devices != "1")


TOLD = ("--heads", "4", "--path", "linear", "--branches-at", "2", "--no-clamp")
IMPORT = ("import", "deepflow", "df.pt", "out", *TOLD)
SCORED = ("--protocol", "quick", "count=40", *FAST, "--device", "cpu", "--batch-size", "8")

CASES = {
    case.name: case
    for case in (
        _train("--quiet"),
        _train("training.checkpoint_every=1", "training.sample_every=3", "--quiet", name="train-often"),
        Case("sample-npz", ("sample", "run", "out.npz", *DRAW), ("out.npz", "out.npz.json")),
        Case("sample-tar", ("sample", "run", "out.tar", *DRAW), ("out.tar", "out.tar.json")),
        Case("sample-png", ("sample", "run", "out", "--png", *DRAW), ("out", "out.json")),
        Case("sample-tensors", ("sample", "run", "out", *DRAW), ("out",)),
        Case(
            "evaluate",
            (
                "evaluate",
                "run",
                *SCORED,
                "--work",
                "work",
                "--out",
                "p.json",
                "--save-reference",
                "r.safetensors",
            ),
            ("p.json", "r.safetensors"),
        ),
        Case(
            "evaluate-npz",
            (
                "evaluate",
                "a.npz",
                "--reference",
                "b.npz",
                "--metrics",
                "frechet_distance,accuracy",
                "--extractor",
                "small_classifier",
                "features.small_classifier.extractor.steps=2",
                "--batch-size",
                "8",
                "--device",
                "cpu",
                "--work",
                "work",
                "--out",
                "p.json",
            ),
            ("p.json",),
        ),
        Case(
            "encode",
            (
                "encode",
                "images",
                "out",
                "--size",
                "8",
                "--autoencoder",
                "sd-vae",
                "--weights",
                "vae",
                "autoencoder.precision=32-true",
                "--batch-size",
                "3",
                "--shard-samples",
                "7",
                "--device",
                "cpu",
                "--devices",
                "1",
            ),
            ("out",),
        ),
        Case(
            "ablate",
            (
                "ablate",
                "tiny.toml",
                "--axis",
                "refiner=none,plain",
                "--protocol",
                "moment.toml",
                "--times",
                "2",
                "--seeds",
                "1",
                "--out",
                "out",
                "training.steps=4",
            ),
            ("out/results.json", "out/table.md", "out/report.html", "out/ablation.json"),
        ),
        Case("import", IMPORT, ("out",)),
        Case("report", ("report", "run", "-o", "out.html"), ("out.html",)),
    )
}

TWO = _train("--quiet", "training.validate_every=0", devices="2", name="train-two")
QUICKSTART = Case(
    "quickstart",
    ("quickstart", "--out", "out", "--steps", "6", "--samples", "20", "--sampler-steps", "2"),
    ("out/results.json",),
)


def make(folder: Path) -> Path:
    """Make the template, once; children of this process read it only.

    Raises:
        RuntimeError: if a command fails that must work.
    """
    import torch

    torch.set_num_threads(1)
    remove(folder)
    folder.mkdir(parents=True)
    _inputs(folder)
    for arguments in (
        (*TRAIN, "--run-dir", "run", "training.sample_every=3"),
        (
            "evaluate",
            "run",
            *SCORED,
            "--work",
            "work",
            "--out",
            "run/passport.json",
            "--save-reference",
            "reference.safetensors",
        ),
        (
            "encode",
            "images",
            "shards",
            "--size",
            "8",
            "--autoencoder",
            "identity",
            "--shard-samples",
            "7",
            "--device",
            "cpu",
            "--devices",
            "1",
        ),
        ("sample", "run", "drawn.npz", *DRAW),
        ("sample", "run", "drawn", *DRAW),
    ):
        expect(forked(thalweg(*arguments), folder, 120), arguments)
    remove(folder / "cache")
    remove(folder / "work")
    return folder


def _inputs(folder: Path) -> None:
    import torch

    from autoencoder_makers import write_sd_vae
    from evaluated import npz
    from golden_files import golden
    from image_makers import captioned_folder, idx_folder, image_folder, image_tars
    from thalweg.config import to_toml
    from tiny_runs import recipe

    recipe(folder)
    (folder / "moment.toml").write_text(to_toml(PROTOCOL))
    image_folder(folder / "images", each=10, edge=12)
    image_tars(folder / "tars")
    idx_folder(folder / "idx", zipped=False)
    captioned_folder(folder / "captioned", count=4)
    captioned_folder(folder / "coco", count=4, layout="coco")
    npz(folder / "a.npz", 30)
    npz(folder / "b.npz", 30, seed=1)
    write_sd_vae(folder / "vae")
    weights = golden("deepflow_2t").weights
    torch.save(
        {"model": {}, "ema": {f"module.{name}": one for name, one in weights.items()}}, folder / "df.pt"
    )
    # Evaluates a run whose own data set was moved away: what is compared is what the recipe names.
    (folder / "prompts.txt").write_text("a cat\na dog\n")
    (folder / "stated.json").write_text(json.dumps({"one": 1}))


def expect(ended: Ended, arguments: tuple[str, ...]) -> None:
    """Make sure that a command went well that has no reason not to."""
    if ended.code != 0:
        raise RuntimeError(f"thalweg {' '.join(arguments)} ended with {ended.code}: {ended.out}\n{ended.err}")


def whole(template: Path, scratch: Path, case: Case, timeout: float = 120) -> dict[str, str]:
    """What a case leaves that nothing disturbs."""
    place = scratch / "whole"
    remove(place)
    shutil.copytree(template, place, symlinks=True)
    try:
        expect(forked(case.task, place, timeout), case.arguments)
        found = case.result(place)
        if not found:
            raise RuntimeError(f"{case.name} left nothing")
        return found
    finally:
        remove(place)


def preload() -> None:
    """Import here what every child would, once."""
    import importlib

    for name in (
        "thalweg",
        "thalweg.cli.main",
        "thalweg_backbones.encoding",
        "thalweg_eval.evaluation.evaluate",
        "thalweg.generation.generate",
        "thalweg.training.trainer",
        "thalweg_eval.report",
        "thalweg_eval.report.run_page",
        "thalweg_eval.ablation.running",
        "thalweg_backbones.importers.importing",
        "thalweg_backbones.exporters.exporting",
        "thalweg.saved_network",
        "thalweg_eval.quickstart.flow",
        "scipy.linalg",
        "PIL.Image",
        "safetensors.torch",
        "numpy",
        "thalweg_backbones",
        "thalweg_authoring",
        "thalweg_eval",
        "thalweg_refiners",
        "thalweg_samplers",
        "fsspec",
    ):
        importlib.import_module(name)
    from thalweg.plugins import registry

    registry()
    sys.stdout.flush()
