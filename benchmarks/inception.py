"""Inception's features, images a second: against torch-fidelity's network with the same weights in float32.

The weights are random, in the real layout, unless a file is given: speed does not depend on them.
"""

from common import Verdict, alternately  # isort: skip

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from inception_maker import LAYERS, pictures, random_inception
from thalweg.facts import Facts
from thalweg_backbones.vision.inception import InceptionConfig

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

FASTER, SAME = 1.3, 1e-4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    verdict = Verdict()
    images = pictures(options.images, seed=0, side=256)
    with tempfile.TemporaryDirectory() as scratch:
        path = options.weights or Path(scratch) / "random.pth"
        if options.weights is None:
            random_inception(path)
        ours = InceptionConfig(weights=str(path), sha256="").build(Facts(shape=(3, 256, 256)))
        theirs = FeatureExtractorInceptionV3("x", LAYERS, feature_extractor_weights_path=str(path))
    with torch.no_grad():
        expected = dict(zip(LAYERS, theirs(images), strict=True))
        found = ours(images)
        for name, seen in (("2048", found.pooled), ("logits_unbiased", found.logits)):
            assert seen is not None
            difference = float((seen - expected[name]).abs().max() / expected[name].abs().max())
            verdict.at_most(f"difference of {name}, of the largest", difference, SAME)
        seconds = alternately(
            {"ours": lambda: ours(images), "theirs": lambda: theirs(images)}, options.rounds
        )
    print(", ".join(f"{name} {options.images / taken:.1f} images/s" for name, taken in seconds.items()))
    verdict.at_least("times torch-fidelity's rate", seconds["theirs"] / seconds["ours"], FASTER)
    verdict.exit()


if __name__ == "__main__":
    main()
