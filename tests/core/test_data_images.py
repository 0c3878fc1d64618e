"""Training straight from images."""

import attrs
import numpy as np
import pytest
import torch

from image_makers import encoded, idx_folder, image_folder, pixels
from thalweg.config import component
from thalweg.data import pictures
from thalweg.data.fitting import center_crop
from thalweg.data.pixels import from_images, padded, unpadded
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.protocols import Record
from thalweg.randomness import generator


def config(folder, kind="folder", **options):
    return component("dataset", {"type": "images", "source": {"type": kind, "url": str(folder)}, **options})


def read(split, seed=0, indices=None):
    indices = range(len(split)) if indices is None else indices
    return split.batch(list(indices), generator(seed, "test"))


@attrs.frozen(eq=False)
class Listed:
    """A source of somebody else's, with no more than the protocol asks for; counts its reads."""

    records: list[Record]
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    captioned: bool = False
    identity: str = "listed"
    reads: list[int] = attrs.field(factory=list)

    def build(self):
        return self

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        self.reads.append(index)
        return self.records[index]


def listed(count=10, label=lambda number: None, classes=None, **size):
    records = [Record(f"key-{n}", pixels(n, **size), label(n)) for n in range(count)]
    return Listed(records, classes)


def images_of(source, **options):
    from thalweg.data.images import ImagesConfig

    return ImagesConfig(source=source, **options)


def test_samples_are_the_cropped_images_in_minus_one_to_one(tmp_path):
    data = config(image_folder(tmp_path, each=4, edge=21), size=10, validation=0.25).build()
    assert data.facts == Facts(shape=(3, 10, 10), classes=3)
    assert (len(data.train), len(data.validation)) == (9, 3)
    # Of places 0..3 of each class the one in the middle is held out.
    batch = read(data.validation)
    assert batch.condition.labels.tolist() == [0, 1, 2]
    expected = np.stack([center_crop(pixels(number, 21, 21), 10) for number in (2, 6, 10)])
    assert torch.equal(batch.clean, from_images(torch.from_numpy(expected).permute(0, 3, 1, 2)))
    assert torch.equal(data.images(batch.clean), torch.from_numpy(expected).permute(0, 3, 1, 2))


def test_images_of_one_size_need_none_stated_and_may_be_oblong():
    source = listed(6, height=4, width=7)
    data = images_of(source).build()
    assert data.facts == Facts(shape=(3, 4, 7), classes=None)
    assert images_of(source).facts == data.facts
    assert read(data.train).condition.labels is None


def test_another_size_is_an_error_that_names_both():
    source = listed(6)
    source.records[4] = Record("odd", pixels(0, 8, 9))
    with pytest.raises(DataError, match=r"odd is 9x8 pixels, but key-0, the first, is 8x8; bring all to one"):
        read(images_of(source).build().train)
    with pytest.raises(DataError, match=r"odd is 9x8 pixels, but the data set's size is 8x8"):
        read(images_of(source, size=8, crop="none").build().train)
    assert read(images_of(source, size=8).build().train).clean.shape == (5, 3, 8, 8)


def test_grey_and_colour_become_each_other():
    source = listed(4)
    grey = read(images_of(source, channels=1).build().train)
    assert grey.clean.shape == (3, 1, 8, 8)
    luma = pixels(0) @ np.array([0.299, 0.587, 0.114])
    assert np.abs((grey.clean[0, 0].numpy() + 1) * 127.5 - luma).max() <= 1.01
    source = listed(4, channels=1)
    colour = read(images_of(source).build().train).clean
    assert torch.equal(colour[:, :1].expand(-1, 3, -1, -1), colour)


def test_padding_surrounds_and_goes_again(tmp_path):
    idx_folder(tmp_path, edge=6)
    data = config(tmp_path, "idx", channels=1, pad=9, pad_value=255).build()
    assert data.facts == Facts(shape=(1, 9, 9), classes=3)
    clean = read(data.train).clean
    assert (clean[:, :, 0] == 1).all()
    assert (clean[:, :, 7:] == 1).all()
    assert np.array_equal(data.images(clean)[0, 0].numpy(), pixels(0, 6, 6, 1)[:, :, 0])
    image = pixels(3, 5, 4)
    square = torch.from_numpy(padded(image, 8, 7)).permute(2, 0, 1)[None]
    assert torch.equal(unpadded(square, 5, 4)[0].permute(1, 2, 0), torch.from_numpy(image))
    assert (square == 7).sum() >= 3 * (64 - 20)
    with pytest.raises(DataError, match="pad is 5, but the images are 6x6"):
        _ = config(tmp_path, "idx", pad=5).facts
    with pytest.raises(ConfigError, match="pad must be at least size"):
        config(tmp_path, "idx", size=8, pad=5)


