"""Draws for held-out captions; beside each sample stand the real image of its caption and the nearest one
that was trained on.

python docs/results/emoji-t2i/neighbours.py RUN OUT.png
"""

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import thalweg
from thalweg.config import component, load_config
from thalweg.plugins import build_component
from thalweg.randomness import generator

COUNT, EDGE, LABEL, ROWS = 20, 96, 150, ("drawn", "its caption's", "nearest trained on")


def main(run: Path, out: Path) -> None:
    """Write the picture."""
    config = load_config(run / "config.toml")
    data = build_component(config.data)
    extractor = component("vision_encoder", "lite0").build(data.facts)
    chosen = [place * len(data.validation) // COUNT for place in range(COUNT)]
    held = data.validation.batch(chosen, generator(0, "shown"))
    captions = data.validation.captions(chosen, generator(0, "shown"))
    trained = data.images(data.train.batch(range(len(data.train)), generator(0, "shown")).clean)
    drawn = data.images(
        thalweg.sample(
            thalweg.load(run),
            labels=None,
            indices=range(COUNT),
            sampler={"type": "euler_maruyama", "steps": 50},
            guidance={"type": "cfg", "scale": 3.0},
            text=held.condition.text,
        ).x
    )
    seen = torch.cat([extractor(part).pooled for part in trained.split(256)])
    nearest = torch.cdist(extractor(drawn).pooled, seen).argmin(1)
    images = torch.stack([drawn, data.images(held.clean), trained[nearest]], 1)
    picture = Image.new("RGB", (LABEL + 3 * EDGE, 24 + COUNT * EDGE), "white")
    pen = ImageDraw.Draw(picture)
    for column, name in enumerate(ROWS):
        pen.text((LABEL + column * EDGE + 2, 6), name, "black")
    for row, (caption, triple) in enumerate(zip(captions, images, strict=True)):
        top = 24 + row * EDGE
        pen.multiline_text((4, top + 30), caption.replace(", ", ",\n"), "black")
        for column, image in enumerate(triple):
            pixels = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(
                (EDGE - 4, EDGE - 4), Image.NEAREST
            )
            picture.paste(pixels, (LABEL + column * EDGE, top + 2))
    picture.save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
