"""``.npz`` files of images: bit for bit, row by row, nothing unpickled."""

import zipfile

import numpy as np
import pytest
import torch

from evaluated import npz, pictures
from thalweg.errors import DataError
from thalweg.image_sets.images import Piece
from thalweg.image_sets.npz import NpzImages, read_array, write_images


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_rows_are_read_bit_for_bit_in_any_order(tmp_path, write):
    stored = pictures(23, (5, 7, 3))
    write(tmp_path / "x.npz", arr_0=stored, arr_1=np.arange(23) % 4)
    images = NpzImages(tmp_path / "x.npz")
    assert (len(images), images.shape, images.classes) == (23, (3, 5, 7), 4)
    for start, stop in [(20, 23), (0, 6), (6, 20), (3, 4)]:
        piece = images.read(start, stop)
        assert np.array_equal(piece.images.permute(0, 2, 3, 1).numpy(), stored[start:stop])
        assert piece.labels.tolist() == [index % 4 for index in range(start, stop)]


@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_written_piece_by_piece_is_what_numpy_reads(tmp_path, labelled):
    stored = torch.from_numpy(pictures(20, (6, 4, 3))).permute(0, 3, 1, 2).contiguous()
    labels = torch.arange(20) % 3
    pieces = [
        Piece(stored[start : start + 7], labels[start : start + 7] if labelled else None)
        for start in range(0, 20, 7)
    ]
    write_images(tmp_path / "x.npz", (3, 6, 4), 20, pieces)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as found:
        assert set(found.files) == ({"arr_0", "arr_1"} if labelled else {"arr_0"})
        assert found["arr_0"].dtype == np.uint8
        assert found["arr_0"].flags.c_contiguous
        assert np.array_equal(found["arr_0"], stored.permute(0, 2, 3, 1).numpy())
    back = NpzImages(tmp_path / "x.npz").read(0, 20)
    assert torch.equal(back.images, stored)
    assert (back.labels is not None) == labelled


def test_arrays_of_any_order_are_read_whole(tmp_path):
    sigma = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    np.savez(tmp_path / "x.npz", sigma=sigma)
    assert np.array_equal(read_array(tmp_path / "x.npz", "sigma"), sigma)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"arr_0": np.zeros((4, 8, 8, 3), np.float32)}, "is float32, and images are uint8"),
        ({"arr_0": np.zeros((4, 3, 8, 8), np.uint8)}, r"has the shape \(4, 3, 8, 8\)"),
        ({"arr_0": np.zeros((8, 8, 3), np.uint8)}, r"has the shape \(8, 8, 3\)"),
        ({"images": np.zeros((4, 8, 8, 3), np.uint8)}, "has no arr_0; it has images"),
        ({"arr_0": np.zeros((4, 8, 8, 3), np.uint8), "arr_1": np.zeros(3, np.int64)}, "not 4 whole numbers"),
        ({"arr_0": np.zeros((4, 8, 8, 3), np.uint8), "arr_1": np.zeros(4)}, "not 4 whole numbers"),
        ({"arr_0": np.asfortranarray(np.ones((4, 8, 8, 3), np.uint8))}, "Fortran"),
    ],
)
def test_what_is_no_set_of_images_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        NpzImages(tmp_path / "x.npz")


def test_python_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    np.savez(tmp_path / "x.npz", arr_0=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="Python objects"):
        NpzImages(tmp_path / "x.npz")


def test_files_that_are_damaged_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.npz does not exist"):
        NpzImages(tmp_path / "gone.npz")
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(DataError, match=r"text\.npz is no \.npz"):
        NpzImages(tmp_path / "text.npz")
    whole = npz(tmp_path / "whole.npz", 40).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.npz is no \.npz"):
        NpzImages(tmp_path / "cut.npz")


def test_damaged_rows_are_found(tmp_path):
    path = npz(tmp_path / "x.npz", 40)
    content = bytearray(path.read_bytes())
    content[1200] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz is damaged"):
        NpzImages(path).read(0, 40)


def test_a_short_member_is_named(tmp_path):
    path = npz(tmp_path / "x.npz", 40)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("arr_0.npy")
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("arr_0.npy", content[:-100])
    with pytest.raises(DataError, match="ends before image 39"):
        NpzImages(tmp_path / "short.npz").read(30, 40)