def test_flips_are_drawn_at_each_read_for_training_alone():
    source = listed(40)
    plain, turned = images_of(source).build(), images_of(source, flip=True).build()
    straight = read(plain.train).clean
    first, again, other = (read(turned.train, seed).clean for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    kept = (first == straight).flatten(1).all(1)
    mirrored = (first == straight.flip(3)).flatten(1).all(1)
    assert (kept ^ mirrored).all()
    assert 8 < int(mirrored.sum()) < 30
    assert torch.equal(read(plain.validation).clean, read(turned.validation).clean)


def test_what_is_small_is_decoded_once_and_what_is_large_each_time(monkeypatch):
    kept = listed(12, label=lambda number: number % 2, classes=2)
    small = images_of(kept, size=8).build()
    assert kept.reads == []
    first = read(small.train)
    assert sorted(kept.reads) == sorted(set(range(12)) - {6})
    assert torch.equal(read(small.train).clean, first.clean)
    assert len(kept.reads) == 11
    monkeypatch.setattr(pictures, "KEPT_BYTES", 0)
    streamed = listed(12, label=lambda number: number % 2, classes=2)
    large = images_of(streamed, size=8).build()
    for _ in range(2):
        batch = read(large.train)
        assert torch.equal(batch.clean, first.clean)
        assert torch.equal(batch.condition.labels, first.condition.labels)
    assert len(streamed.reads) == 22


def test_only_what_is_asked_for_is_decoded():
    source = listed(12)
    data = images_of(source, size=8).build()
    assert images_of(source, size=8).facts == data.facts
    read(data.train, indices=[3, 3, 1])
    assert sorted(source.reads) == [1, 3]
    with pytest.raises(IndexError):
        read(data.train, indices=[len(data.train)])


def test_another_source_may_be_held_out(tmp_path):
    idx_folder(tmp_path)
    other = {"type": "idx", "url": str(tmp_path), "part": "test"}
    data = config(tmp_path, "idx", channels=1, validation_source=other).build()
    assert (len(data.train), len(data.validation)) == (12, 12)
    assert np.array_equal(data.images(read(data.validation).clean)[3, 0], pixels(103, 6, 6, 1)[:, :, 0])
    folders = [image_folder(tmp_path / name, each=1) for name in ("one", "two")]
    (tmp_path / "two/newt").rename(tmp_path / "two/ape")
    with pytest.raises(DataError, match="name their classes differently, for instance ape"):
        config(folders[0], validation_source={"type": "folder", "url": str(folders[1])}).build()
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat/x.png").write_bytes(encoded(pixels(0)))
    flat = {"type": "folder", "url": str(tmp_path / "flat")}
    with pytest.raises(DataError, match="has 3 classes and the validation source None"):
        config(folders[0], validation_source=flat).build()


def test_a_damaged_image_is_named_in_a_batch(tmp_path):
    image_folder(tmp_path)
    (tmp_path / "dog/005.png").write_bytes(b"no image")
    data = config(tmp_path, size=8).build()
    with pytest.raises(DataError, match=r"dog/005\.png begins with"):
        read(data.train)


def test_labels_must_lie_within_the_classes():
    for label in (None, 2, -1):
        source = listed(4, label=lambda number, label=label: label if number == 1 else 0, classes=2)
        with pytest.raises(DataError, match=rf"key-1 has the label {label}, which must be in 0\.\.1"):
            read(images_of(source, size=8).build().train)


def test_too_few_images_are_an_error():
    with pytest.raises(DataError, match="holds no images"):
        images_of(Listed([]), size=8).build()
    with pytest.raises(DataError, match="holds no images"):
        images_of(Listed([])).build()
    with pytest.raises(DataError, match="of 1 images none is left"):
        images_of(listed(1), size=8).build()


@pytest.mark.parametrize(
    "wrong",
    [{"channels": 2}, {"size": 0}, {"pad_value": 256}, {"crop": "random"}, {"validation": 1.0}, {"pad": 0}],
)
def test_values_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        config(tmp_path, **wrong)
