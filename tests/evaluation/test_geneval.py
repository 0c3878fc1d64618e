"""GenEval: the published prompts, the six tasks on made-up detections, the loading of its networks."""

import json
from collections import Counter

import pytest
import torch
from torch import nn

from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.facts import Facts
from thalweg.types import Features
from thalweg_authoring.kinds.metrics import numbers
from thalweg_eval.geneval import mask2former
from thalweg_eval.geneval.colours import Colours, crop
from thalweg_eval.geneval.correctness import Detection, directions, is_correct
from thalweg_eval.geneval.encoder import GenEvalEncoder, GenEvalEncoderConfig
from thalweg_eval.geneval.metric import GenEvalConfig
from thalweg_eval.geneval.names import OBJECTS, TASKS
from thalweg_eval.geneval.prompts import Prompt, Wanted, read_prompts, standard_prompts
from vision_makers import random_clip, random_detector

FACTS = Facts(shape=(3, 32, 32))


def seen(name, score=0.95, box=(0, 0, 10, 10)):
    return Detection(name, score, tuple(map(float, box)))


def never(name, objects):
    raise AssertionError("no colour is wanted")


def painted(*colours):
    """Objects' colours by their left edge."""
    return lambda name, objects: [colours[int(one.box[0])] for one in objects]


def test_the_prompts_are_the_published_ones():
    prompts = standard_prompts()
    counts = Counter(prompt.task for prompt in prompts)
    assert counts == dict(zip(TASKS, (80, 99, 80, 94, 100, 100), strict=True))
    assert [prompt.text for prompt in prompts[:4]] == [
        "a photo of a bench", "a photo of a cow", "a photo of a bicycle", "a photo of a clock",
    ]  # fmt: skip
    assert len({prompt.text for prompt in prompts}) == 553
    assert len(set(OBJECTS)) == 80


def line(prompt):
    def plain(one):
        extra = {} if one.colour is None else {"color": one.colour}
        extra |= {} if one.position is None else {"position": list(one.position)}
        return {"class": one.name, "count": one.count, **extra}

    found = {"tag": prompt.task, "include": [plain(one) for one in prompt.include], "prompt": prompt.text}
    return found | ({"exclude": [plain(one) for one in prompt.exclude]} if prompt.exclude else {})


def test_prompts_are_read_as_they_are_published(tmp_path):
    path = tmp_path / "evaluation_metadata.jsonl"
    path.write_text("\n".join(json.dumps(line(prompt)) for prompt in standard_prompts()) + "\n")
    assert read_prompts(path) == standard_prompts()


RED_CAR = {"tag": "colors", "include": [{"class": "car", "count": 1, "color": "red"}], "prompt": "a red car"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tag": "singing"}, "unknown task 'singing'"),
        ({"include": [{"class": "unicorn", "count": 1}]}, "unknown class 'unicorn'"),
        ({"include": [{"class": "car", "count": 0}]}, "count 0 of car"),
        ({"include": [{"class": "car", "count": 1, "color": "mauve"}]}, "unknown colour 'mauve'"),
        ({"include": [{"class": "car", "count": 1, "position": ["left of", 0]}]}, "does not come before it"),
        ({"include": [{"class": "car", "count": 1, "position": ["near", 0]}]}, "unknown position"),
        ({"prompt": None}, "the prompt is no text"),
        ({"include": 3}, "no prompt in GenEval's layout"),
    ],
)
def test_faulty_prompts_are_named_by_their_line(tmp_path, change, said):
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps(RED_CAR) + "\n" + json.dumps({**RED_CAR, "prompt": "other", **change}) + "\n")
    with pytest.raises(DataError, match=f"line 2 .*{said}"):
        read_prompts(path)


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "prompts.jsonl"
    with pytest.raises(DataError, match="cannot be read"):
        read_prompts(path)
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no prompts"):
        read_prompts(path)
    path.write_text(json.dumps(RED_CAR) + "\n" + json.dumps({**RED_CAR, "tag": "counting"}))
    with pytest.raises(DataError, match="line 2 asks something else"):
        read_prompts(path)


def test_single_objects():
    prompt = Prompt("a photo of a dog", "single_object", (Wanted("dog", 1),))
    assert is_correct(prompt, [seen("cat"), seen("dog", 0.31)], never)
    assert not is_correct(prompt, [seen("cat"), seen("dog", 0.3)], never)
    assert not is_correct(prompt, [], never)


