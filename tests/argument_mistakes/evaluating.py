"""Networks that cannot be loaded, and what cannot be evaluated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import thalweg
import thalweg_eval
from argument_mistakes import making
from argument_mistakes.making import Mistake
from thalweg_backbones import import_weights


def mistakes(folder: Path) -> list[Mistake]:
    """Networks that cannot be loaded, and what cannot be evaluated."""
    net, x = making.net(), torch.randn(2, 4, 8, 8)

    def run(*given: Any, **options: Any) -> Callable[[], Any]:
        return lambda: thalweg_eval.evaluate(*given, **{"work": folder / "work", "device": "cpu", **options})

    return [
        Mistake("a network of a number", lambda: thalweg.load(123), "path", "123"),
        Mistake("a network of none", lambda: thalweg.load(None), "path", "None"),
        Mistake("a network loaded twice", lambda: thalweg.load(net), "path", "FlowNetwork"),
        Mistake("a network that is not there", lambda: thalweg.load(folder / "none"), "holds no network"),
        Mistake(
            "weights by path",
            lambda: import_weights("sit", "sit.pt"),
            "state_dict",
            "'sit.pt'",
            "read_foreign",
        ),
        Mistake(
            "weights of a network",
            lambda: import_weights("sit", net),
            "state_dict",
            "FlowNetwork",
        ),
        Mistake(
            "weights of numbers",
            lambda: import_weights("sit", {"a": 1}),
            "state_dict",
            "'a'",
        ),
        Mistake(
            "weights of a whole checkpoint",
            lambda: import_weights("sit", {"ema": {"a": x}, "epoch": 3}),
            "state_dict",
            "'ema'",
            "read_foreign",
        ),
        Mistake(
            "weights with arguments by name",
            lambda: import_weights("sit", {"a": x}, args="args"),
            "args",
            "Namespace",
        ),
        Mistake(
            "weights of a strange source",
            lambda: import_weights("sitt", {}),
            "sitt",
            "did you mean 'sit'",
        ),
        Mistake(
            "weights of half a head",
            lambda: import_weights("sit", {"a": x}, heads=1.5),
            "heads",
            "1.5",
        ),
        Mistake("a number", run(5), "subject", "5"),
        Mistake("a network by nothing", run(net), "nothing to compute", "--metrics"),
        Mistake("by a string", run(folder, metrics="fid"), "metrics", "'fid'", "["),
        Mistake(
            "by one setting",
            run(folder, protocol="quick", settings="count=10"),
            "settings",
            "'count=10'",
            "[",
        ),
        Mistake("by half devices", run(folder, protocol="quick", devices=1.5), "devices", "1.5"),
        Mistake("by words", run(folder, protocol="quick", batch_size="64"), "batch_size", "'64'"),
        Mistake("by a number", run(folder, protocol=4), "protocol", "4"),
        Mistake("against a number", run(folder, protocol="quick", reference=4), "reference", "4"),
        Mistake("by a metric of a number", run(folder, metrics=[5]), "metrics[0]", "5"),
        Mistake(
            "by an extractor of a number",
            run(folder, metrics=["fid"], extractor=5),
            "extractor",
            "5",
        ),
        Mistake("into a number", run(folder, protocol="quick", out=5), "out", "5"),
        Mistake("with a bar", run(folder, protocol="quick", progress=True), "progress", "True"),
        Mistake("saved never", run(folder, save_seconds=float("nan")), "save_seconds", "nan"),
        Mistake("saved by a word", run(folder, save_seconds="x"), "save_seconds", "'x'"),
        Mistake("and saying no word", run(folder, say=3), "say", "3"),
        Mistake("a network loaded elsewhere", lambda: thalweg.load(folder, device="gpu"), "device", "gpu"),
        Mistake("elsewhere", run(folder, protocol="quick", device="gpu"), "device", "gpu"),
    ]
