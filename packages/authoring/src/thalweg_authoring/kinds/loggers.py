"""What a logger keeps: it takes numbers and pictures and writes within the run directory alone."""

import tempfile
from pathlib import Path

import attrs
from PIL import Image

from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject


@rule("logger")
def numbers_and_pictures_are_written_in_the_run_directory(subject: Subject) -> None:
    """Numbers, whose names may hold slashes, and pictures leave something in the run's folder alone."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run, picture = place / "run", place / "grid.png"
        run.mkdir()
        Image.new("L", (8, 6), 128).save(picture)
        logger = attrs.evolve(subject, folder=run).build()
        logger.log(1, {"loss": 0.5, "velocity/branch_1": 0.25})
        logger.log(2, {"loss": 0.4})
        logger.image(2, "samples", picture)
        logger.close()
        beside = sorted(path.name for path in place.iterdir())
        require(beside == ["grid.png", "run"], f"it writes beside the run directory: {', '.join(beside)}")
        written = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        require(written > 0, "nothing is written after close(); flush what was logged")
