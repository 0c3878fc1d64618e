"""A command builds nothing that a run names unless it needs it."""

import json
import os

import numpy as np
import pytest

import thalweg
from evaluated import FAST, npz, pictures
from recorded_configs import recorded
from thalweg.cli.main import main
from thalweg.saved_network import save

BUILT = """
[data]
type = "images"
source = {{ type = "folder", url = "{url}" }}
size = 8
channels = 1
{more}
[backbone]
type = "dit"
width = 16
depth = 1
heads = 2
patch = 4
[objectives.velocity]
[training]
steps = 1
batch_size = 4
"""
SHARDS = """
[data]
type = "shards"
url = "{url}"
validation = 4
expected = {{ shape = [4, 8, 8], classes = 3 }}
"""


@pytest.fixture
def marks(monkeypatch):
    """What was built of what a run names."""
    from thalweg.data import images
    from thalweg.data.shards import dataset, store
    from thalweg.data.sources import folder, idx, tar

    found = []

    def marked(kind, name, method):
        whole = getattr(kind, method)

        def marking(self, *arguments):
            # Not what a command has written itself, and looks at afterwards.
            if name.startswith("shard") or "nowhere" in repr(self):
                found.append(f"{name}.{method}")
            return whole(self, *arguments)

        monkeypatch.setattr(kind, method, marking)

    for kind, name in (
        *((images.ImagesConfig, "images"), (folder.FolderConfig, "folder"), (tar.TarConfig, "tar")),
        *((idx.IdxConfig, "idx"), (dataset.ShardsConfig, "shards"), (store.ShardStore, "shard")),
    ):
        marked(kind, name, "open" if name == "shard" else "build")
    return found


@pytest.fixture
def run(tmp_path):
    """A stranger's run on pixels, whose data would be listed at a place that can be seen."""
    folder = tmp_path / "run"
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "depth": 1, "heads": 2, "patch": 4},
        facts=thalweg.Facts(shape=(1, 8, 8), classes=3),
    )
    save(folder / "model", network, run={"step": 1})
    (folder / "config.toml").write_text(recorded(BUILT.format(url=tmp_path / "nowhere", more="")))
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    return folder


QUICK = ("count=4", "sampler=euler", "sampler.steps=2")


@pytest.mark.parametrize("name", ["tensors", "x.npz", "x.tar"])
@pytest.mark.parametrize("devices", [(), ("--devices", "2")], ids=["one", "two"])
def test_samples_are_drawn_without_the_data(run, tmp_path, marks, name, devices):
    if devices and name != "x.npz":
        pytest.skip("once is enough")
    assert main(["sample", str(run), str(tmp_path / name), *QUICK, *devices]) == 0
    assert (tmp_path / name).exists()
    assert marks == []


def test_pngs_are_drawn_without_the_data(run, tmp_path, marks):
    assert main(["sample", str(run), str(tmp_path / "pngs"), *QUICK, "--png"]) == 0
    assert marks == []


def test_padding_is_cut_off_without_the_data(run, tmp_path, marks):
    text = BUILT.format(url=tmp_path / "nowhere", more="pad = 8").replace("size = 8", "size = 6")
    (run / "config.toml").write_text(recorded(text))
    assert main(["sample", str(run), str(tmp_path / "x.npz"), *QUICK]) == 0
    with np.load(tmp_path / "x.npz") as written:
        assert written["arr_0"].shape[1:3] == (6, 6)
    assert marks == []


def test_an_evaluation_with_a_reference_opens_no_data_of_the_run(run, tmp_path, marks, capsys):
    reference = tmp_path / "real.npz"
    np.savez(reference, arr_0=pictures(8), arr_1=np.arange(8) % 3)
    settings = [*FAST, "count=4", "sampling.sampler=euler", "sampling.sampler.steps=2"]
    command = ["evaluate", str(run), "--reference", str(reference), "--out", str(tmp_path / "passport.json")]
    # Those of the reference teach it.
    taught = ["--metrics", "frechet_distance", "--extractor", "small_classifier"]
    code = main([*command, *taught, *settings])
    assert code == 0, capsys.readouterr().err
    assert marks == []


def test_neither_loading_nor_reporting_builds_anything(run, tmp_path, marks):
    thalweg.load(run)
    assert main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    assert marks == []


def test_latents_that_are_no_images_are_refused_without_the_data(run, tmp_path, marks, capsys):
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "depth": 1, "heads": 2, "patch": 4},
        facts=thalweg.Facts(shape=(4, 8, 8), classes=3),
    )
    save(run / "model", network)
    os.mkfifo(tmp_path / "index.json")
    text = BUILT.partition("[backbone]")[2]
    (run / "config.toml").write_text(recorded(SHARDS.format(url=tmp_path) + "[backbone]" + text.format()))
    assert main(["sample", str(run), str(tmp_path / "out"), *QUICK]) == 0
    assert main(["sample", str(run), str(tmp_path / "x.npz"), *QUICK]) == 2
    assert "are no images by themselves" in capsys.readouterr().err
    assert marks == []


def test_shards_are_shown_by_their_index_alone(tmp_path, marks):
    from shard_makers import make_shards
    from thalweg.data.shards.dataset import ShardsConfig
    from thalweg.generation.network_samples import view_of

    make_shards(tmp_path)
    for shard in tmp_path.glob("shard-*"):
        shard.unlink()
    view_of(ShardsConfig(url=str(tmp_path), validation=4))
    assert marks == []


@pytest.mark.parametrize("options", [{}, {"size": 6}, {"pad": 12}, {"size": 6, "pad": 9}], ids=str)
def test_views_show_what_data_sets_show(tmp_path, options):
    import torch

    from image_makers import image_folder
    from thalweg.data.digits import DigitsConfig
    from thalweg.data.images import ImagesConfig
    from thalweg.data.sources.folder import FolderConfig

    source = FolderConfig(str(image_folder(tmp_path)))
    for config in (DigitsConfig(), ImagesConfig(source=source, **options)):
        built = config.build()
        x = torch.rand(2, *built.facts.shape) * 2 - 1
        assert torch.equal(config.view().images(x), built.images(x))


def test_teaching_data_are_opened_for_who_is_taught(tmp_path):
    from thalweg_eval.evaluation.image_sets.opening import FileImagesConfig, opened_once

    later = opened_once(FileImagesConfig(str(tmp_path / "real.npz")), "cpu")
    npz(tmp_path / "real.npz", 8)
    assert later() is later()
    assert len(later()) == 8


def test_the_marks_are_left(run, tmp_path, marks):
    # What is tested above would pass if the marks left none.
    (tmp_path / "nowhere" / "a").mkdir(parents=True)
    from thalweg.config import load_config
    from thalweg.plugins import build_component

    with pytest.raises(thalweg.DataError):
        build_component(load_config(run / "config.toml").data)
    assert marks == ["images.build", "folder.build"]
    assert json.loads((run / "metrics.jsonl").read_text())["step"] == 1
