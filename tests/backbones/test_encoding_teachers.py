"""Teachers' features in shards: what is stored is what the teacher would see, and training reads it."""

import attrs
import pytest
import torch
from safetensors.torch import load_file

import thalweg
from image_makers import image_folder
from thalweg.cli.main import main
from thalweg.composition import seeded
from thalweg.data.pixels import to_images
from thalweg.data.shards import read_index
from thalweg.data.shards.dataset import Expected, ExpectedFeatures, ShardsConfig
from thalweg.errors import ConfigError, DataError
from thalweg.facts import StoredFeatures
from thalweg.objectives.alignment import AlignmentConfig
from thalweg.planners.branch_times import BranchTimes
from thalweg.planning import draw_plan
from thalweg.storage import Location
from thalweg.training.step import Losses
from vision_makers import every_vision_encoder
from vision_makers import vision_encoder as built

DINO, TIMM = "dinov1-s", "timm-test_convnext"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    image_folder(folder / "images", each=4, edge=12)
    every_vision_encoder(folder)
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


def run(out, *words, size=12, teacher=("--teacher", "dinov1")):
    common = ["--size", str(size), "--autoencoder", "identity", "--device", "cpu", "--batch-size", "4"]
    return main(["encode", "images", str(out), *common, *teacher, *words])


SETTINGS = ("size=s", "weights=dinov1.pth", "precision=32-true")
OPTIONS = [f"teacher.{one}" for one in SETTINGS]
BACKBONE = {"type": "dit", "patch": 4, "depth": 2, "width": 16, "heads": 2}


