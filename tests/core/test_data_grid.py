"""Grids of images: every pixel where it belongs, and no half-written file."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from thalweg.data.grid import grid, save_png
from thalweg.errors import ThalwegError


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_is_where_it_belongs(channels: int) -> None:
    count, columns, scale, gap, height, width = 5, 3, 2, 1, 2, 3
    images = torch.arange(count * channels * height * width, dtype=torch.uint8)
    images = images.view(count, channels, height, width)
    picture = np.asarray(grid(images, columns, scale, gap)).reshape(2 * 5 + 1, 3 * 7 + 1, channels)
    expected = np.full_like(picture, 255)
    for n, c, y, x in np.ndindex(*images.shape):
        top = gap + (n // columns) * (height * scale + gap) + y * scale
        left = gap + (n % columns) * (width * scale + gap) + x * scale
        expected[top : top + scale, left : left + scale, c] = images[n, c, y, x]
    assert np.array_equal(picture, expected)


def test_fewer_images_than_columns_leave_no_empty_columns() -> None:
    assert grid(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), columns=8, gap=0).size == (8, 4)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((0, 1, 2, 2), {}), ((1, 2, 2, 2), {}), ((1, 1, 2, 2), {"columns": 0}), ((1, 1, 2, 2), {"scale": 0})],
)
def test_grids_that_make_no_sense_are_refused(shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"images of 1 or 3|at least 1"):
        grid(torch.zeros(shape, dtype=torch.uint8), **{"columns": 1} | sizes)


def test_a_picture_is_written_whole_over_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    for value in (7, 9):
        picture = grid(torch.full((4, 1, 8, 8), value, dtype=torch.uint8), columns=2)
        save_png(picture, path)
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(picture))
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.png"]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "grid.png"
    path.write_bytes(b"old")
    picture = grid(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), columns=1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ThalwegError, match=r"grid\.png cannot be written \(No space left"):
        save_png(picture, path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.undo()
    with pytest.raises(ThalwegError, match="No such file"):
        save_png(picture, tmp_path / "nowhere" / "grid.png")
