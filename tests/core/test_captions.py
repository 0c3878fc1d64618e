"""Captions on their way to the network: kept in memory, or stored in shards."""

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

import thalweg
from image_makers import captioned_folder, image_folder
from text_makers import random_minilm
from thalweg.cli.main import main
from thalweg.config import component
from thalweg.data import caption_table
from thalweg.data.shards import read_index
from thalweg.data.shards.dataset import ShardsConfig
from thalweg.errors import ConfigError, DataError
from thalweg.randomness import generator
from thalweg.storage import Location
from thalweg.training.trainer import Trainer
from tiny_runs import tiny

ENCODER = {"type": "minilm", "weights": "minilm", "sha256": "", "length": 6}
COUNT = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    captioned_folder(folder / "photos", count=COUNT)
    random_minilm(folder / "minilm", ["picture", "number", "again", *map(str, range(COUNT))])
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


def images(**options):
    source = {"type": "captioned", "url": "photos"}
    given = {"type": "images", "source": source, "text": ENCODER, "validation": 0.2, **options}
    return component("dataset", given)


def encoder():
    return component("text_encoder", ENCODER).build()


def read(split, seed=0):
    return split.batch(list(range(len(split))), generator(seed, "test")).condition.text


def alike(one, other):
    """Equal but for the last bit of float16: rounding before it depends on how many are encoded together."""
    return torch.allclose(one, other, rtol=2**-9, atol=2**-10)


def test_the_facts_are_known_before_the_encoder_is_loaded(monkeypatch, tmp_path):
    assert images().facts.text == (6, 384)
    missing = {**ENCODER, "weights": "nowhere"}
    assert images(text=missing).build().facts.text == (6, 384)
    with pytest.raises(DataError, match="nowhere"):
        read(images(text=missing).build().train)


def test_a_caption_of_each_image_is_drawn_at_each_read():
    train = images().build().train
    words = [(f"picture {number}", f"number {number} again") for number in range(COUNT)]
    held = images().build().validation
    assert len(train) + len(held) == COUNT
    expected = {caption: encoder()([caption]).tokens[0].half().float() for pair in words for caption in pair}
    seen = [set() for _ in range(len(train))]
    for seed in range(8):
        text = read(train, seed)
        assert text.tokens.shape == (len(train), 6, 384)
        for row, tokens in enumerate(text.tokens):
            seen[row] |= {caption for caption, one in expected.items() if alike(one, tokens)}
    assert all(len(both) == 2 for both in seen)
    assert len(set.union(*seen)) == 2 * len(train)
    assert torch.equal(read(train, 3).tokens, read(images().build().train, 3).tokens)


def test_the_words_are_those_of_the_tokens():
    split = images().build().validation
    words = split.captions(range(len(split)), generator(5, "test"))
    tokens = split.batch(range(len(split)), generator(5, "test")).condition.text.tokens
    assert alike(tokens, encoder()(words).tokens)


def test_the_empty_caption_is_the_encoders():
    text, empty = read(images().build().train), encoder()([""])
    assert alike(text.empty_tokens, empty.tokens[0])
    assert torch.equal(text.empty_mask, empty.mask[0])


def test_long_captions_are_counted_in_one_line(caplog):
    short = {**ENCODER, "length": 3}
    read(images(text=short).build().train)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["24 of 24 captions are longer than 3 tokens and lose their end"]


@attrs.frozen(eq=False)
class Bare:
    """A captioned source whose second image has no caption."""

    captioned = True
    classes = None
    class_names = ()
    identity = "bare"

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise AssertionError("no image is read")

    def captions(self, index):
        return () if index else ("picture 3",)


def test_no_caption_is_the_empty_one():
    table = caption_table.CaptionTable(Bare(), component("text_encoder", ENCODER))
    text = table.read(np.array([1, 0]), torch.zeros(2))
    assert torch.equal(text.tokens[0], text.empty_tokens)
    assert not torch.equal(text.tokens[1], text.empty_tokens)
    assert table.words(np.array([1, 0]), torch.zeros(2)) == ["", "picture 3"]


def test_images_without_a_caption_are_counted_and_not_all_may_be(tmp_path, caplog):
    captioned_folder(tmp_path, count=4)
    for number in (1, 2):
        (tmp_path / f"{number:03d}.txt").write_text(" \n")
    source = {"type": "captioned", "url": str(tmp_path)}
    data = images(source=source).build()
    texts = [read(data.train), read(data.validation)]
    empty = [torch.equal(tokens, text.empty_tokens) for text in texts for tokens in text.tokens]
    assert (empty.count(True), len(empty)) == (2, 4)
    assert caplog.messages == ["2 of 4 images have no caption, and are learnt under the empty one"]
    for number in (0, 3):
        (tmp_path / f"{number:03d}.txt").write_text("")
    with pytest.raises(DataError, match="all captions of the 4 images are empty"):
        read(images(source=source).build().train)