@pytest.fixture(scope="module")
def stored(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert run("stored", *OPTIONS, "--grid", "3", "--shard-samples", "5", "--flips") == 0
    return place / "stored"


def test_what_is_stored_is_what_the_teacher_sees_in_both_orientations(stored):
    one, index = built("dinov1", precision="32-true"), read_index(Location(stored))
    header = index.header.teachers[DINO]
    assert (header.grid, header.width, header.dtype) == ((3, 3), 384, "float16")
    assert header.identity == dict(one.patch_identity)
    assert index.header.facts.features == {DINO: StoredFeatures((3, 3), 384, dict(one.patch_identity))}
    for path in sorted(stored.glob("shard-*.safetensors")):
        shard = load_file(path)
        for name, images in (("", shard["pixels"]), ("_flipped", shard["pixels"].flip(-1))):
            # float16 keeps 11 bits, and batches differ in length.
            kept = shard[f"teacher.{DINO}{name}"]
            torch.testing.assert_close(kept.float(), one.patch_tokens(images, (3, 3)), rtol=2**-9, atol=2e-3)


def test_the_data_set_gives_the_features_of_the_orientation_that_was_drawn(stored):
    data, one = ShardsConfig(url=str(stored), validation=2).build(), built("dinov1", precision="32-true")
    for split in (data.train, data.validation):
        batch = split.batch(list(range(len(split))), torch.Generator().manual_seed(1))
        expected = one.patch_tokens(to_images(batch.clean), (3, 3))
        assert batch.features[DINO].dtype == torch.float16
        torch.testing.assert_close(batch.features[DINO].float(), expected, rtol=2**-9, atol=2e-3)


@pytest.mark.parametrize(("branches", "refiner", "after"), [(1, None, (1,)), (2, "plain", None)])
def test_stored_features_teach_as_the_teacher_does_without_it(stored, monkeypatch, branches, refiner, after):
    data = ShardsConfig(url=str(stored), validation=2).build()
    network = thalweg.compose(backbone=BACKBONE, refiner=refiner, branches=branches, facts=data.facts)
    teacher = {"type": "dinov1", "size": "s", "weights": "dinov1.pth", "precision": "32-true"}
    config = AlignmentConfig(teacher=teacher, after=after, channels=(8,))

    def objective(facts):
        with seeded(0, torch.device("cpu")):
            return config.build(facts)

    looking = objective(attrs.evolve(network.facts, features={}))
    monkeypatch.setattr(type(config.teacher), "build", lambda *_: pytest.fail("the teacher was built"))
    reading = objective(network.facts)
    assert (looking.needs_images, reading.needs_images) == (True, False)
    batch = data.train.batch(range(8), torch.Generator().manual_seed(0))
    planner = BranchTimes(lambda count, *_: torch.full((count,), 0.5), branches, 0.01)
    plan = draw_plan(planner, batch, torch.Generator().manual_seed(0), network.interpolant)
    seen, read = (
        Losses(network, {"alignment": one}, data.images)(plan, batch)["alignment"]
        for one in (looking, reading)
    )
    torch.testing.assert_close(seen, read, rtol=0, atol=1e-3)


def test_features_of_other_weights_are_refused(stored, tmp_path):
    facts = ShardsConfig(url=str(stored), validation=2).facts
    other = tmp_path / "other.pth"
    other.write_bytes(b"others")
    network = thalweg.compose(backbone=BACKBONE, facts=facts)
    for options in ({"weights": str(other)}, {"sha256": "0123"}):
        teacher = {"type": "dinov1", "size": "s", **options}
        with pytest.raises(DataError, match="that another teacher has computed: weights of the SHA-256"):
            AlignmentConfig(teacher=teacher, after=(1,)).build(network.facts)
    coarse = thalweg.compose(backbone={**BACKBONE, "patch": 2}, facts=facts)
    with pytest.raises(ConfigError, match="on a grid of 3 x 3 and the backbone has 6 x 6 tokens"):
        AlignmentConfig(teacher={"type": "dinov1", "size": "s"}, after=(1,)).build(coarse.facts)


def test_several_teachers_in_two_processes_as_in_one(place):
    shared = 'precision = "32-true"'
    tables = [
        f'{{type = "dinov1", size = "s", weights = "dinov1.pth", {shared}}}',
        f'{{type = "timm", model = "test_convnext", weights = "timm.safetensors", {shared}}}',
    ]
    teachers = [word for table in tables for word in ("--teacher", table)]
    words = ["--grid", "2", "--shard-samples", "6", "--no-flips"]
    assert run("one", *words, teacher=teachers) == 0
    assert run("two", *words, "--devices", "2", teacher=teachers) == 0
    for name in ("shard-00000.safetensors", "shard-00001.safetensors"):
        one, two = load_file(place / "one" / name), load_file(place / "two" / name)
        assert one.keys() == two.keys()
        for key, tensor in one.items():
            # Processes share out the threads, and sums over other threads round otherwise.
            exact = {} if key.startswith("teacher.") else {"rtol": 0, "atol": 0}
            torch.testing.assert_close(tensor, two[key], **exact)
    shard = load_file(place / "one/shard-00000.safetensors")
    assert {name: tuple(one.shape[1:]) for name, one in shard.items() if "teacher" in name} == {
        f"teacher.{DINO}": (4, 384),
        f"teacher.{TIMM}": (4, 64),
    }


def test_the_same_command_finds_it_complete_and_another_teacher_is_refused(stored, capsys):
    words = ["--grid", "3", "--shard-samples", "5", "--flips"]
    assert run("stored", *OPTIONS, *words) == 0
    assert "nothing was encoded" in capsys.readouterr().out
    assert run("stored", *OPTIONS, "teacher.precision=bf16-mixed", *words) == 2
    assert "header.teachers.dinov1-s.identity.precision is 32-true there" in capsys.readouterr().err
    assert run("stored", *words, teacher=()) == 2
    assert "header.teachers" in capsys.readouterr().err


def test_without_a_grid_it_is_that_of_patches_of_two(place):
    assert run("default", *OPTIONS, "--no-flips", size=8) == 0
    assert read_index(Location("default")).header.teachers[DINO].grid == (4, 4)


@pytest.mark.parametrize(
    ("teacher", "words", "code", "message"),
    [
        (["--teacher", "dino"], [], 2, "did you mean 'dinov"),
        (["--teacher", "dinov1"], ["teacher.weights=nowhere"], 4, "dl.fbaipublicfiles.com/dino/"),
        (["--teacher", "dinov1"], ["teacher.widht=3"], 2, "teacher.widht: unknown key"),
        (["--teacher", "dinov1"], [*OPTIONS, "--grid", "0"], 2, "grid: must be at least 1, got 0"),
        ([], ["teacher.size=s"], 2, "for one --teacher, and there are 0"),
        (["--teacher", "dinov1", "--teacher", "mae"], OPTIONS, 2, "for one --teacher, and there are 2"),
        (["--teacher", '{type = "mae", storage_options = hush-hush}'], [], 2, "takes a name, or a table"),
        (
            2 * ["--teacher", '{type = "dinov1", size = "s", weights = "dinov1.pth"}'],
            [],
            2,
            "two teachers dinov1-s; store the features of one",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(place, capsys, teacher, words, code, message):
    assert run("out", *words, teacher=teacher) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert "hush-hush" not in printed.err
    assert not (place / "out").exists()


def test_samples_without_patches_of_two_need_a_grid(capsys, place):
    assert run("out", *OPTIONS, size=9) == 2
    assert "9 x 9 samples have no patches of 2" in capsys.readouterr().err
    assert not (place / "out").exists()


def expected(**teachers):
    found = {name.replace("_", "-"): ExpectedFeatures(*one) for name, one in teachers.items()}
    return Expected(shape=(3, 12, 12), classes=3, teachers=found)


def test_a_recipe_counts_on_features_that_are_not_there_yet(stored):
    config = ShardsConfig(url="nowhere", expected=expected(dinov1_s=((3, 3), 384)))
    network = thalweg.compose(backbone=BACKBONE, facts=config.facts)
    objective = AlignmentConfig(teacher={"type": "dinov1", "size": "s"}, after=(1,)).build(network.facts)
    assert not objective.needs_images
    attrs.evolve(config, url=str(stored), validation=2).build()


@pytest.mark.parametrize(
    ("teachers", "message"),
    [
        ({"dinov1_s": ((4, 4), 384)}, r"stores 384 of \(3, 3\) where features of dinov1-s are expected"),
        ({"dinov2_b": ((3, 3), 768)}, "stores none where features of dinov2-b are expected, 768 of each"),
    ],
)
def test_features_that_are_expected_and_not_there_are_missed(stored, teachers, message):
    config = ShardsConfig(url=str(stored), validation=2, expected=expected(**teachers))
    with pytest.raises(DataError, match=message):
        config.build()
