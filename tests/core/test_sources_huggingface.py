"""Data sets of the library ``datasets``: saved, in files, in its cache; by index and shard by shard."""

import socket
import sys

import numpy as np
import pytest

from image_makers import encoded, image_folder, pixels
from thalweg.config import component
from thalweg.data.sources import source_of
from thalweg.errors import ConfigError, DamagedImageError, DataError, PluginError
from thalweg.training.trainer import Trainer
from tiny_runs import lines, tensor_files, tiny

datasets = pytest.importorskip("datasets")

COUNT = 12
NAMES = ("cat", "dog", "newt")
LABELLED = {"label": "kind", "caption": "said"}


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Empty caches, and no way out of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")

    def refuse(*arguments, **more):
        raise AssertionError(f"reaches for {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    datasets.disable_progress_bars()


@pytest.fixture
def rows():
    cells = {
        "image": [{"bytes": encoded(pixels(number)), "path": None} for number in range(COUNT)],
        "kind": [number % 3 for number in range(COUNT)],
        "said": [[f"picture {number}", "  "] for number in range(COUNT)],
        "text": [f"picture {number}" for number in range(COUNT)],
        "other": list(range(COUNT)),
    }
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "kind": datasets.ClassLabel(names=list(NAMES)),
            "said": datasets.List(datasets.Value("string")),
            "text": datasets.Value("string"),
            "other": datasets.Value("int32"),
        }
    )
    return datasets.Dataset.from_dict(cells, features=features, split="train")


def parquet(rows, folder, shards=3):
    folder.mkdir()
    for number in range(shards):
        rows.shard(shards, number, contiguous=True).to_parquet(
            folder / f"train-{number:05d}-of-{shards:05d}.parquet"
        )
    return folder


def source(url, **options):
    return component("source", {"type": "huggingface", "url": str(url), **options}).build()


def check(found, *, first=0, count=COUNT):
    assert (len(found), found.classes, found.class_names, found.captioned) == (count, 3, NAMES, True)
    for index in range(count):
        record = found[index]
        number = first + index
        assert np.array_equal(record.image, pixels(number))
        assert record.label == number % 3
        assert record.captions == found.captions(index) == (f"picture {number}",)
    with pytest.raises(IndexError):
        found[count]


def test_what_was_saved_is_read_by_index_and_known_by_what_it_holds(rows, tmp_path):
    rows.save_to_disk(tmp_path / "saved", num_shards=2)
    found = source(tmp_path / "saved", **LABELLED)
    check(found)
    assert found.labels == [number % 3 for number in range(COUNT)]
    datasets.DatasetDict(train=rows, test=rows.select(range(4, 7))).save_to_disk(tmp_path / "several")
    check(source(tmp_path / "several", split="test", **LABELLED), first=4, count=3)
    again = source_of(str(tmp_path / "several"), **LABELLED)
    assert again.identity == found.identity
    assert source(tmp_path / "saved", caption="text", label="kind").identity == found.identity
    assert source(tmp_path / "saved", label="kind").identity != found.identity
    with pytest.raises(DataError, match="holds the splits train, test, and no dev"):
        source(tmp_path / "several", split="dev")
    with pytest.raises(DataError, match="holds the split train, not test"):
        source(tmp_path / "saved", split="test")
    with pytest.raises(ConfigError, match="is read by index; leave 'stream' out"):
        source(tmp_path / "saved", stream=True)


@pytest.mark.parametrize("stream", [False, True])
def test_parquet_files_are_read_by_index_and_shard_by_shard(rows, tmp_path, stream):
    place = parquet(rows, tmp_path / "files")
    found = source_of(str(place), stream=stream, **LABELLED)
    check(found)
    assert getattr(found, "blocks", None) == ((4, 4, 4) if stream else None)
    place.rename(tmp_path / "elsewhere")
    assert source(tmp_path / "elsewhere", stream=stream, **LABELLED).identity == found.identity


