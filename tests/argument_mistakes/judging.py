"""Networks that cannot be loaded, and what cannot be judged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import thalweg
from argument_mistakes import making
from argument_mistakes.making import Mistake


def mistakes(folder: Path) -> list[Mistake]:
    """Networks that cannot be loaded, and what cannot be judged."""
    net, x = making.net(), torch.randn(2, 4, 8, 8)

    def judged(*given: Any, **options: Any) -> Callable[[], Any]:
        return lambda: thalweg.evaluate(*given, **{"work": folder / "work", "device": "cpu", **options})

    return [
        Mistake("a network of a number", lambda: thalweg.load(123), "path", "123"),
        Mistake("a network of none", lambda: thalweg.load(None), "path", "None"),
        Mistake("a network loaded twice", lambda: thalweg.load(net), "path", "FlowNetwork"),
        Mistake("a network that is not there", lambda: thalweg.load(folder / "none"), "holds no network"),
        Mistake(
            "weights by path",
            lambda: thalweg.import_weights("sit", "sit.pt"),
            "state_dict",
            "'sit.pt'",
            "read_foreign",
        ),
        Mistake(
            "weights of a network", lambda: thalweg.import_weights("sit", net), "state_dict", "FlowNetwork"
        ),
        Mistake("weights of numbers", lambda: thalweg.import_weights("sit", {"a": 1}), "state_dict", "'a'"),
        Mistake(
            "weights of a whole checkpoint",
            lambda: thalweg.import_weights("sit", {"ema": {"a": x}, "epoch": 3}),
            "state_dict",
            "'ema'",
            "read_foreign",
        ),
        Mistake(
            "weights with arguments by name",
            lambda: thalweg.import_weights("sit", {"a": x}, args="args"),
            "args",
            "Namespace",
        ),
        Mistake(
            "weights of a strange source",
            lambda: thalweg.import_weights("sitt", {}),
            "sitt",
            "did you mean 'sit'",
        ),
        Mistake(
            "weights of half a head",
            lambda: thalweg.import_weights("sit", {"a": x}, heads=1.5),
            "heads",
            "1.5",
        ),
        Mistake("judging a number", judged(5), "subject", "5"),
        Mistake("judging a network by nothing", judged(net), "nothing to compute", "--metrics"),
        Mistake("judging by a string", judged(folder, metrics="fid"), "metrics", "'fid'", "["),
        Mistake(
            "judging by one setting",
            judged(folder, protocol="quick", settings="count=10"),
            "settings",
            "'count=10'",
            "[",
        ),
        Mistake("judging by half devices", judged(folder, protocol="quick", devices=1.5), "devices", "1.5"),
        Mistake("judging by words", judged(folder, protocol="quick", batch_size="64"), "batch_size", "'64'"),
        Mistake("judging by a number", judged(folder, protocol=4), "protocol", "4"),
        Mistake("judging against a number", judged(folder, protocol="quick", reference=4), "reference", "4"),
        Mistake("judging by a metric of a number", judged(folder, metrics=[5]), "metrics[0]", "5"),
        Mistake(
            "judging by an extractor of a number",
            judged(folder, metrics=["fid"], extractor=5),
            "extractor",
            "5",
        ),
        Mistake("judging into a number", judged(folder, protocol="quick", out=5), "out", "5"),
        Mistake("judging with a bar", judged(folder, protocol="quick", progress=True), "progress", "True"),
        Mistake("judging, saved never", judged(folder, save_seconds=float("nan")), "save_seconds", "nan"),
        Mistake("judging, saved by a word", judged(folder, save_seconds="x"), "save_seconds", "'x'"),
        Mistake("judging and saying no word", judged(folder, say=3), "say", "3"),
        Mistake("a network loaded elsewhere", lambda: thalweg.load(folder, device="gpu"), "device", "gpu"),
        Mistake("judging elsewhere", judged(folder, protocol="quick", device="gpu"), "device", "gpu"),
    ]
