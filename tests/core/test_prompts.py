"""Samples drawn for captions: those of a data set, a file's, one's own words."""

import json
import shlex
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import thalweg
from evaluated import run_folder
from image_makers import captioned_folder
from text_makers import random_minilm
from thalweg.cli.main import main
from thalweg.composition import composition_of
from thalweg.config import RunConfig, component, dump, recorded_text, structure
from thalweg.errors import ConfigError, DataError
from thalweg.generation.captions import Prompts, captions_for, read_captions
from thalweg.generation.settings import GenerationConfig
from thalweg.image_sets.npz import NpzImages
from thalweg.saved_network import save
from thalweg_eval.evaluation.evaluate import evaluate
from tiny_runs import TINY, TRAINING
from vision_makers import every_vision_encoder

ENCODER = {"type": "minilm", "weights": "minilm", "sha256": "", "length": 6}
COUNT = 12
DATA = {
    "type": "images",
    "source": {"type": "captioned", "url": "photos"},
    "text": ENCODER,
    "validation": 0.5,
}
BACKBONE = {"type": "mmdit", "width": 16, "depth": 2, "heads": 2, "patch": 4}


def written(folder, data=DATA):
    """A run on captions, of random weights."""
    config = structure(RunConfig, {**TINY, "data": data, "backbone": BACKBONE, "training": TRAINING})
    network = thalweg.compose(**composition_of(config), facts=config.data.facts)
    draws = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=draws)
    folder.mkdir()
    (folder / "config.toml").write_text(recorded_text(dump(config)))
    save(folder / "model", network, step=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        captioned_folder(folder / "photos", count=COUNT)
        random_minilm(folder / "minilm", ["picture", "number", "again", *map(str, range(COUNT))])
        written(folder / "run")
        run_folder(folder / "digits")
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


FACTS = thalweg.Facts(shape=(1, 8, 8))
QUICK = ["sampler=euler", "sampler.steps=2", "precision=32-true"]


def draw(out, *words, run="run"):
    return main(["sample", run, str(out), *QUICK, *words])


def drawn(out, *words):
    assert draw(out, *words) == 0
    told = json.loads((out / "samples.json").read_text())
    return load_file(out / "samples.safetensors")["x"], told


def test_the_page_shows_for_a_caption_what_the_command_gives(tmp_path, monkeypatch):
    from PIL import Image

    from thalweg_eval.view.choice import Choice
    from thalweg_eval.view.network import ViewedNetwork

    viewed = ViewedNetwork("run", ["precision=32-true"], "cpu")
    pictures = []
    for prompt in ("", "picture 3", "number 4 again", "picture 3"):
        found = viewed.draw(Choice(prompt=prompt, count=3, steps=2))
        shutil.rmtree("samples", ignore_errors=True)
        assert main(shlex.split(found.command)[1:]) == 0
        again = [np.asarray(Image.open(path)) for path in sorted(Path("samples/view").glob("*.png"))]
        assert np.array_equal(np.stack(again), found.images.permute(0, 2, 3, 1).squeeze(3).numpy())
        assert len(set(found.captions)) == (3 if not prompt else 1)
        pictures.append(found.images)
    assert torch.equal(pictures[1], pictures[3])
    assert not torch.equal(pictures[1], pictures[2])


def test_each_prompt_gets_a_sample_that_follows_it(tmp_path):
    x, told = drawn(tmp_path / "two", "--prompt", "picture 3", "--prompt", "number 4 again")
    assert len(x) == 2
    assert told["captions"] == ["picture 3", "number 4 again"]
    assert told["sampling"]["captions"]["prompts"] == told["captions"]
    assert told["sampling"]["captions"]["text_encoder"]["sha256"]
    # The same noise under other words becomes another image, and the same words the same one.
    other, _ = drawn(tmp_path / "other", "--prompt", "picture 3", "--prompt", "picture 5")
    assert torch.equal(other[0], x[0])
    assert not torch.allclose(other[1], x[1])


def test_prompts_come_in_turn_and_go_by_the_index(tmp_path):
    (tmp_path / "words.txt").write_text("picture 1\n\nnumber 2 again\n")
    file = ["--prompt", "picture 0", "--prompt-file", str(tmp_path / "words.txt")]
    x, told = drawn(tmp_path / "five", *file, "count=5")
    assert told["captions"] == ["picture 0", "picture 1", "number 2 again", "picture 0", "picture 1"]
    rest, told = drawn(tmp_path / "rest", *file, "count=2", "--start", "3", "batch_size=1")
    assert told["captions"] == ["picture 0", "picture 1"]
    torch.testing.assert_close(rest, x[3:])


def test_guidance_leaves_the_caption_out(tmp_path):
    words = ["--prompt", "picture 3", "guidance=cfg"]
    plain, _ = drawn(tmp_path / "plain", *words[:2])
    one, _ = drawn(tmp_path / "one", *words, "guidance.scale=1.0")
    three, _ = drawn(tmp_path / "three", *words, "guidance.scale=3.0")
    none, _ = drawn(tmp_path / "none", *words, "guidance.scale=0.0", "sampler.steps=1")
    torch.testing.assert_close(one, plain)
    assert not torch.allclose(three, plain)
    network = thalweg.load("run")
    empty = component("text_encoder", ENCODER).build()([""])
    text = thalweg.types.Text(empty.tokens, empty.mask, empty.tokens[0], empty.mask[0])
    noise = thalweg.randomness.SampleNoise(0, [0], network.facts.shape).initial().float()
    with torch.no_grad():
        velocity = network.velocity(noise, torch.ones(1), thalweg.types.Condition(text=text))
    torch.testing.assert_close(none, noise - velocity, rtol=1e-3, atol=1e-3)  # tokens in half precision


def test_without_prompts_those_of_the_run_are_drawn_in_order(tmp_path):
    _, told = drawn(tmp_path / "held", "count=8")
    held = component("dataset", DATA).build().validation
    assert len(held) == 6
    said = [set(pair) for pair in zip(*_both(held), strict=True)]
    assert all(told["captions"][index] in said[index % 6] for index in range(8))
    assert told["sampling"]["captions"] == {"part": "validation", "images": 6}
    _, told = drawn(tmp_path / "trained", "count=8", "captions=train")
    assert not {one for pair in said for one in pair} & set(told["captions"])


def _both(split):
    """The first and the second caption of each image."""
    places = split._places
    return [split._pictures.captions.words(places, torch.full((len(places),), value)) for value in (0.0, 0.9)]


def test_images_keep_their_captions_whatever_holds_them(tmp_path, capsys):
    words = ["--prompt", "picture 3", "--prompt", "number 4 again"]
    assert draw(tmp_path / "out.npz", *words) == 0
    assert draw(tmp_path / "out.tar", *words) == 0
    assert draw(tmp_path / "pngs", *words, "--png") == 0
    expected = ["picture 3", "number 4 again"]
    assert NpzImages(tmp_path / "out.npz").read(0, 2).captions == expected
    assert [path.read_text() for path in sorted((tmp_path / "pngs").glob("*.txt"))] == [
        f"{one}\n" for one in expected
    ]
    with tarfile.open(tmp_path / "out.tar") as archive:
        texts = [archive.extractfile(name).read().decode() for name in archive.getnames() if ".txt" in name]
    assert texts == [f"{one}\n" for one in expected]
    capsys.readouterr()
    for name in ("pngs", "out.tar"):
        assert main(["data", "inspect", str(tmp_path / name), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["captioned"]
    note = tmp_path / "out.npz.json"
    note.write_text(note.read_text().replace('"number 4 again"\n', "4\n"))
    with pytest.raises(DataError, match=r"out\.npz\.json says in no readable way"):
        NpzImages(tmp_path / "out.npz")


def test_an_evaluation_knows_the_captions_of_both_sides():
    settings = ["count=6", "sampling.sampler=euler", "sampling.sampler.steps=2"]
    asked = {"metrics": ["caption_retrieval"], "extractor": "lite0"}
    choice = ["features.lite0.metrics.caption_retrieval.candidates=2"]
    one_caption = {**DATA, "source": {"type": "captioned", "url": "single"}}
    captioned_folder(Path("single"), count=COUNT)
    for text in Path("single").glob("*.txt"):
        text.write_text(text.read_text().splitlines()[0] + "\n")
    if not Path("run-single").exists():
        written(Path("run-single"), one_caption)
    found = evaluate(
        "run-single", reference="run-single:validation", settings=[*settings, *choice], **asked
    ).values
    assert 0 <= found["caption_retrieval_lite0"] <= 1
    with pytest.raises(DataError, match="generated for a caption that no image of the reference has"):
        evaluate("run-single", reference="run-single:train", settings=[*settings, *choice], **asked)
    trained = [*settings, *choice, "sampling.captions=train"]
    evaluate("run-single", reference="run-single:train", settings=trained, **asked)


def extractors(place):
    if not (place / "extractors").exists():
        (place / "extractors").mkdir()
        every_vision_encoder(place / "extractors")
    return place / "extractors"


def test_the_protocol_of_ms_coco_as_a_whole(place, tmp_path):
    """Small random networks stand for the published ones; captions come from a file of MS-COCO's layout."""
    weights = extractors(place)
    coco = captioned_folder(tmp_path / "coco", count=COUNT, layout="coco")
    small = [
        f"sampling.captions={coco / 'captions_train.json'}", "count=10", "reference.count=12", "crop=8",
        "sampling.sampler.steps=2", f"features.inception.extractor.weights={weights / 'inception.pth'}",
        "features.inception.extractor.sha256=''", "features.dinov2.extractor.size=s",
        f"features.dinov2.extractor.weights={weights / 'dinov2.pth'}",
        f"features.clip.extractor.folder={weights / 'clip'}",
    ]  # fmt: skip
    passport = evaluate("run", reference=str(coco), protocol="coco-t2i", settings=small)
    assert {
        "fd_inception_other",
        "inception_score_inception_other",
        "fd_dinov2_vits14",
        "clip_score",
    } <= passport.values.keys()
    told = passport.conditions["sampling"]["captions"]
    assert told["from"].endswith("captions_train.json")
    assert told["prompts"] == [f"picture {number}" for number in range(COUNT)]
    # The score is that of the images with the captions they were generated for.
    assert main(["sample", "run", str(tmp_path / "x.npz"), "count=10", "sampler.steps=2", "guidance=cfg",
                 "guidance.scale=2.0", "precision=32-true", "--prompt-file",
                 str(coco / "captions_train.json")]) == 0  # fmt: skip
    clip = component("vision_encoder", {"type": "clip", "folder": str(weights / "clip")}).build(FACTS)
    drawn = NpzImages(tmp_path / "x.npz").read(0, 10)
    seen = clip(drawn.images, drawn.captions)
    cosines = torch.cosine_similarity(seen.pooled.double(), seen.captions.double()).clamp_min(0)
    assert passport.values["clip_score"] == pytest.approx(100 * float(cosines.mean()), abs=1e-3)
    with pytest.raises(DataError, match=r"captions_val2014\.json"):
        evaluate("run", reference=str(coco), protocol="coco-t2i", settings=small[1:])


def test_the_protocol_of_geneval_as_a_whole(place):
    weights = extractors(place)
    small = [
        "count=6", "sampling.sampler.steps=2",
        f"features.geneval.extractor.detector={weights / 'mask2former'}",
        f"features.geneval.extractor.clip={weights / 'clip'}",
    ]  # fmt: skip
    passport = evaluate("run", protocol="geneval", settings=small)
    # The first prompts are of single objects, of which a random detector finds none.
    assert passport.values.keys() == {"geneval_single_object"}
    assert passport.conditions["sampling"]["captions"]["count"] == 553


def test_files_of_captions(tmp_path):
    captioned_folder(tmp_path / "coco", count=3, layout="coco")
    # In the order of the images' names, which is not the file's own.
    expected = ("picture 0", "picture 1", "picture 2")
    assert read_captions(str(tmp_path / "coco" / "captions_train.json")) == expected
    for name, content, reason in [
        ("empty.txt", "\n \n", "holds no caption"),
        ("bare.json", '{"images": [], "annotations": []}', "holds no caption"),
        ("other.json", "[]", "no captions file of MS-COCO's layout"),
    ]:
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match=reason):
            read_captions(str(tmp_path / name))
    with pytest.raises(DataError, match=r"gone\.txt"):
        read_captions(str(tmp_path / "gone.txt"))


def test_what_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path, capsys):
    def refused(code, reason, *words, run="run"):
        assert draw(tmp_path / "out", *words, run=run) == code
        assert reason in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    refused(2, "the network reads no captions; leave prompts and captions out", "--prompt", "x", run="digits")
    refused(2, "prompt 2 of 2 is empty", "--prompt", "picture 1", "--prompt", " ")
    refused(4, "gone.txt", "--prompt-file", "gone.txt")
    refused(2, "6 tokens of width 384", "--prompt", "x", "text=minilm", "text.length=7")
    refused(2, "labels were given, but the network is unconditional", "--prompt", "x", "--labels", "1")


def test_a_network_without_its_run_needs_prompts_and_an_encoder(tmp_path, capsys):
    shutil.copytree("run/model", tmp_path / "model")
    alone = str(tmp_path / "model")
    assert draw(tmp_path / "out", run=alone) == 2
    assert "there are none: give prompts" in capsys.readouterr().err
    assert draw(tmp_path / "out", "--prompt", "picture 1", run=alone) == 2
    assert "does not say which text encoder reads prompts" in capsys.readouterr().err
    named = ["text=minilm", "text.weights=minilm", "text.sha256=''", "text.length=6"]
    assert draw(tmp_path / "out", "--prompt", "picture 1", *named, run=alone) == 0
    here, _ = drawn(tmp_path / "here", "--prompt", "picture 1")
    torch.testing.assert_close(load_file(tmp_path / "out" / "samples.safetensors")["x"], here)


def test_stored_captions_say_which_encoder_they_are_of(tmp_path, capsys):
    common = ["--size", "8", "--autoencoder", "identity", "--device", "cpu", "--no-flips"]
    text = '{type = "minilm", weights = "minilm", sha256 = "", length = 6}'
    stored = tmp_path / "stored"
    assert main(["encode", "photos", str(stored), *common, "--text", text]) == 0
    written(tmp_path / "run", {"type": "shards", "url": str(stored), "validation": 3})
    run = str(tmp_path / "run")
    capsys.readouterr()
    assert draw(tmp_path / "out", "--prompt", "picture 1", run=run) == 2
    assert "does not say which text encoder reads prompts" in capsys.readouterr().err
    random_minilm(tmp_path / "other", ["picture", "1"])
    other = ["text=minilm", f"text.weights={tmp_path / 'other'}", "text.sha256=''", "text.length=6"]
    assert draw(tmp_path / "out", "--prompt", "picture 1", *other, run=run) == 2
    assert "were encoded by" in capsys.readouterr().err
    right = ["text=minilm", "text.weights=minilm", "text.sha256=''", "text.length=6"]
    assert draw(tmp_path / "out", "--prompt", "picture 1", *right, run=run) == 0
    # Without prompts the stored captions are drawn for, of which nobody knows the words.
    assert main(["sample", run, str(tmp_path / "held"), *QUICK, "count=2"]) == 0
    assert "captions" not in json.loads((tmp_path / "held" / "samples.json").read_text())


def test_prompts_that_are_cut_are_told_of_once(caplog):
    encoder = component("text_encoder", {**ENCODER, "length": 3}).build()
    prompts = Prompts(["picture 1", "1", "number 2 again"], encoder, "prompts")
    prompts.read([1])
    assert not caplog.records
    prompts.read([0, 1])
    prompts.read([2])
    said = [record.getMessage() for record in caplog.records]
    assert said == ["2 of 3 prompts are longer than 3 tokens and lose their end"]


def test_a_network_without_captions_ignores_where_they_would_be_from():
    facts = thalweg.Facts(shape=(1, 8, 8), classes=3)
    assert captions_for(facts, GenerationConfig(), None, "cpu") is None
    with pytest.raises(ConfigError, match="reads no captions"):
        captions_for(facts, GenerationConfig(captions="captions.txt"), None, "cpu")