def test_a_source_without_captions_and_too_many_captions_are_refused(monkeypatch):
    image_folder(Path("plain"))
    with pytest.raises(DataError, match="no captions for its text encoder"):
        images(source={"type": "folder", "url": "plain"}).build()
    monkeypatch.setattr(caption_table, "KEPT_BYTES", 1000)
    with pytest.raises(DataError, match=r"24 captions take .* GiB .*thalweg encode --text"):
        read(images().build().train)


def encode(out, *words):
    common = ["--size", "8", "--autoencoder", "identity", "--device", "cpu", "--batch-size", "5"]
    text = '{type = "minilm", weights = "minilm", sha256 = "", length = 6}'
    how = [*common, "--no-flips", "--shard-samples", "5", "--text", text]
    return main(["encode", "photos", str(out), *how, *words])


@pytest.fixture(scope="module")
def stored(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert encode("stored") == 0
    return "stored"


def test_shards_hold_all_captions_and_the_empty_one(stored, monkeypatch):
    header = read_index(Location(stored)).header
    assert header.text.captions == 2
    assert dict(header.text.identity) == dict(encoder().identity)
    captions = [one for n in range(COUNT) for one in (f"picture {n}", f"number {n} again")]
    expected, empty = encoder()(captions).tokens.half().float(), encoder()([""])
    data = ShardsConfig(url=stored, validation=2).build()
    assert data.facts.text == (6, 384)
    # From here on the encoder is not there.
    monkeypatch.setattr("thalweg_backbones.text.minilm.MiniLMConfig.build", None)
    found = set()
    for seed in range(8):
        text = read(data.train, seed)
        assert alike(text.empty_tokens, empty.tokens[0])
        for tokens in text.tokens:
            (place,) = (expected == tokens).all(dim=(1, 2)).nonzero(as_tuple=True)[0].tolist()
            found.add(place)
    assert len(found) == 2 * (COUNT - 2)


def test_encoding_resumes_and_refuses_another_encoder(stored, capsys):
    assert encode(stored) == 0
    assert "complete already" in capsys.readouterr().out
    assert encode(stored, "text.length=7") == 2
    assert "shards that were made otherwise (header.text.identity.length" in capsys.readouterr().err


def test_images_without_a_caption_are_stored_without_one(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    captioned_folder(Path("photos"), count=6)
    random_minilm(Path("minilm"), ["picture", "number", "again", *map(str, range(6))])
    Path("photos/001.txt").write_text("", encoding="utf-8")
    assert encode("out") == 0
    assert "1 of 6 images have no caption, and are learnt under the empty one" in caplog.messages
    data = ShardsConfig(url="out", validation=1).build()
    empty = [
        torch.equal(tokens, text.empty_tokens)
        for text in (read(data.train), read(data.validation))
        for tokens in text.tokens
    ]
    assert empty.count(True) == 1


@pytest.mark.parametrize("processes", ["1", "2"])
def test_captions_that_are_cut_are_counted_in_one_line(tmp_path, caplog, processes):
    words = ["text.length=3", "--devices", processes]
    assert encode(tmp_path / "short", *words) == 0
    said = [record.getMessage() for record in caplog.records]
    assert said == ["24 captions are longer than 3 tokens and lose their end"]


def test_images_without_captions_cannot_be_encoded_with_text(capsys):
    image_folder(Path("plain"))
    words = ["--size", "8", "--autoencoder", "identity", "--text", "minilm"]
    assert main(["encode", "plain", "out", *words]) == 4
    assert "plain has no captions" in capsys.readouterr().err
    assert not Path("out").exists()
    assert main(["encode", "photos", "out", *words[:4], "text.length=7"]) == 2
    assert "text.KEY=VALUE is for one --text" in capsys.readouterr().err


BACKBONE = {"type": "mmdit", "width": 16, "depth": 2, "heads": 2, "patch": 4}


def run(data, run_dir, **top):
    config = tiny(top={"data": data, "backbone": BACKBONE, **top}, steps=3, batch_size=8, sample_every=3)
    return Trainer(config, run_dir, accelerator="cpu", quiet=True).train()


def test_a_network_trains_on_captions_from_memory_and_from_shards(stored, tmp_path):
    photos = {"type": "images", "source": {"type": "captioned", "url": "photos"}, "text": ENCODER}
    for name, data in [("memory", photos), ("shards", {"type": "shards", "url": stored, "validation": 2})]:
        result = run(data, tmp_path / name)
        assert result.step == 3
        assert thalweg.load(result.model).facts.text == (6, 384)
        assert (tmp_path / name / "samples" / "step-000003.png").is_file()
    with pytest.raises(ConfigError, match="reads captions and the data have none"):
        run({**photos, "text": "none"}, tmp_path / "without")
