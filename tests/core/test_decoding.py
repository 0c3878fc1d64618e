"""Images from bytes: what they are, and what nobody should be able to do with them."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from image_makers import encoded, pixels
from thalweg.data.decoding import decode
from thalweg.errors import DataError

NOISE = pixels(0, 24, 17)
FORMS = {"png": {}, "jpeg": {"quality": 95}, "webp": {"lossless": True}}


def file_of(image, form="png", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_pixels_come_back(form):
    smooth = np.linspace(0, 255, 24 * 17 * 3).reshape(24, 17, 3).astype(np.uint8)
    image = decode(encoded(smooth, form, **FORMS[form]), "x")
    assert image.shape == smooth.shape
    assert image.flags.writeable
    lossy = 8 if form == "jpeg" else 0
    assert np.abs(image.astype(int) - smooth).max() <= lossy


def test_channels_are_the_files_or_those_asked_for():
    colour, grey = encoded(NOISE), encoded(NOISE[:, :, :1])
    assert np.array_equal(decode(grey, "x"), NOISE[:, :, :1])
    assert np.array_equal(decode(grey, "x", mode="RGB"), NOISE[:, :, [0, 0, 0]])
    luma = NOISE @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decode(colour, "x", mode="L")[:, :, 0] - luma).max() <= 1


def test_transparency_lies_on_white():
    image = np.zeros((2, 2, 4), np.uint8)
    image[0, 0] = (10, 20, 30, 255)
    image[1, 1] = (0, 0, 0, 128)
    found = decode(file_of(Image.fromarray(image)), "x")
    assert found[0, 0].tolist() == [10, 20, 30]
    assert found[0, 1].tolist() == [255, 255, 255]
    assert np.abs(found[1, 1].astype(int) - 127).max() <= 1
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([1, 2, 3, 7, 8, 9])
    palette.putpixel((1, 0), 1)
    assert decode(file_of(palette, transparency=1), "x")[0].tolist() == [[1, 2, 3], [255, 255, 255]]
    grey = Image.merge("LA", [Image.new("L", (1, 1), 50), Image.new("L", (1, 1), 0)])
    assert decode(file_of(grey), "x").tolist() == [[[255]]]


def test_sixteen_bits_of_grey_are_scaled_not_clipped():
    levels = np.array([[0, 257, 32768, 65535]], np.uint16)
    assert decode(file_of(Image.fromarray(levels)), "x")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_other_modes_become_grey_or_colour():
    assert decode(file_of(Image.new("1", (3, 2), 1)), "x").tolist() == np.full((2, 3, 1), 255).tolist()
    assert decode(file_of(Image.new("CMYK", (3, 2)), "jpeg"), "x").shape == (2, 3, 3)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_off_anywhere_is_refused(form):
    data = encoded(NOISE, form, **FORMS[form])
    whole, refused = decode(data, "x"), 0
    for stop in range(len(data)):
        try:
            # Of the last bytes, which hold no pixel, a decoder may ask nothing.
            assert np.array_equal(decode(data[:stop], "some/name"), whole)
        except DataError:
            refused += 1
    assert refused >= len(data) - 40


@pytest.mark.parametrize("form", ["gif", "tiff", "bmp", "ppm"])
def test_other_types_are_refused_whatever_their_name(form):
    with pytest.raises(DataError, match=r"a\.png begins with .* no jpg, png or webp"):
        decode(encoded(NOISE, form), "a.png")


def test_what_is_no_image_is_refused():
    for data in (b"", b"hello", b"RIFF\0\0\0\0WAVEfmt ", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\0" * 64):
        with pytest.raises(DataError, match="the-name"):
            decode(data, "the-name")


def claiming(width, height):
    """A whole PNG of one row of zeros that claims to be larger."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(min(width, 1000) + 1))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(10_001, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header_alone(size):
    with pytest.raises(DataError, match=rf"x is {size[0]}x{size[1]} pixels, beyond the limit of 100000000"):
        decode(claiming(*size), "x")


def test_the_limit_is_the_callers_and_exact():
    data = encoded(NOISE)
    assert decode(data, "x", limit_pixels=24 * 17).shape == NOISE.shape
    with pytest.raises(DataError, match="beyond the limit of 407"):
        decode(data, "x", limit_pixels=24 * 17 - 1)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255))))
def test_damage_gives_an_image_or_a_data_error(form, changes):
    data = bytearray(encoded(NOISE, form, **FORMS[form]))
    for place, byte in changes:
        data[place % len(data)] = byte
    try:
        image = decode(bytes(data), "x", limit_pixels=1_000_000)
    except DataError:
        return
    assert image.dtype == np.uint8


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PARTS = [
    _chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)),
    _chunk(b"IDAT", zlib.compress(bytes(4 * 13))),
    _chunk(b"IEND", b""),
]


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"tEXt", b"eXIf"])
def test_texts_and_profiles_of_any_length_are_never_unpacked(kind):
    packed = zlib.compress(bytes(64 << 20), 9)
    head = b"a\0\1\0\0\0" if kind == b"iTXt" else b"a\0\0"
    data = b"\x89PNG\r\n\x1a\n" + b"".join([PARTS[0], _chunk(kind, head + packed), *PARTS[1:]])
    tracemalloc.start()
    try:
        assert decode(data, "x").tolist() == np.zeros((4, 4, 3)).tolist()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_profiles_of_other_types_may_be_large():
    profile = bytes(3_000_000)
    for form, options in FORMS.items():
        assert decode(encoded(NOISE, form, icc_profile=profile, **options), "x").shape == NOISE.shape


def test_the_pixels_of_a_png_are_checked_as_before():
    """Damage within a chunk that pixels depend on is seen by its checksum, as is a chunk without an end."""
    good = b"\x89PNG\r\n\x1a\n" + b"".join([PARTS[0], _chunk(b"tEXt", b"a\0b"), *PARTS[1:]])
    for place in (good.index(b"IHDR") + 8, good.index(b"IDAT") + 6):
        damaged = bytearray(good)
        damaged[place] ^= 1
        with pytest.raises(DataError, match="damaged or cut off"):
            decode(bytes(damaged), "x")
    endless = good.replace(struct.pack(">I", 3) + b"tEXt", struct.pack(">I", 2**31 - 1) + b"tEXt")
    with pytest.raises(DataError, match="damaged or cut off"):
        decode(endless, "x")


def test_of_an_animated_png_it_is_the_first_frame():
    frames = [Image.fromarray(pixels(number)) for number in range(3)]
    data = file_of(frames[0], save_all=True, append_images=frames[1:])
    assert b"acTL" in data
    assert np.array_equal(decode(data, "x"), pixels(0))