def test_two_objects():
    prompt = Prompt("...", "two_object", (Wanted("dog", 1), Wanted("cat", 1)))
    assert is_correct(prompt, [seen("cat"), seen("cat"), seen("dog")], never)
    assert not is_correct(prompt, [seen("dog"), seen("dog")], never)


@pytest.mark.parametrize(("count", "correct"), [(1, False), (2, True), (3, False)])
def test_counting_is_exact_and_asks_for_more_confidence(count, correct):
    prompt = Prompt("...", "counting", (Wanted("clock", 2),), (Wanted("clock", 3),))
    unsure = [seen("clock", 0.9), seen("clock", 0.5)]
    assert is_correct(prompt, [seen("clock", 0.91)] * count + unsure, never) == correct


def test_colours_are_asked_of_the_most_confident_objects():
    prompt = Prompt("...", "colors", (Wanted("car", 1, "red"),))
    first, second = seen("car", 0.8, (0, 0, 9, 9)), seen("car", 0.9, (1, 0, 9, 9))
    assert is_correct(prompt, [first, second], painted("blue", "red"))
    assert not is_correct(prompt, [first, second], painted("red", "blue"))


def test_two_colours_belong_to_their_own_objects():
    prompt = Prompt("...", "color_attr", (Wanted("car", 1, "red"), Wanted("dog", 1, "blue")))
    both = [seen("car", box=(0, 0, 9, 9)), seen("dog", box=(1, 0, 9, 9))]
    assert is_correct(prompt, both, painted("red", "blue"))
    assert not is_correct(prompt, both, painted("blue", "red"))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-50, 0, -40, 10), {"left of"}),
        ((50, 0, 60, 10), {"right of"}),
        ((0, -50, 10, -40), {"above"}),
        ((0, 50, 10, 60), {"below"}),
        ((40, 40, 50, 50), {"right of", "below"}),
        ((2, 0, 12, 10), set()),  # centres apart by a tenth of both widths: not apart
        ((3, 0, 13, 10), set()),  # a third of the offset remains, less than half of it
        ((5, 0, 15, 10), {"right of"}),
        ((0, 0, 10, 10), set()),
    ],
)
def test_directions(box, expected):
    assert directions(seen("dog", box=box), seen("cat")) == expected


def test_positions():
    prompt = Prompt(
        "a dog left of a cat", "position", (Wanted("cat", 1), Wanted("dog", 1, None, ("left of", 0)))
    )
    cat, dog = seen("cat", box=(100, 0, 110, 10)), seen("dog", 0.9)
    assert is_correct(prompt, [cat, dog], never)
    # Only the most confident dog counts.
    assert not is_correct(prompt, [cat, dog, seen("dog", 0.99, (200, 0, 210, 10))], never)
    assert not is_correct(prompt, [dog], never)


def test_no_more_than_sixteen_of_a_class_are_looked_at():
    prompt = Prompt("...", "counting", (Wanted("book", 1),), (Wanted("book", 17),))
    assert is_correct(prompt, [seen("book")] * 40, never)


class Told:
    """A detector that finds what it is told."""

    def __init__(self, answers):
        self.answers = iter(answers)

    def __call__(self, image):
        return next(self.answers)


def extractor(answers, colours=lambda image, name, objects: ["red"] * len(objects)):
    return GenEvalEncoder(standard_prompts(), Told(answers), colours, {})


def first_of(task):
    return next(prompt for prompt in standard_prompts() if prompt.task == task)


def test_the_score_is_the_mean_of_the_tasks():
    prompts = [first_of(task) for task in TASKS] + [standard_prompts()[1]]
    answers = [[seen("bench")], [], [], [], [], [], [seen("bench")]]  # a bench is right, and no cow
    images = torch.zeros(7, 3, 8, 8, dtype=torch.uint8)
    features = extractor(answers)(images, [prompt.text for prompt in prompts])
    found = numbers(GenEvalConfig().build(FACTS), [features])
    assert found["geneval_single_object"] == 0.5
    assert found["geneval_counting"] == 0.0
    assert found["geneval"] == pytest.approx(0.5 / 6)
    some = extractor(answers)(images[:1], [prompts[0].text])
    assert numbers(GenEvalConfig().build(FACTS), [some]) == {"geneval_single_object": 1.0}


