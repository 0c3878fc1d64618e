"""A run and its data: it resumes with no others in silence, and loses nothing to an image that is damaged."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from image_makers import encoded, image_folder, pixels
from thalweg.cli.main import main
from thalweg.config import RunConfig, structure
from thalweg.errors import ConfigError, DataError
from thalweg.training.batches import UnreadableError
from thalweg.training.compatibility import DATA
from thalweg.training.components import check_given
from thalweg.training.trainer import Trainer
from tiny_runs import TINY, TRAINING, lines, tensor_files

TESTS = Path(__file__).parents[1]


def config(folder, *, data=None, **training):
    """A tiny run on a folder."""
    source = {"type": "folder", "url": str(folder)}
    data = {"type": "images", "source": source, "size": 8, "validation": 0.1, **(data or {})}
    given = {**TRAINING, "steps": 4, "batch_size": 4, "validate_every": 0, "checkpoint_every": 0, **training}
    return structure(RunConfig, {**TINY, "data": data, "training": given})


def train(folder, run_dir, *, accept=False, **more):
    trainer = Trainer(config(folder, **more), run_dir, accelerator="cpu", quiet=True)
    return trainer.train(accept_changed_data=accept)


@pytest.fixture
def images(tmp_path):
    return image_folder(tmp_path / "images", each=8)


@pytest.fixture
def begun(images, tmp_path):
    """A run of four steps, and its images."""
    train(images, tmp_path / "run")
    return images, tmp_path / "run"


def run_of(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def damage(path):
    path.write_bytes(path.read_bytes()[:60])


def test_a_data_set_that_is_given_is_not_asked_for_its_identity(images, tmp_path, monkeypatch):
    """To know it images are read, and of several processes the first alone has to."""
    given = config(images)
    dataset = given.data.build()
    monkeypatch.setattr(type(dataset), "identity", property(lambda _: pytest.fail("it was asked")))
    others = dict.fromkeys(("network", "objectives", "fabric"))
    check_given(given, tmp_path, dataset=dataset, devices=1, nodes=1, timeout=600.0, **others)
    with pytest.raises(ConfigError, match="dataset is a ImagesConfig; give a data set that is built"):
        check_given(given, tmp_path, dataset=given.data, devices=1, nodes=1, timeout=600.0, **others)


CHANGES = {
    "the class 'cat' is now 'zebra'": lambda folder: (folder / "cat").rename(folder / "zebra"),
    "1 image is gone, dog/009.png": lambda folder: (folder / "dog" / "009.png").unlink(),
    "2 images are new": lambda folder: image_folder(folder, each=9),
    "the file of 1 image changed, cat/000.png": lambda folder: shutil.copy(
        folder / "cat" / "001.png", folder / "cat" / "000.png"
    ),
    "1 class is new, 'ant'": lambda folder: shutil.copytree(folder / "cat", folder / "ant"),
}


@pytest.mark.parametrize("named", [one for one in CHANGES if "class is new" not in one])
def test_a_run_does_not_resume_with_other_data(begun, named):
    images, run = begun
    before = tensor_files(run)
    CHANGES[named](images)
    with pytest.raises(DataError, match=r"--accept-changed-data") as caught:
        train(images, run, steps=6)
    if "2 images" not in named:
        assert named in str(caught.value)
    assert tensor_files(run) == before
    assert len(lines(run)) == 4


def test_a_run_resumes_with_other_data_if_it_is_told_to_and_records_it(begun, caplog):
    images, run = begun
    CHANGES["the class 'cat' is now 'zebra'"](images)
    train(images, run, steps=6, accept=True)
    assert "resumes with changed data: the class 'cat' is now 'zebra'" in caplog.text
    recorded = json.loads((run / DATA).read_text())
    assert [one["step"] for one in recorded["changes"]] == [4]
    assert recorded["contents"]["source"]["class_names"][-1] == "zebra"
    train(images, run, steps=7)  # they are its data now


def test_the_same_data_elsewhere_are_the_same(begun, tmp_path):
    images, run = begun
    images.rename(tmp_path / "moved")
    (tmp_path / "images").symlink_to(tmp_path / "moved")
    train(images, run, steps=5)
    assert len(lines(run)) == 5


def test_moved_data_are_the_same_under_their_new_address_and_others_there_are_not(begun, tmp_path):
    images, run = begun
    images.rename(tmp_path / "moved")
    train(tmp_path / "moved", run, steps=5)
    assert str(tmp_path / "moved") in (run / "config.toml").read_text()
    CHANGES["1 image is gone, dog/009.png"](tmp_path / "moved")
    with pytest.raises(DataError, match=r"1 image is gone, dog/009\.png"):
        train(tmp_path / "moved", run, steps=6)


@pytest.mark.parametrize("content", [None, b"{}", b"\0"])
def test_a_record_that_is_lost_is_told_of_and_made_anew(begun, caplog, content):
    images, run = begun
    (run / DATA).unlink() if content is None else (run / DATA).write_bytes(content)
    train(images, run, steps=5)
    assert "it is unknown whether the data are still the same" in caplog.text
    assert json.loads((run / DATA).read_text())["train"] == 21


def test_a_run_that_saved_nothing_may_begin_with_other_data(images, tmp_path):
    damage(images / "cat" / "003.png")
    with pytest.raises(DataError, match=r"nothing was trained yet"):
        train(images, tmp_path / "run", batch_size=20)
    image_folder(images, each=8)
    train(images, tmp_path / "run", batch_size=20)


def test_a_dry_run_finds_other_data_too(begun, capsys, tmp_path):
    from thalweg.config import dump, to_toml

    images, run = begun
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(to_toml(dump(config(images, steps=6))))
    CHANGES["1 image is gone, dog/009.png"](images)
    before = (run / DATA).read_bytes()
    words = ["train", str(recipe), "--run-dir", str(run), "--device", "cpu", "--dry-run"]
    assert main(words) == 4
    assert "1 image is gone, dog/009.png" in capsys.readouterr().err
    assert main([*words, "--accept-changed-data"]) == 0
    assert (run / DATA).read_bytes() == before


def test_what_was_trained_before_a_damaged_image_is_saved_and_gone_on_from(images, tmp_path):
    train(images, tmp_path / "whole", steps=8)
    whole = (images / "dog" / "010.png").read_bytes()
    damage(images / "dog" / "010.png")
    with pytest.raises(UnreadableError, match=r"010\.png is damaged") as caught:
        train(images, tmp_path / "run", steps=8)
    assert caught.value.exit_code == 4
    (saved,) = [one for one in (tmp_path / "run" / "checkpoints").iterdir() if one.is_dir()]
    step = int(saved.name.partition("-")[2])
    assert 0 < step < 8
    assert f"the state of step {step} is saved" in str(caught.value)
    assert "data.on_damaged=skip" in str(caught.value)
    with pytest.raises(UnreadableError, match=f"the state of step {step} is saved"):
        train(images, tmp_path / "run", steps=8)
    # Put back, it resumes as if nothing had been, but for being told.
    (images / "dog" / "010.png").write_bytes(whole)
    train(images, tmp_path / "run", steps=8, accept=True)
    assert tensor_files(tmp_path / "run") == tensor_files(tmp_path / "whole")
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_numbers_of_the_step_stay_when_validation_meets_a_damaged_image(images, tmp_path):
    parts = Trainer(config(images), tmp_path / "none", accelerator="cpu", quiet=True).components
    held = parts.dataset.validation._places
    damage(sorted(images.rglob("*.png"))[int(held[0])])
    with pytest.raises(UnreadableError, match="the state of step 2 is saved"):
        train(images, tmp_path / "run", validate_every=2)
    assert [line["step"] for line in lines(tmp_path / "run")] == [1, 2]


@pytest.mark.parametrize("seams", [[8], [3, 8], [1, 2, 5, 8]])
@pytest.mark.parametrize("reading", [{"prefetch": 0}, {"prefetch": 5, "workers": 3}])
def test_skipping_is_the_same_however_a_run_is_cut_and_read(images, tmp_path, seams, reading):
    for name in ("cat/001.png", "dog/010.png", "dog/011.png", "newt/023.png"):
        damage(images / name)
    data = {"on_damaged": "skip"}
    train(images, tmp_path / "whole", steps=8, data=data)
    for steps in seams:
        train(images, tmp_path / "run", steps=steps, data=data, **reading)
    assert tensor_files(tmp_path / "run") == tensor_files(tmp_path / "whole")
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert lines(tmp_path / "run")[-1]["replaced"] >= 4


def test_a_run_that_stopped_resumes_by_skipping_without_being_told_more(images, tmp_path, caplog):
    damage(images / "dog" / "010.png")
    with pytest.raises(UnreadableError):
        train(images, tmp_path / "run", steps=8)
    train(images, tmp_path / "run", steps=8, data={"on_damaged": "skip"})
    assert caplog.text.count("010.png is damaged") == 1
    assert lines(tmp_path / "run")[-1]["replaced"] == 1


def test_the_next_image_of_the_same_part_stands_in_with_its_own_label(images):
    whole = config(images).data.build()
    names = sorted(images.rglob("*.png"))
    # The last cat of those trained on; what comes after it, and is not held out, is a dog.
    places = whole.train._places.tolist()
    index = max(at for at, place in enumerate(places) if names[place].parent.name == "cat")
    damage(names[places[index]])
    data = config(images, data={"on_damaged": "skip"}).data.build()
    every = [at if at != index else index + 1 for at in range(len(places))]
    read = data.train.batch(range(len(places)), torch.Generator())
    expected = whole.train.batch(every, torch.Generator())
    assert read.replaced == 1
    assert len(data.train.damaged) == 1
    assert torch.equal(read.clean, expected.clean)
    assert torch.equal(read.condition.labels, expected.condition.labels)
    assert read.condition.labels[index] == 1


def test_the_size_is_that_of_the_first_image_that_is_whole(images):
    from thalweg.plugins import build_component

    for number, path in enumerate(sorted(images.rglob("*.png"))):
        path.write_bytes(encoded(pixels(number, 6, 5)))
    damage(min(images.rglob("*.png")))
    built = {"size": None, "on_damaged": "skip"}
    assert build_component(config(images, data=built).data).facts.shape == (3, 6, 5)
    with pytest.raises(DataError, match=r"000\.png is damaged"):
        build_component(config(images, data={"size": None}).data)


def test_where_all_images_are_damaged_skipping_ends(images, tmp_path):
    for path in sorted(images.rglob("*.png")):
        damage(path)
    with pytest.raises(DataError, match="64 images in a row are damaged"):
        train(images, tmp_path / "run", data={"on_damaged": "skip"})


def test_a_file_that_cannot_be_reached_is_not_skipped(images, tmp_path):
    trainer = Trainer(
        config(images, steps=8, data={"on_damaged": "skip"}), tmp_path / "run", accelerator="cpu", quiet=True
    )
    (images / "dog" / "010.png").unlink()
    with pytest.raises(DataError, match=r"010\.png"):
        trainer.train()


def test_the_end_of_a_run_tells_of_what_was_left_out(images, tmp_path, capsys):
    damage(images / "dog" / "010.png")
    run = Trainer(config(images, steps=8, data={"on_damaged": "skip"}), tmp_path / "run", accelerator="cpu")
    run.train()
    said = capsys.readouterr().err
    assert "1 sample stood in for a damaged image; this session met" in said
    assert said.count("010.png is damaged") >= 1


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_end_together_with_their_state_saved(images, tmp_path, strategy):
    from thalweg.config import dump, to_toml

    # What one process reads as its share of a late step, and the other does not.
    damage(images / "dog" / "010.png")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(to_toml(dump(config(images, steps=8))))
    words = [
        "train",
        str(recipe),
        "--run-dir",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--devices",
        "2",
    ]
    command = [sys.executable, "-m", "thalweg", *words, "--strategy", strategy, "--timeout", "60"]
    ended = run_of(command)
    assert ended.returncode == 4, ended.stderr
    assert ended.stderr.count("010.png is damaged") == 1
    (saved,) = [one for one in (tmp_path / "run" / "checkpoints").iterdir() if one.is_dir()]
    assert f"the state of step {int(saved.name.partition('-')[2])} is saved" in ended.stderr
    ended = subprocess.run(
        [*command, "--quiet", "data.on_damaged=skip"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert lines(tmp_path / "run")[-1]["replaced"] == 1