def test_a_stream_notices_other_files_and_trains_as_the_rows_by_index_do(rows, tmp_path):
    place = parquet(rows, tmp_path / "files")
    before = source(place, stream=True, label="kind")
    assert before[5].label == 2
    other = rows.shard(3, 1, contiguous=True).select([1, 0, 2, 3])
    other.to_parquet(place / "train-00001-of-00003.parquet")
    after = source(place, stream=True, label="kind")
    assert after.identity != before.identity
    assert np.array_equal(after[5].image, pixels(4))
    data = {"type": "images", "source": {"type": "huggingface", "url": str(place), "stream": True}}
    built = component("dataset", data).build()
    assert (sum(built.train.blocks), len(built.train), built.facts.shape) == (11, 11, (3, 8, 8))


def test_a_run_on_a_stream_resumes_to_the_bit_with_an_empty_cache(rows, tmp_path, monkeypatch):
    stream = {"type": "huggingface", "url": str(parquet(rows, tmp_path / "files")), "stream": True}
    data = {"type": "images", "source": {**stream, "label": "kind"}, "validation": 0.1}

    def train(run, steps):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"{run}-{steps}"))
        config = tiny(top={"data": data}, steps=steps, batch_size=4, validation_batches=1)
        Trainer(config, tmp_path / run, accelerator="cpu", quiet=True).train()

    train("whole", 6)  # two epochs of 11 samples
    train("cut", 4)
    train("cut", 6)
    assert tensor_files(tmp_path / "cut") == tensor_files(tmp_path / "whole")
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


@pytest.mark.parametrize("stream", [False, True])
def test_folders_of_images_are_read_with_their_classes(tmp_path, stream):
    image_folder(tmp_path / "images" / "train", each=4)
    found = source(tmp_path / "images", label="label", stream=stream)
    assert (len(found), found.class_names, found[5].label) == (COUNT, NAMES, 1)
    assert np.array_equal(found[5].image, pixels(5))


def test_a_damaged_parquet_file_is_named(rows, tmp_path):
    place = parquet(rows, tmp_path / "files")
    found = source(place, stream=True, label="kind")
    broken = place / "train-00002-of-00003.parquet"
    broken.write_bytes(broken.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"train-00002-of-00003\.parquet of .* cannot be read"):
        found[10]
    with pytest.raises(DataError, match=r"train-00002-of-00003\.parquet"):
        source(place, stream=True, label="kind")


def test_columns_that_are_not_there_or_hold_something_else_are_named(rows, tmp_path):
    rows.save_to_disk(tmp_path / "saved")
    place = tmp_path / "saved"
    with pytest.raises(DataError, match="has no column 'picture'; it has image, kind, said, text, other"):
        source(place, image="picture")
    with pytest.raises(DataError, match=r"column 'text' of train holds .* no images"):
        source(place, image="text")
    with pytest.raises(DataError, match=r"column 'text' of train holds .* class_encode_column"):
        source(place, label="text")
    with pytest.raises(DataError, match=r"states 3 classes, not 5"):
        source(place, label="kind", classes=5)
    with pytest.raises(DataError, match=r"neither a text nor a list of texts"):
        source(place, caption="other").captions(0)
    assert source(place, label="other").classes == COUNT
    files = parquet(rows, tmp_path / "files")
    with pytest.raises(ConfigError, match=r"column 'other' .* set the source's 'classes'"):
        source(files, label="other", stream=True)
    assert source(files, label="other", stream=True, classes=COUNT)[7].label == 7


def without_files(cells, folder):
    """Rows as somebody else wrote them; datasets itself would fetch what they name."""
    from pyarrow import parquet

    features = datasets.Features({"image": datasets.Image()})
    folder.mkdir()
    rows = datasets.Dataset.from_dict({"image": cells}, features=features)
    parquet.write_table(rows.data.table, folder / "train-00000-of-00001.parquet")
    return folder


