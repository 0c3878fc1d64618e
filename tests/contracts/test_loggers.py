"""Every logger takes numbers and pictures and writes within the run directory alone."""

import pytest
from PIL import Image

from contracts.catalogue import names
from thalweg.config import component

EVERY = pytest.mark.parametrize("name", names("logger"))


@EVERY
def test_numbers_and_pictures_are_written_in_the_run_directory(name, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    picture = tmp_path / "grid.png"
    Image.new("L", (8, 6), 128).save(picture)
    logger = component("logger", name).build(run)
    logger.log(1, {"loss": 0.5, "velocity/branch_1": 0.25})
    logger.log(2, {"loss": 0.4})
    logger.image(2, "samples", picture)
    logger.close()
    written = [path for path in run.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in written) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid.png", "run"]
