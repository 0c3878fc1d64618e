"""Images on their way into a network."""

import numpy as np
import pytest
import torch
from PIL import Image

from inception_maker import pictures
from thalweg.data.pixels import rgb
from thalweg.errors import DataError
from thalweg_backbones.vision.resizing import pil_bicubic


def test_images_that_are_no_bytes_or_no_images_are_refused():
    with pytest.raises(DataError, match="images are of type float32"):
        rgb(torch.rand(1, 3, 8, 8))
    for shape in ((1, 2, 8, 8), (3, 8, 8), (1, 3, 0, 8)):
        with pytest.raises(DataError, match="cannot be looked at"):
            rgb(torch.zeros(shape, dtype=torch.uint8))


def test_grey_images_show_the_same_in_each_channel():
    grey = pictures(2, 0)[:, :1]
    assert torch.equal(rgb(grey), grey.repeat(1, 3, 1, 1))


@pytest.mark.parametrize("side", [16, 224])
def test_the_resize_is_pillows(side):
    (image,) = pictures(1, 0)
    pil = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(pil)).permute(2, 0, 1)
    assert torch.equal(pil_bicubic(image[None], side)[0], expected)


def test_a_crop_keeps_the_aspect_and_the_middle():
    images = pictures(2, 0, side=64)[:, :, :, :32]
    images[:, :, :12], images[:, :, 52:] = 255, 255
    cropped = pil_bicubic(images, 16, crop=True)
    assert cropped.shape == (2, 3, 16, 16)
    pil = Image.fromarray(images[0].permute(1, 2, 0).numpy()).resize((16, 32), Image.Resampling.BICUBIC)
    assert torch.equal(cropped[0].permute(1, 2, 0), torch.from_numpy(np.array(pil)[8:24]))
    assert torch.equal(pil_bicubic(images, 16, crop=True), cropped)
    assert pil_bicubic(images[:0], 16).shape == (0, 3, 16, 16)
