"""Damaged files: one mutation each of one file, then the command that reads it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs

from torture import common, stages
from torture.common import (
    HANG,
    Ended,
    Finding,
    bounded,
    contents,
    difference,
    draws,
    forked,
    remove,
    shared_out,
)
from torture.damage import REPLACEMENTS, damage
from torture.workshop import CASES, DRAW, FAST, SCORED, Case

_SHARDS = 'data={type="shards",url="shards",validation=5}'
_READ_REFERENCE = Case(
    "with statistics",
    ("evaluate", "run", "--reference", "reference.safetensors", *SCORED, "--work", "work", "--out", "p.json"),
    ("p.json",),
)
_NOTED = Case(
    "drawn images",
    (
        "evaluate",
        "drawn.npz",
        "--reference",
        "b.npz",
        "--metrics",
        "frechet_distance",
        "--extractor",
        "small_classifier",
        FAST[2],
        "--device",
        "cpu",
        "--work",
        "work",
        "--out",
        "p.json",
    ),
    ("p.json",),
)
_NUMBERS = attrs.evolve(_NOTED, name="images in an npz")
_PROTOCOL = Case(
    "a protocol",
    ("evaluate", "run", "--protocol", "moment.toml", "--device", "cpu", "--work", "work", "--out", "p.json"),
    ("p.json",),
)
_SAMPLE_CHECKPOINT = Case(
    "a checkpoint", ("sample", "run/checkpoints/step-00000006", "out.npz", *DRAW), ("out.npz",)
)
_COMPLETE = Case(
    "a complete run", CASES["train"].arguments, ("out/model", "out/metrics.jsonl", "out/config.toml")
)
_COMPARE = Case("passports", ("compare", "run/passport.json", "run/passport.json", "--json"), ())
_STORED = Case(
    "shards",
    (
        "train",
        "tiny.toml",
        "--run-dir",
        "out",
        "--device",
        "cpu",
        "--devices",
        "1",
        "--quiet",
        "training.steps=2",
        _SHARDS,
    ),
    ("out/model", "out/metrics.jsonl"),
)


def _encode(source: str) -> Case:
    return Case(
        f"images of {source}",
        (
            "encode",
            source,
            "out",
            "--size",
            "6",
            "--autoencoder",
            "identity",
            "--device",
            "cpu",
            "--devices",
            "1",
        ),
        ("out",),
    )


@attrs.frozen
class Target:
    """Files of one kind.

    Attributes:
        kind: for the table.
        stage: the folder that they lie in, as made by :mod:`torture.stages`; empty for the template.
        pattern: which.
        reader: what reads them.
        digest: whether they have a digest, or could have one, as this program writes them itself.
        weight: how many mutations they get.
    """

    kind: str
    stage: str
    pattern: str
    reader: Case
    digest: bool = True
    weight: float = 1.0


TARGETS = (
    Target("recipe", "", "tiny.toml", Case("a recipe", ("config", "show", "tiny.toml"), ()), False),
    Target("protocol", "", "moment.toml", _PROTOCOL, False),
    Target("config.toml of a run", "", "run/config.toml", CASES["sample-npz"], weight=2),
    Target("config.toml, resumed", "training", "out/config.toml", CASES["train-often"]),
    Target("metrics.jsonl, resumed", "training", "out/metrics.jsonl", CASES["train-often"], False),
    Target("metrics.jsonl, shown", "", "run/metrics.jsonl", CASES["report"], False),
    Target("pictures, shown", "", "run/samples/*.png", CASES["report"], False),
    Target("checkpoint's manifest", "training", "out/checkpoints/*/manifest.json", CASES["train-often"]),
    Target(
        "checkpoint's documents",
        "training",
        "out/checkpoints/*/[scm][tod]*.json",
        CASES["train-often"],
        weight=2,
    ),
    Target(
        "checkpoint's tensors", "training", "out/checkpoints/*/*.safetensors", CASES["train-often"], weight=3
    ),
    Target("checkpoint, newest", "training", "out/checkpoints/latest", CASES["train-often"], weight=0.5),
    Target("checkpoint, drawn from", "", "run/checkpoints/step-00000006/*", _SAMPLE_CHECKPOINT, weight=2),
    Target("complete run", "trained", "out/checkpoints/*/*", _COMPLETE),
    Target("model.json", "", "run/model/model.json", CASES["sample-npz"], weight=2),
    Target("model.safetensors", "", "run/model/model.safetensors", CASES["sample-npz"], weight=2),
    Target("passport, shown", "", "run/passport.json", CASES["report"]),
    Target("passport, compared", "", "run/passport.json", _COMPARE),
    Target("reference statistics", "", "reference.safetensors", _READ_REFERENCE, weight=3),
    Target("cached statistics", "referenced", "work/references/*", CASES["evaluate"], weight=2),
    Target("sample blocks", "sampling", "*unfinished*/*.safetensors", CASES["sample-npz"], weight=4),
    Target("evaluation parts", "evaluating", "work/**/*.part.safetensors", CASES["evaluate"], weight=4),
    Target("encode's sidecars", "encoding", "out/shard-*.json", CASES["encode"], weight=2),
    Target("encode's claim", "encoding", "out/unfinished.json", CASES["encode"]),
    Target("encode's shards, resumed", "encoding", "out/shard-*.safetensors", CASES["encode"], weight=2),
    Target("index of shards", "", "shards/index.json", _STORED),
    Target("shards", "", "shards/shard-*.safetensors", _STORED, weight=2),
    Target("npz", "", "drawn.npz", _NUMBERS, weight=2),
    Target("npz's note", "", "drawn.npz.json", _NOTED),
    Target("samples as tensors", "", "drawn/samples.*", Case("drawn", ("evaluate", "drawn"), ()), weight=0.5),
    Target("ablation.json", "ablated", "out/ablation.json", CASES["ablate"]),
    Target("ablation's seconds", "ablated", "out/cells/**/*seconds.json", CASES["ablate"]),
    Target("ablation's passports", "ablated", "out/cells/**/*step-*.json", CASES["ablate"], weight=2),
    Target("ablation's results", "ablated", "out/results.json", CASES["ablate"], weight=0.5),
    Target("ablation's pictures", "ablated", "out/cells/**/*.png", CASES["ablate"], False, weight=0.5),
    Target("ablation's runs", "ablating", "out/cells/**/metrics.jsonl", CASES["ablate"], False, weight=0.5),
    Target(".pt", "", "df.pt", CASES["import"], weight=2),
    Target("PNG", "", "images/**/*.png", _encode("images"), False),
    Target("tar", "", "tars/*.tar", _encode("tars"), False),
    Target("idx", "", "idx/*", _encode("idx"), False),
    Target("captions in text", "", "captioned/*.txt", _encode("captioned"), False, weight=0.5),
    Target("captions of COCO", "", "coco/*.json", _encode("coco"), False),
    Target("autoencoder's weights", "", "vae/*", CASES["encode"], False),
)


def run(template: Path, scratch: Path, seed: int, count: int | None, workers: int) -> list[Finding]:
    """``count`` mutations over all kinds of file."""
    folders = {"": template}
    for name in stages.STAGES:
        folders[name], _ = stages.make(template, scratch, name)
    part = (count or 1000) / sum(one.weight for one in TARGETS)
    tasks = []
    for target in TARGETS:
        if common.only not in target.kind:
            continue
        folder = folders[target.stage]
        files = sorted(path.relative_to(folder) for path in folder.glob(target.pattern) if path.is_file())
        if not files:
            raise RuntimeError(f"nothing matches {target.pattern} in {target.stage or 'the template'}")
        expected = _expected(target, folder, scratch)
        for number in range(max(1, round(target.weight * part))):
            draw = draws(seed, "mutations", target.kind, number)
            tasks.append(partial(_mutated, target, folder, files, expected, draw))
    return shared_out(tasks, scratch, workers)


def _result(reader: Case, place: Path, ended: Ended) -> dict[str, str]:
    # A report of the same run is the same, byte for byte, and numbers are what is damaged.
    if reader is CASES["report"]:
        text = (place / "out.html").read_bytes() if (place / "out.html").exists() else b""
        return {"out.html": hashlib.sha256(text).hexdigest()}
    if reader in (_NOTED, _NUMBERS) and (place / "p.json").is_file():
        # What is evaluated is named by a digest of its bytes; the numbers are what must not change.
        told = json.loads((place / "p.json").read_text())
        numbers = {name: f"{one['value']:.7g}" for name, one in told["numbers"].items()}
        # A note of other bytes is none, which is said; of the same images it says how they were drawn.
        drawn = told["conditions"]["sampling"] if reader is _NOTED else ""
        return {"numbers": json.dumps(numbers), "sampling": json.dumps(drawn)}
    return contents(place, *reader.outs) if reader.outs else {"stdout": ended.out}


def _within(task: Callable[[], int]) -> Callable[[], int]:
    def held() -> int:
        bounded(5.0)
        return task()

    return held


def _expected(target: Target, folder: Path, scratch: Path, without: Path | None = None) -> dict[str, str]:
    place = scratch / ("expected" if without else "scratch")
    remove(place)
    shutil.copytree(folder, place, symlinks=True)
    if without:
        (place / without).unlink()
    found = forked(target.reader.task, place, 120)
    result = _result(target.reader, place, found) if found.code == 0 else {"code": str(found.code)}
    remove(place)
    return result


def _mutated(
    target: Target, folder: Path, files: list[Path], expected: dict[str, str], draw: "object", scratch: Path
) -> list[Finding]:
    place = scratch.parent / scratch.name / "scratch"
    remove(place)
    shutil.copytree(folder, place, symlinks=True)
    try:
        how, name = "", files[0]
        while not how:
            name = draw.choice(files)  # type: ignore[attr-defined]
            how = damage(place / name, draw)  # type: ignore[arg-type]
        found = forked(_within(target.reader.task), place, 2 * HANG)
        checked = _checked(target, place, expected, found)
        if checked.verdict == "SILENT" and how in REPLACEMENTS:
            absent = _expected(target, folder, place.parent, without=name)
            if not difference(absent, _result(target.reader, place, found)):
                checked = Finding("", "taken as absent")
        return [attrs.evolve(checked, case=f"{target.kind}: {how} in {name}")]
    finally:
        remove(place)


def _checked(target: Target, place: Path, expected: dict[str, str], found: Ended) -> Finding:
    if found.unexpected:
        return Finding("", found.unexpected, True, found.said)
    if found.mib > 4096:
        return Finding("", "memory", True, f"{found.mib:.0f} MiB")
    if found.code != 0:
        errors = found.err.count("error:")
        if "code" in expected:
            return Finding("", "refused either way")
        if errors != 1 or found.code not in (1, 2, 3, 4):
            return Finding("", "refused without one sentence", True, f"{found.code} {found.said}")
        return Finding("", "refused")
    if "code" in expected:
        return Finding("", "accepted what is else refused", True)
    differing = difference(expected, _result(target.reader, place, found))
    warned = (
        "warning" in found.err
        or " is damaged" in found.err
        or "ignored" in found.err
        or "left out" in found.err
    )
    if not differing:
        return Finding("", "named, same result" if warned else "harmless")
    if warned:
        return Finding("", "named, other result", False, f"{differing} {found.said}")
    if not target.digest:
        return Finding("", "no digest possible", False, differing)
    return Finding("", "SILENT", True, differing)
