"""Links at every name that is written or removed: what they point to is never touched."""

import shutil
from collections.abc import Callable
from pathlib import Path

from torture.hostile import EVALUATE, SAMPLE, SHOW, TRAIN, Trial
from torture.workshop import CASES

IN_RUN = {
    **dict.fromkeys(
        (
            "run.lock",
            ".metrics.jsonl.partial",
            ".config.toml.partial",
            "checkpoints/latest",
            "checkpoints/.latest.x.part",
            "checkpoints/.latest.0a1b2c3d.part",
            ".config.toml.0a1b2c3d.part",
            ".metrics.jsonl.0a1b2c3d.part",
        ),
        "file",
    ),
    **dict.fromkeys(
        (
            "samples",
            ".model.partial",
            ".model.partial.former",
            "checkpoints/.partial-x",
            "checkpoints/.partial-step-00000008",
            "checkpoints/.partial-old-step-00000002",
            "checkpoints/step-00000002",
            "checkpoints/step-00000008",
            ".model.0a1b2c3d.part",
            "loggers",
        ),
        "deep",
    ),
}
"""New names of a run, and what of the victim they link to."""

MOVED = (
    "model",
    "checkpoints",
    "checkpoints/step-00000004",
    "checkpoints/step-00000006",
    "metrics.jsonl",
    "config.toml",
    "samples",
    "checkpoints/step-00000006/network.safetensors",
    "model/model.safetensors",
)
"""What somebody has moved to a bigger disk and linked back."""


def _linked(name: str, to: str) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, victim: Path) -> None:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(victim / to)

    return prepare


def _moved(name: str) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, victim: Path) -> None:
        path = folder / "run" / name
        target = victim / path.name
        shutil.move(path, target)
        path.symlink_to(target)

    return prepare


def _dangling(name: str) -> Callable[[Path, Path], None]:
    return _linked(name, "not-there-yet")


def _run_is_link(folder: Path, victim: Path) -> None:
    """The whole run lies elsewhere, as its user has wanted it: training there is meant, and is no harm."""
    shutil.move(folder / "run", folder / "elsewhere")
    (folder / "run").symlink_to(folder / "elsewhere")


def _begun_sample(folder: Path, victim: Path) -> None:
    """The folder of unfinished samples is a link; its name is known once it was made."""
    from torture.common import forked, thalweg

    forked(thalweg(*SAMPLE[:2], "probe.npz", *SAMPLE[3:]), folder)
    # Its name depends on what is drawn alone, so another output's tells it.
    names = [path.name for path in folder.glob("probe*unfinished*")] or ["out.npz.unfinished-51d65933"]
    (folder / names[0].replace("probe", "out")).symlink_to(victim / "deep")


PICTURE_OUTSIDE = b"precious deep/one.png"


def _no_stranger(folder: Path) -> str:
    import base64

    page = folder / "out.html"
    if not page.exists():
        return ""
    content = page.read_bytes()
    there = PICTURE_OUTSIDE in content or base64.b64encode(PICTURE_OUTSIDE)[:24] in content
    return "the report embeds a file from outside of its run" if there else ""


OUTPUTS = {
    "out.npz": SAMPLE,
    "out.npz.json": SAMPLE,
    ".out.npz.0a1b2c3d.part": SAMPLE,
    "out.html": SHOW,
    ".out.html.0a1b2c3d.part": SHOW,
    "p.json": EVALUATE,
    "r.safetensors": CASES["evaluate"].arguments,
    "work/references": EVALUATE,
    "work/unfinished": EVALUATE,
    "out": CASES["import"].arguments,
    "out/shard-00000.safetensors": CASES["encode"].arguments,
    "out/shard-00000.json": CASES["encode"].arguments,
    "out/index.json": CASES["encode"].arguments,
    "out/unfinished.json": CASES["encode"].arguments,
    "out/.shard-00000.safetensors.x.part": CASES["encode"].arguments,
    "out/ablation.json": CASES["ablate"].arguments,
    "out/cells": CASES["ablate"].arguments,
    "out/cells/01": CASES["ablate"].arguments,
    "out/cells/01/seed-0": CASES["ablate"].arguments,
    "out/cells/01/seed-0-seconds.json": CASES["ablate"].arguments,
    "out/results.json": CASES["ablate"].arguments,
}


def trials(_: int) -> list[Trial]:
    """All of them."""
    made = [
        Trial(f"run/{name} links elsewhere", _linked(f"run/{name}", to), (TRAIN, SHOW))
        for name, to in IN_RUN.items()
    ]
    made += [
        Trial(f"run/{name} was moved and linked back", _moved(name), (TRAIN, SHOW, SAMPLE)) for name in MOVED
    ]
    made += [
        Trial(f"run/{name} links to what is not there", _dangling(f"run/{name}"), (TRAIN,))
        for name in (
            "run.lock",
            "samples",
            "metrics.jsonl",
            "model",
            "checkpoints/.partial-x",
            "checkpoints/latest",
        )
    ]
    for name, command in OUTPUTS.items():
        folder = name in (
            "out",
            "work/references",
            "work/unfinished",
            "out/cells",
            "out/cells/01",
            "out/cells/01/seed-0",
        )
        made.append(
            Trial(
                f"{name} links elsewhere", _linked(name, "deep" if folder else "file"), (command,), seconds=60
            )
        )
        if not folder:
            made.append(Trial(f"{name} links to what is not there", _dangling(name), (command,), seconds=60))
    made.append(Trial("unfinished samples link elsewhere", _begun_sample, (SAMPLE,)))
    made.append(Trial("the run's folder is a link", _run_is_link, (TRAIN, SHOW, SAMPLE)))
    pictures = [_linked("run/samples/step-000003.png", "deep/one.png"), _linked("run/samples", "deep")]
    made += [
        Trial(f"the report's pictures link elsewhere {n}", prepare, (SHOW,), afterwards=_no_stranger)
        for n, prepare in enumerate(pictures)
    ]
    return made
