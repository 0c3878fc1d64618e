"""Encoding: every image once, in shards that depend on nothing but the job, whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from autoencoder_makers import write_sd_vae
from image_makers import encoded, image_folder, pixels, tar
from thalweg.cli.progress import ProgressDisplay
from thalweg.config import component
from thalweg.data.fitting import center_crop
from thalweg.data.shards import read_index, verify
from thalweg.data.sources import source_of
from thalweg.devices import devices_of
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.jobs.pool import share_work
from thalweg.jobs.tasks import Recorder, work
from thalweg.storage import Location
from thalweg_backbones.encoding import EncodingJob, encode
from thalweg_backbones.encoding.batches import Layout
from thalweg_backbones.encoding.recorder import ShardRecorder

TESTS = Path(__file__).parents[1]
COUNT, SIZE = 30, 8


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Thirty images of three classes, larger than what is cropped from them, and weights."""
    folder = tmp_path_factory.mktemp("place")
    image_folder(folder / "images", each=COUNT // 3, edge=12)
    write_sd_vae(folder / "vae")
    return folder


def job(place, target, **changes):
    options = {
        "source": str(place / "images"),
        "target": str(target),
        "size": SIZE,
        "autoencoder": {"type": "sd-vae", "weights": str(place / "vae"), "precision": "32-true"},
        "batch_size": 3,
        "shard_samples": 7,
        "flips": True,
    }
    return EncodingJob(**{**options, **changes})


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def cropped(records):
    images = [center_crop(record.image, SIZE).transpose(2, 0, 1) for record in records]
    return torch.from_numpy(np.stack(images))


def batches(layout, number):
    """The source's indices of one shard, batch by batch."""
    return [layout.indices(*one) for one in layout.batches(number)]


def shards(folder):
    return [load_file(path) for path in sorted(folder.glob("shard-*.safetensors"))]


@pytest.fixture(scope="module")
def reference(place):
    """The job done without interruption."""
    encode(job(place, place / "reference"), device="cpu", devices="1")
    return contents(place / "reference")


def test_every_image_is_in_one_place_of_one_shard():
    for count, samples, batch in [(30, 7, 3), (28, 7, 7), (3, 100, 100), (1, 1, 1)]:
        layout = Layout(count, samples, batch, seed=0)
        places = [batches(layout, number) for number in range(layout.shards)]
        assert sorted(index for shard in places for one in shard for index in one) == list(range(count))
        assert all(len(one) <= batch for shard in places for one in shard)
        assert [sum(map(len, shard)) for shard in places] == list(map(layout.samples, range(layout.shards)))


def test_shards_mix_the_classes_and_depend_on_the_seed():
    layout = Layout(1000, 100, 10, seed=0)
    tenths = [index // 100 for one in batches(layout, 0) for index in one]
    assert len(set(tenths)) == 10
    assert batches(layout, 0) == batches(Layout(1000, 100, 10, seed=0), 0)
    assert batches(layout, 0) != batches(Layout(1000, 100, 10, seed=1), 0)


def test_images_that_are_stored_in_shards_are_read_from_few_of_them_at_a_time():
    layout = Layout(80, 16, 4, seed=0, blocks=(2,) * 40)
    shards = [[index // 2 for one in batches(layout, number) for index in one] for number in range(5)]
    assert [len(set(one)) for one in shards] == [8] * 5
    assert sorted(number for one in shards for number in one) == sorted([*range(40)] * 2)


def test_posteriors_are_those_of_the_cropped_images_and_their_mirror_images(place, reference):
    source = source_of(str(place / "images"))
    autoencoder = component("autoencoder", dict(job(place, "").autoencoder)).build()
    layout = Layout(COUNT, 7, 3, seed=0)
    for number, shard in enumerate(shards(place / "reference")):
        indices = [index for one in batches(layout, number) for index in one]
        records = [source[index] for index in indices]
        images = cropped(records)
        assert shard["labels"].tolist() == [record.label for record in records]
        for name, view in [("", images), ("_flipped", images.flip(-1))]:
            mean, std = autoencoder.encode(view)
            # float16 keeps 11 bits; besides, batches differ in length.
            assert torch.allclose(shard[f"mean{name}"].float(), mean, rtol=2**-10, atol=1e-4)
            assert torch.allclose(shard[f"std{name}"].float(), std, rtol=2**-10, atol=1e-4)
        assert not torch.equal(shard["mean"], shard["mean_flipped"])


def test_the_index_says_how_it_was_made(place, reference):
    index = read_index(Location(str(place / "reference")))
    header = index.header
    assert (header.kind, header.count, header.shape, header.dtype) == (
        "posterior",
        COUNT,
        (4, 4, 4),
        "float16",
    )
    assert (header.size, header.flips, header.classes, header.seed) == (SIZE, True, 3, 0)
    assert header.class_names == ("cat", "dog", "newt")
    assert header.source == source_of(str(place / "images")).identity
    assert header.scale == 0.18215
    assert header.autoencoder["type"] == "sd-vae"
    assert index.shard_samples == 7
    assert verify(Location(str(place / "reference"))).damaged == ()
    assert set(reference) == {"index.json", *(f"shard-{number:05}.safetensors" for number in range(5))}


def test_mirror_images_are_asked_for(place):
    assert not EncodingJob(size=SIZE, autoencoder={"type": "identity"}, source="a", target="b").flips
    assert job(place, "").flips


def test_without_flips_there_are_none_and_float32_is_exact(place, tmp_path):
    encode(job(place, tmp_path / "out", flips=False, dtype="float32", batch_size=7), device="cpu")
    source = source_of(str(place / "images"))
    autoencoder = component("autoencoder", dict(job(place, "").autoencoder)).build()
    shard = shards(tmp_path / "out")[0]
    assert set(shard) == {"mean", "std", "labels"}
    (indices,) = batches(Layout(COUNT, 7, 7, seed=0), 0)
    mean, std = autoencoder.encode(cropped([source[index] for index in indices]))
    assert torch.equal(shard["mean"], mean)
    assert torch.equal(shard["std"], std)


def test_pixels_are_stored_as_they_are(place, tmp_path):
    encode(job(place, tmp_path / "out", autoencoder={"type": "identity"}), device="cpu")
    source = source_of(str(place / "images"))
    layout = Layout(COUNT, 7, 3, seed=0)
    for number, shard in enumerate(shards(tmp_path / "out")):
        assert set(shard) == {"pixels", "labels"}
        assert shard["pixels"].dtype == torch.uint8
        indices = [index for one in batches(layout, number) for index in one]
        assert torch.equal(shard["pixels"], cropped([source[index] for index in indices]))
    header = read_index(Location(str(tmp_path / "out"))).header
    assert (header.kind, header.scale, header.autoencoder) == ("pixels", 1.0, {"type": "identity"})


@pytest.mark.parametrize(
    ("autoencoder", "channels", "stored"), [("identity", None, 1), ("identity", 3, 3), ("sd-vae", None, 3)]
)
def test_grey_images_stay_grey_where_the_autoencoder_takes_such(
    place, tmp_path, autoencoder, channels, stored
):
    image_folder(tmp_path / "grey", each=1, edge=SIZE, channels=1)
    options = {"type": "identity"} if autoencoder == "identity" else job(place, "").autoencoder
    encode(
        job(place, tmp_path / "out", source=str(tmp_path / "grey"), autoencoder=options, channels=channels),
        device="cpu",
    )
    shard = shards(tmp_path / "out")[0]
    if autoencoder == "identity":
        assert shard["pixels"].shape == (3, stored, SIZE, SIZE)
        assert all(torch.equal(shard["pixels"][:, 0], one) for one in shard["pixels"].unbind(1))
    else:
        assert shard["mean"].shape == (3, 4, 4, 4)


def test_colour_among_grey_images_is_named(place, tmp_path):
    image_folder(tmp_path / "mixed", each=1, edge=SIZE, channels=1)
    (tmp_path / "mixed/newt/002.png").write_bytes(encoded(pixels(9)))
    mixed = job(place, tmp_path / "out", source=str(tmp_path / "mixed"), autoencoder={"type": "identity"})
    with pytest.raises(DataError, match=r"newt/002\.png' is in colour.* 3 channels"):
        encode(mixed, device="cpu")


def test_several_processes_write_the_same(place, reference, tmp_path):
    outcome = encode(job(place, tmp_path / "out"), device="cpu", devices="2")
    assert (outcome.images, outcome.encoded, outcome.shards) == (COUNT, COUNT, 5)
    assert contents(tmp_path / "out") == reference


def test_what_is_whole_is_not_encoded_again(place, reference):
    told = []
    outcome = encode(job(place, place / "reference"), device="cpu", progress=lambda *how: told.append(how))
    assert outcome.encoded == 0
    assert outcome.images == COUNT
    assert outcome.bytes == sum(len(reference[name]) for name in reference if name != "index.json")
    assert told == []
    assert contents(place / "reference") == reference


class StopError(Exception):
    pass


def stops_after(images):
    """Interrupts once so many are encoded."""

    def progress(_, done, __):
        if done >= images:
            raise StopError

    return progress


@pytest.mark.parametrize("images", [1, 7, 20, 30])
def test_an_interruption_keeps_whole_shards_and_ends_every_thread(place, reference, tmp_path, images):
    threads = threading.active_count()
    with pytest.raises(StopError):
        encode(job(place, tmp_path / "out"), device="cpu", devices="1", progress=stops_after(images))
    assert threading.active_count() == threads
    assert not (tmp_path / "out/index.json").exists()
    whole = len(list((tmp_path / "out").glob("shard-*.safetensors")))
    assert whole >= images // 7 - 1  # all but the one in work
    told = []
    outcome = encode(
        job(place, tmp_path / "out"),
        device="cpu",
        progress=lambda *how: told.append(how),
    )
    assert told[:1] == ([("images", 7 * whole, COUNT)] if whole < 5 else [])
    assert told[-1:] == ([("images", COUNT, COUNT)] if whole < 5 else [])
    assert outcome.encoded == COUNT - min(7 * whole, COUNT)
    assert contents(tmp_path / "out") == reference


def command(place, target, *more):
    return [
        "encode", str(place / "images"), str(target), "--size", str(SIZE), "--weights", str(place / "vae"),
        "autoencoder.precision=32-true", "--batch-size", "3", "--shard-samples", "7",
        "--device", "cpu", "--flips", *more,
    ]  # fmt: skip


def test_a_run_killed_in_the_middle_of_files_resumes_to_the_same_bytes(place, reference, tmp_path):
    # Files: unfinished.json, then a shard and its checksum in turn, at last the index. So it dies in the
    # first of all, in a shard, in a checksum, and in the index.
    arguments = [sys.executable, TESTS / "encoding_runs.py", "0,5,3,4", *command(place, tmp_path / "out")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout) == [-signal.SIGKILL] * 4, done.stderr
    assert not (tmp_path / "out/index.json").exists()
    assert len(list((tmp_path / "out").glob(".*.part"))) == 4
    assert len(list((tmp_path / "out").glob("shard-*.json"))) == 5
    encode(job(place, tmp_path / "out"), device="cpu", devices="1")
    assert contents(tmp_path / "out") == reference


def test_processes_whose_parent_is_killed_end_and_the_next_run_resumes(place, reference, tmp_path):
    start = [sys.executable, "-c", "import sys; from thalweg.cli.main import main; sys.exit(main())"]
    arguments = command(place, tmp_path / "out", "--devices", "2")
    running = subprocess.Popen([*start, *arguments], stderr=subprocess.PIPE, process_group=0)
    deadline = time.monotonic() + 60
    workers: set[int] = set()
    while not list((tmp_path / "out").glob("shard-*")) and time.monotonic() < deadline:
        workers |= children(running.pid)
        time.sleep(0.005)
    running.kill()
    running.communicate()
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers
    assert not any(alive(worker) for worker in workers)
    encode(job(place, tmp_path / "out"), device="cpu", devices="1")
    assert contents(tmp_path / "out") == reference


def children(pid):
    try:
        return {
            int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        }
    except OSError:
        return set()


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_process_that_is_killed_is_reported_and_none_is_left(place, tmp_path, monkeypatch):
    from thalweg.jobs import pool

    class Killed(pool.subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            if len(started) == 2:
                os.kill(self.pid, signal.SIGKILL)

    started: list = []
    monkeypatch.setattr(pool.subprocess, "Popen", Killed)
    killed = r"process 3 of 3 was killed by signal 9 \(SIGKILL\).*run the same command to resume"
    with pytest.raises(ThalwegError, match=killed):
        encode(job(place, tmp_path / "out"), device="cpu", devices="3")
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_a_fault_in_one_process_is_that_of_all(place, tmp_path):
    image_folder(tmp_path / "images", each=10, edge=SIZE)
    damaged = tmp_path / "images/cat/003.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(DataError, match=r"cat/003\.png"):
        encode(job(place, tmp_path / "out", source=str(tmp_path / "images")), device="cpu", devices="2")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"size": 12}, "header.shape"),
        ({"flips": False}, "header.flips"),
        ({"dtype": "float32"}, "header.dtype"),
        ({"seed": 1}, "header.seed"),
        ({"shard_samples": 8}, "shard_samples"),
        ({"autoencoder": {"type": "identity"}}, "header.autoencoder"),
        ({"weights": 1}, "header.autoencoder.sha256"),
        ({"source": 1}, "the files of 30 images changed"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_target_that_was_made_otherwise_is_refused_and_left_alone(
    place, reference, tmp_path, changes, field, finished
):
    target = place / "reference"
    if not finished:
        target = tmp_path / "begun"
        with pytest.raises(StopError):
            encode(job(place, target), device="cpu", devices="1", progress=stops_after(16))
    changes = dict(changes)
    if changes.pop("weights", None):
        options = job(place, "").autoencoder
        changes["autoencoder"] = {**options, "weights": str(write_sd_vae(tmp_path / "other", seed=1))}
    if changes.pop("source", None) or changes == {}:
        changes["source"] = str(image_folder(tmp_path / "others", each=COUNT // 3, edge=13))
    before = contents(target)
    with pytest.raises(ConfigError, match=field):
        encode(job(place, target, **changes), device="cpu", devices="1")
    assert contents(target) == before


def test_a_source_without_images_is_refused(place, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="image"):
        encode(job(place, tmp_path / "out", source=str(tmp_path / "empty")), device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_damaged_image_is_named_and_the_shards_before_it_stay(place, reference, tmp_path):
    image_folder(tmp_path / "images", each=COUNT // 3, edge=12)
    last = batches(Layout(COUNT, 7, 3, seed=0), 4)[0][0]
    name = source_of(str(tmp_path / "images"))[last].key
    damaged = tmp_path / "images" / name
    sound = damaged.read_bytes()
    damaged.write_bytes(sound[:100] + bytes(len(sound) - 100))
    task, how = (
        job(place, tmp_path / "out", source=str(tmp_path / "images")),
        {"device": "cpu", "devices": "1"},
    )
    with pytest.raises(DataError, match=f"{name}.*--accept-changed-data"):
        encode(task, **how)
    assert len(list((tmp_path / "out").glob("shard-*.safetensors"))) == 4
    # Repaired, it resumes, if it is told that this is why the data differ.
    damaged.write_bytes(sound)
    with pytest.raises(ConfigError, match=f"the file of 1 image changed, {name}"):
        encode(task, **how)
    encode(task, **how, accept_changed_data=True)
    assert contents(tmp_path / "out") == reference


def test_a_source_that_changes_meanwhile_is_noticed(place, tmp_path):
    from thalweg_backbones.encoding.preparing import prepare

    images = image_folder(tmp_path / "images", each=4, edge=SIZE)
    task = job(place, tmp_path / "out", source=str(images))
    header = prepare(task, "cpu").header
    (images / "cat/000.png").unlink()
    with pytest.raises(DataError, match="held 12 images a moment ago and holds 11 now"):
        prepare(task, "cpu", header)


def test_latents_beyond_float16_are_refused(place, tmp_path):
    tensors = load_file(place / "vae/diffusion_pytorch_model.safetensors")
    tensors["quant_conv.bias"] = tensors["quant_conv.bias"] + 1e6
    folder = write_sd_vae(tmp_path / "vae")
    from safetensors.torch import save_file

    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    large = {**job(place, "").autoencoder, "weights": str(folder)}
    with pytest.raises(DataError, match=r"not finite.* float32"):
        encode(job(place, tmp_path / "out", autoencoder=large), device="cpu", devices="1")
    outcome = encode(
        job(place, tmp_path / "exact", autoencoder=large, dtype="float32"), device="cpu", devices="1"
    )
    assert outcome.encoded == COUNT


def test_images_that_the_autoencoder_cannot_take_are_refused_before_anything_is_written(place, tmp_path):
    with pytest.raises(ConfigError, match=r"9x9 images.* multiples of 2"):
        encode(job(place, tmp_path / "out", size=9), device="cpu")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_place_is_named(place, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ThalwegError, match="file"):
        encode(job(place, tmp_path / "file/out"), device="cpu")


def test_columns_of_others_are_stored_beside(place):
    """What a teacher will do: any tensors by name, computed of the same batch."""
    from thalweg_backbones.encoding.preparing import prepare

    prepared = prepare(job(place, "nowhere"), "cpu")
    stored: dict = {}

    class Brightness:
        def __call__(self, batch):
            return {"brightness": batch.images.float().mean(dim=(1, 2, 3))}

    columns = [*prepared.columns, Brightness()]
    recorder = ShardRecorder(prepared.layout, prepared.reader, columns, stored.__setitem__)
    work(recorder, [one for number in (4, 1) for one in prepared.layout.batches(number)], lambda _: None)
    assert list(stored) == [4, 1]
    assert set(stored[1]) == {"mean", "std", "mean_flipped", "std_flipped", "labels", "brightness"}
    assert [len(stored[number]["brightness"]) for number in (1, 4)] == [7, 2]


def test_the_machine_is_shared_out():
    assert devices_of("cpu", "auto") == ["cpu"]
    assert devices_of("cpu", "3") == devices_of("cpu", 3) == ["cpu"] * 3


def test_processors_threads_are_shared_out(monkeypatch):
    """Each process has its part of them, and this one all of them again afterwards."""
    every, seen = torch.get_num_threads(), []

    class Alone(Recorder):
        def expect(self, batches):
            seen.append(torch.get_num_threads())

        def take(self, start, stop):
            pass

        def flush(self):
            pass

    class Quiet:
        counts: ClassVar = {}

        def __getattr__(self, name):
            return lambda *_: None

    monkeypatch.setattr("thalweg.jobs.pool._Worker", lambda *given: seen.append(given[-1]) or Quiet())

    torch.set_num_threads(4)
    try:
        share_work(Alone(), Quiet(), [[(0, 1)], [(1, 2)]], ["cpu"] * 2, lambda _: None)
        assert seen == [2, 2]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(every)


@pytest.mark.parametrize(
    ("device", "devices", "message"),
    [
        ("cpu", "0", "at least 1, or auto"),
        ("cpu", "many", "at least 1, or auto"),
        ("cpu", 0, "at least 1"),
        ("abacus", "1", "'abacus'"),
    ],
)
def test_a_machine_that_is_not_there_cannot_be(device, devices, message):
    with pytest.raises(ConfigError, match=message):
        devices_of(device, devices)


def test_lines_of_progress_end_with_all(capsys):
    with ProgressDisplay(seconds=0.0) as progress:
        for done in (4, 7, 10):
            progress("images", done, 10)
    printed = capsys.readouterr()
    assert printed.out == ""
    first, last = printed.err.splitlines()
    assert first.startswith("images: 7 of 10, ")
    assert last.startswith("images: 10 of 10, ")
    assert all("a second" in line and line.endswith("left") for line in (first, last))


def test_bars_of_progress_are_ended_by_an_error(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    def stopped():
        with ProgressDisplay() as progress:
            progress("samples", 4, 10)
            progress("reference", 0, 5)
            progress("samples", 7, 10)
            raise StopError

    with pytest.raises(StopError):
        stopped()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "samples" in printed.err
    assert "reference" in printed.err
    assert printed.err.endswith("\x1b[?25h")  # the cursor is back


def test_secrets_of_a_job_are_not_shown(place):
    text = repr(
        job(
            place,
            "s3://key:hush-hush@bucket/out",
            storage_options={"secret": "very-secret"},
            autoencoder={"type": "sd-vae", "storage_options": {"secret": "more-secret"}},
        )
    )
    assert not any(secret in text for secret in ("hush-hush", "very-secret", "more-secret"))


def test_images_of_any_form_are_cropped_alike(tmp_path, place):
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels(1, 40, 20)).save(tmp_path / "images/tall.png")
    Image.fromarray(pixels(2, 9, 31)).save(tmp_path / "images/wide.png")
    task = job(place, tmp_path / "out", source=str(tmp_path / "images"), autoencoder={"type": "identity"})
    encode(task, device="cpu")
    (shard,) = shards(tmp_path / "out")
    assert shard["pixels"].shape == (2, 3, SIZE, SIZE)
    assert "labels" not in shard


def relabelled(folder, label):
    """Twelve images in a tar, all of one class but the last."""
    members = {}
    for number in range(12):
        members[f"{number:02d}.png"] = encoded(pixels(number))
        members[f"{number:02d}.cls"] = str(label if number < 11 else 3).encode()
    return tar(folder / "labelled.tar", members)


def pixel_job(folder, **more):
    given = {"shard_samples": 4, "batch_size": 2, "autoencoder": {"type": "identity"}, "size": 8, **more}
    return EncodingJob(source=str(folder / "labelled.tar"), target=str(folder / "out"), **given)


def test_labels_that_were_corrected_are_never_complete_already(tmp_path):
    relabelled(tmp_path, 0)
    encode(pixel_job(tmp_path), device="cpu", devices="1")
    before = contents(tmp_path / "out")
    relabelled(tmp_path, 1)
    for accepts in (False, True):
        with pytest.raises(ConfigError, match=r"other data.*the labels of 11 images changed, the first 00;"):
            encode(pixel_job(tmp_path), device="cpu", devices="1", accept_changed_data=accepts)
    assert contents(tmp_path / "out") == before


def test_an_unfinished_set_keeps_its_shards_of_changed_data_if_it_is_told_to(tmp_path):
    job, how = pixel_job(tmp_path), {"device": "cpu", "devices": "1"}
    relabelled(tmp_path, 0)
    with pytest.raises(StopError):
        encode(job, **how, progress=stops_after(8))
    kept = contents(tmp_path / "out")
    relabelled(tmp_path, 1)
    with pytest.raises(ConfigError, match="--accept-changed-data"):
        encode(job, **how)
    with pytest.raises(ConfigError, match=r"made otherwise \(header\.seed"):
        encode(pixel_job(tmp_path, seed=1), **how, accept_changed_data=True)
    assert contents(tmp_path / "out") == kept
    encode(job, **how, accept_changed_data=True)
    after = contents(tmp_path / "out")
    shards_kept = {name for name in kept if name.endswith(".safetensors")}
    assert shards_kept
    assert {name: after[name] for name in shards_kept} == {name: kept[name] for name in shards_kept}
    source = source_of(str(tmp_path / "labelled.tar"))
    assert read_index(Location(str(tmp_path / "out"))).header.source == source.identity
