"""The central square, by the rule that ADM's ImageNet numbers rest on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from image_makers import pixels
from thalweg.data.fitting import center_crop
from thalweg.errors import DataError


def halved(image):
    """Means of 2x2 pixels, first along rows, rounded halves up, then along columns."""
    for axis in (1, 0):
        even, odd = (image.take(range(start, image.shape[axis], 2), axis).astype(int) for start in (0, 1))
        image = ((even + odd + 1) // 2).astype(np.uint8)
    return image


def test_powers_of_two_are_averages():
    image = pixels(1, 32, 48)
    assert np.array_equal(center_crop(image, 16), halved(image)[:, 4:20])
    assert np.array_equal(center_crop(image, 8), halved(halved(image))[:, 2:10])


def test_an_image_of_the_size_is_only_cut():
    image = pixels(2, 20, 31)
    assert np.array_equal(center_crop(image, 20), image[:, 5:25])
    assert np.array_equal(center_crop(image[:20, :20], 20), image[:20, :20])


def test_the_rest_is_bicubic_after_halving():
    image = pixels(3, 45, 60)
    # 45 // 2 = 22 is still at least 14, and 22 // 2 = 11 is not.
    small = Image.fromarray(image).resize((30, 22), Image.Resampling.BOX)
    resized = np.array(small.resize((round(30 * 14 / 22), 14), Image.Resampling.BICUBIC))
    assert resized.shape == (14, 19, 3)
    assert np.array_equal(center_crop(image, 14), resized[:, 2:16])


def test_grey_is_one_channel_of_colour():
    image = pixels(4, 21, 30, 1)
    colour = center_crop(image.repeat(3, axis=2), 9)
    assert np.array_equal(center_crop(image, 9), colour[:, :, :1])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.sampled_from([1, 3]))
def test_every_image_becomes_a_square_and_one_colour_stays(height, width, size, channels):
    square = center_crop(np.full((height, width, channels), 77, np.uint8), size)
    assert square.shape == (size, size, channels)
    assert (square == 77).all()


def test_a_thread_of_pixels_is_refused_rather_than_enlarged():
    with pytest.raises(DataError, match=r"thread\.png of 4000000x1 pixels is too long and thin"):
        center_crop(np.zeros((1, 4_000_000, 1), np.uint8), 256, "thread.png")