ELSEWHERE = {"bytes": None, "path": "https://example.com/x.png"}


def test_rows_without_an_image_or_with_a_url_in_its_place_reach_for_nothing(tmp_path):
    found = source(without_files([None, ELSEWHERE, {"bytes": b"no image", "path": None}], tmp_path / "files"))
    assert len(found) == 3
    with pytest.raises(DamagedImageError, match="row 000000000 of train has no image"):
        found[0]
    with pytest.raises(DataError, match="names a URL"):
        found[1]
    with pytest.raises(DamagedImageError, match="row 000000002 of train begins with"):
        found[2]


def test_a_stream_reaches_for_no_url_that_stands_in_place_of_an_image(tmp_path):
    found = source(without_files([None, ELSEWHERE], tmp_path / "files"), stream=True)
    with pytest.raises(DataError, match="names a URL"):
        found[0]


def test_a_name_on_the_hub_is_stated_as_such_and_read_from_the_cache_alone(rows, tmp_path):
    files = parquet(rows, tmp_path / "files")
    builder = datasets.load_dataset_builder("parquet", data_dir=str(files))
    kept = tmp_path / "hf" / "zoo___three-animals" / "default" / "0.0.0" / ("a1" * 20)
    builder.download_and_prepare(str(kept))
    for arrow in kept.glob("parquet-*.arrow"):
        arrow.rename(arrow.with_name(arrow.name.replace("parquet-", "three-animals-")))
    (kept / "dataset_info.json").write_text(
        (kept / "dataset_info.json")
        .read_text()
        .replace('"dataset_name": "parquet"', '"dataset_name": "three-animals"')
    )
    options = {"type": "huggingface", "hub": "zoo/three-animals", **LABELLED}
    check(component("source", options).build())
    check(source_of("huggingface", hub="zoo/three-animals", **LABELLED))
    check(component("source", {**options, "revision": "a1" * 20}).build())
    with pytest.raises(DataError, match=r"holds zoo/three-animals of revision a1a1.*, not b2"):
        component("source", {**options, "revision": "b2"}).build()
    with pytest.raises(
        DataError, match=r"zoo/unknown.*cannot be opened.*unless the source's 'download' is set"
    ):
        component("source", {**options, "hub": "zoo/unknown"}).build()
    with pytest.raises(ConfigError, match=r"set 'download' to allow that"):
        component("source", {**options, "stream": True}).build()
    with pytest.raises(DataError, match=r"there is no folder .*zoo/three-animals; a data set on the Hub"):
        source("zoo/three-animals")


def test_with_download_the_hub_is_asked_for_the_revision_and_split_that_are_stated(
    rows, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *one, **more: asked.append((one, more)) or rows)
    options = {"hub": "zoo/three", "download": True, "subset": "small", "revision": "a1", **LABELLED}
    check(component("source", {"type": "huggingface", **options}).build())
    assert asked == [(("zoo/three", "small"), {"split": "train", "revision": "a1"})]


def test_a_readme_that_names_files_elsewhere_is_not_followed(tmp_path):
    image_folder(tmp_path / "images" / "train", each=1)
    (tmp_path / "images" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: https://example.com/x.parquet\n---\n"
    )
    assert len(source(tmp_path / "images")) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give either 'url'.* or 'hub'"),
        ({"url": "a", "hub": "b"}, "give either 'url'.* or 'hub'"),
        ({"url": "a", "download": True}, "are of a data set on the Hub"),
        ({"url": "a", "classes": 3}, "name it as 'label'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        component("source", {"type": "huggingface", **options}).build()


def test_places_that_hold_no_data_set_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no data set"):
        source(tmp_path)
    with pytest.raises(ConfigError, match="download it first"):
        source("s3://bucket/saved")


def test_the_package_missing_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PluginError, match=r"pip install 'thalweg-core\[datasets\]'"):
        source(tmp_path)