def test_images_without_their_prompts_are_refused():
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ConfigError, match="give images with captions"):
        extractor([])(images)
    with pytest.raises(DataError, match="'a cow' is no prompt of GenEval"):
        extractor([])(images, ["a cow"])
    with pytest.raises(DataError, match="1 images but 2 captions"):
        extractor([])(images, ["a cow", "a dog"])
    statistic = GenEvalConfig().build(FACTS).statistics(1)["verdicts"]()
    with pytest.raises(ConfigError, match="needs the extractor 'geneval'"):
        statistic.update(Features(torch.zeros(1, 3)), None, [0])


def test_crops_are_grey_where_the_object_is_not():
    image = torch.arange(3 * 4 * 5).reshape(3, 4, 5).to(torch.uint8)
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1, 2] = True
    cut = crop(image, Detection("dog", 1.0, (1.0, 1.0, 3.2, 2.9), mask))
    assert cut.shape == (3, 2, 2)
    assert torch.equal(cut[:, 0, 1], image[:, 1, 2])
    assert (cut[:, 0, 0] == 0x99).all()
    assert torch.equal(crop(image, seen("dog", box=(0, 0, 99, 99))), image)
    assert crop(image, seen("dog", box=(-9, 9, -9, 9))).shape == (3, 1, 1)


class Seer(nn.Module):
    """A CLIP whose images and sentences are the colour they show or name."""

    def forward(self, images):
        shown = images.float().mean((2, 3))
        return Features(pooled=torch.stack([shown[:, 0], shown[:, 2]], 1))

    def encode_captions(self, captions):
        return torch.tensor([[float("red" in one), float("blue" in one)] for one in captions])


def test_colours_are_those_of_the_nearest_sentences():
    image = torch.zeros(3, 4, 8, dtype=torch.uint8)
    image[0, :, :4], image[2, :, 4:] = 200, 200
    objects = [seen("car", box=(0, 0, 4, 4)), seen("car", box=(4, 0, 8, 4))]
    assert Colours(Seer())(image, "car", objects) == ["red", "blue"]


def test_instances_are_queries_of_a_class_with_their_masks():
    classes = torch.full((2, 81), -20.0)
    classes[0, OBJECTS.index("dog")] = 20.0  # the first query is a dog, the second nothing
    classes[1, 80] = 20.0
    masks = torch.full((2, 6, 8), -30.0)
    masks[0, 1:3, 2:7] = 30.0
    best, *others = mask2former.instances(classes, masks)
    assert (best.name, best.box) == ("dog", (2.0, 1.0, 7.0, 3.0))
    assert best.score == pytest.approx(1.0)
    assert torch.equal(best.mask, masks[0] > 0)
    assert all(one.score < 1e-6 for one in others)


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mask2former")
    random_detector(folder)
    return folder


def test_the_detector_is_loaded_from_its_folder(detector_folder, monkeypatch):
    monkeypatch.setattr(mask2former, "_SHORT", 64)
    detector = mask2former.load(detector_folder)
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = detector(image)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        left, top, right, bottom = map(int, one.box)
        assert one.mask.shape == (50, 70)
        assert one.mask[top:bottom, left:right].sum() == one.mask.sum() > 0
    assert detector.identity["type"] == "mask2former"


def test_the_whole_of_it_from_folders(detector_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(mask2former, "_SHORT", 64)
    random_clip(tmp_path)
    made = GenEvalEncoderConfig(detector=str(detector_folder), clip=str(tmp_path)).build(FACTS)
    assert made.identity["prompts"] == 553
    assert made.number_name("geneval") == "geneval"
    prompt = first_of("single_object")
    images = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    assert made(images, [prompt.text]).pooled[0, 0] == 1


def test_missing_and_foreign_detectors_are_named(tmp_path):
    with pytest.raises(DataError, match=r"download config\.json and model\.safetensors from https"):
        GenEvalEncoderConfig(detector=str(tmp_path), clip="clip").build(FACTS)
    with pytest.raises(PluginError, match="importing nowhere:load failed"):
        GenEvalEncoderConfig(detector="d", clip="clip", loader="nowhere:load").build(FACTS)
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_text("{}")
    with pytest.raises(DataError, match="cannot be read as Mask2Former"):
        mask2former.load(tmp_path)
