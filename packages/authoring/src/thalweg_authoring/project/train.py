"""Trains recipe.toml, or resumes its training: ``python train.py``, or on many devices

    fabric run --devices=8 train.py training.batch_size=1024

Words behind the script's name change keys of the recipe.
"""

import sys
from pathlib import Path

import thalweg


def main() -> int:
    """Train; 0 when the run is complete, 75 when it was stopped and the same command resumes."""
    here = Path(__file__).parent
    config = thalweg.load_config(here / "recipe.toml", sys.argv[1:])
    result = thalweg.Trainer(config, here / "runs" / config.name).train()
    return 75 if result.interrupted else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except thalweg.ThalwegError as error:
        sys.exit(f"error: {error}")
