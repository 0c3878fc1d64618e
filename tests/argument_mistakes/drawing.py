"""What cannot be drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import thalweg
from argument_mistakes import making
from argument_mistakes.making import FACTS, Mistake, captions, guidance_config, heun_config


def mistakes(folder: Path) -> list[Mistake]:
    """What cannot be drawn."""
    net, reading, blind = making.net(), making.reading(), making.blind()
    config = thalweg.load_config(folder / "recipe.toml")

    def drawn(network: Any = net, **changed: Any) -> Callable[[], Any]:
        given = {"labels": [1, 2], "indices": [0, 1], "sampler": heun_config(2), "compile": "off"}
        return lambda: thalweg.sample(network, **{**given, **changed})

    return [
        Mistake("sample of a path", drawn("runs/first"), "network", "thalweg.load"),
        Mistake("sample of one label", drawn(labels=3), "labels", "3", "sequence"),
        Mistake("sample of a word", drawn(labels="12"), "labels", "'12'"),
        Mistake("sample of float labels", drawn(labels=[1.0, 2.0]), "labels[0]", "1.0", "integer"),
        Mistake(
            "sample of a float tensor", drawn(labels=torch.tensor([1.0, 2.0])), "labels[0]", "1.0", "integer"
        ),
        Mistake("sample of truth values", drawn(labels=[True, False]), "labels[0]", "True", "integer"),
        Mistake("sample of the null class", drawn(labels=[1, 10]), "labels[1]", "10", "0 to 9"),
        Mistake("sample of a negative label", drawn(labels=[1, -1]), "labels[1]", "-1", "0 to 9"),
        Mistake("sample of too few labels", drawn(labels=[1]), "1 label", "2 indices"),
        Mistake("sample by a count", drawn(indices=5), "indices", "5", "range(5)"),
        Mistake("sample of nothing", drawn(labels=[], indices=[]), "indices", "empty"),
        Mistake("sample of float indices", drawn(indices=[0.0, 1.0]), "indices[0]", "0.0", "integer"),
        Mistake("sample of a negative index", drawn(indices=[0, -1]), "indices[1]", "-1"),
        Mistake("sample in no batches", drawn(batch_size=0), "batch_size", "0", "at least 1"),
        Mistake("sample in half batches", drawn(batch_size=2.5), "batch_size", "2.5", "integer"),
        Mistake("sample in true batches", drawn(batch_size=True), "batch_size", "True", "integer"),
        Mistake("sample by a number", drawn(sampler=50), "sampler", "50"),
        Mistake("sample by a class", drawn(sampler=type(config.sampling.sampler)), "sampler", "class"),
        Mistake(
            "sample by half steps", drawn(sampler={"type": "heun", "steps": 2.5}), "sampler.steps", "2.5"
        ),
        Mistake(
            "sample by a config of half steps",
            drawn(sampler=heun_config(2.5)),
            "sampler.steps",
            "2.5",
            "integer",
        ),
        Mistake("sample by a config of a worded steps", drawn(sampler=heun_config("3")), "steps", "3"),
        Mistake(
            "sample by a guidance",
            drawn(sampler=guidance_config()),
            "sampler",
            "ClassifierFreeConfig",
            "a guidance",
        ),
        Mistake("sample by facts", drawn(sampler=FACTS), "sampler", "Facts"),
        Mistake("guided by a number", drawn(guidance=1.8), "guidance", "1.8"),
        Mistake(
            "guided by a word", drawn(guidance={"type": "cfg", "scale": "high"}), "guidance.scale", "high"
        ),
        Mistake(
            "guided without a condition",
            drawn(blind, labels=None, guidance="cfg"),
            "guidance",
            "unconditional",
        ),
        Mistake(
            "guided by a list with a word",
            drawn(guidance=["cfg", {"type": "cfg", "scale": "high"}]),
            "guidance",
            "scale",
            "high",
        ),
        Mistake("guided by a list of lists", drawn(guidance=[["cfg"]]), "guidance", "a list"),
        Mistake("guided by a class", drawn(guidance=type(guidance_config())), "guidance", "the class"),
        Mistake(
            "guided by heads that there are none of",
            drawn(blind, labels=None, guidance="internal"),
            "needs an intermediate head",
            "remove the guidance",
        ),
        Mistake(
            "guided by no network",
            drawn(guidance={"type": "autoguidance", "network": str(folder)}),
            "holds no network",
            str(folder),
        ),
        Mistake("guided without what guides", drawn(guidance="autoguidance"), "guidance.network", "missing"),
        Mistake("sample of a function without a shape", drawn(lambda x, t: x), "shape=(2,)"),
        Mistake(
            "sample of a function of no shape", drawn(lambda x, t: x, shape=(0, 2)), "facts.shape", "(0, 2)"
        ),
        Mistake("sample of another shape", drawn(shape=(4, 8, 8)), "shape", "leave out"),
        Mistake("seeded by a fraction", drawn(seed=0.5), "seed", "0.5", "integer"),
        Mistake("seeded by a generator", drawn(seed=torch.Generator()), "seed", "Generator", "integer"),
        Mistake(
            "sample of caption strings", drawn(reading, labels=None, text=["a", "b"]), "text", "list", "Text"
        ),
        Mistake(
            "sample of too few captions",
            drawn(reading, labels=None, text=captions(1)),
            "1 caption",
            "2 indices",
        ),
        Mistake(
            "sample of other captions",
            drawn(reading, labels=None, text=captions(2, 5, 8)),
            "text.tokens",
            "(2, 5, 8)",
        ),
        Mistake("sample elsewhere", drawn(device="gpu"), "device", "gpu"),
        Mistake("sample on what is not here", drawn(device="cuda:77"), "device", "cuda:77"),
        Mistake("sample along a number", drawn(interpolant=1), "interpolant", "1", "linear"),
        Mistake("sample in a precision", drawn(precision="fp16"), "precision", "fp16", "bf16-mixed"),
        Mistake("sample compiled by True", drawn(compile=True), "compile", "True", "'on'"),
        Mistake("sample with a bar", drawn(progress=True), "progress", "True"),
    ]
