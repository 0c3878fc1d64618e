"""Samples as files: the same whoever draws them and however often they are interrupted."""

import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import thalweg
import thalweg_eval
from evaluated import FAST, run_folder
from thalweg.data.pixels import to_images
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.generation.captions import PartCaptions
from thalweg.generation.generate import generate
from thalweg.generation.settings import GenerationConfig
from thalweg.generation.source import SampleSource, labels_of
from thalweg.network_sampler import NetworkSampler
from thalweg.types import Batch, Condition, Text

COUNT = 23


def config(**options):
    fields = {"sampler": {"type": "euler", "steps": 2}, "precision": "32-true", "count": COUNT, "seed": 3}
    return {**fields, **options}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def expected(run):
    """What :func:`thalweg.sample` draws, as images."""
    labels = [index % 10 for index in range(COUNT)]
    drawn = thalweg.sample(
        thalweg.load(run), labels=labels, indices=range(COUNT), sampler={"type": "euler", "steps": 2}, seed=3,
        precision="32-true", batch_size=8,
    )  # fmt: skip
    return to_images(drawn.x).numpy()


def test_an_npz_holds_the_samples_as_the_adm_evaluator_takes_them(run, tmp_path, expected):
    told = generate(run, tmp_path / "x.npz", config(batch_size=8))
    with np.load(tmp_path / "x.npz", allow_pickle=False) as found:
        assert np.array_equal(found["arr_0"], expected.transpose(0, 2, 3, 1))
        assert found["arr_1"].tolist() == [index % 10 for index in range(COUNT)]
    assert told["nfe"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npz", "x.npz.json"]


def test_a_tar_and_a_folder_hold_a_png_for_each(run, tmp_path, expected):
    generate(run, tmp_path / "x.tar", config(batch_size=8), first=0)
    generate(run, tmp_path / "x", config(batch_size=8), pngs=True)
    with tarfile.open(tmp_path / "x.tar") as archive:
        for index in (0, 9, COUNT - 1):
            png = np.array(Image.open(archive.extractfile(f"{index:08d}.png")))
            assert np.array_equal(png, expected[index, 0])
            assert archive.extractfile(f"{index:08d}.cls").read() == str(index % 10).encode()
            assert np.array_equal(np.array(Image.open(tmp_path / "x" / f"{index:08d}.png")), png)
        assert len(archive.getnames()) == 2 * COUNT
    assert len(list((tmp_path / "x").iterdir())) == COUNT


def test_numbers_of_drawn_files_say_how_they_were_drawn(run, tmp_path):
    generate(run, tmp_path / "x.npz", config(count=40, seed=0))
    options = {"protocol": "quick", "settings": (*FAST, "count=40"), "work": tmp_path / "work"}
    on_the_spot = thalweg_eval.evaluate(run, **options)
    from_file = thalweg_eval.evaluate(tmp_path / "x.npz", reference=run, **options)
    assert from_file.values == pytest.approx(on_the_spot.values, rel=1e-4)
    assert from_file.conditions == on_the_spot.conditions
    (tmp_path / "y.npz").write_bytes((tmp_path / "x.npz").read_bytes() + b"")
    assert (
        thalweg_eval.evaluate(tmp_path / "y.npz", reference=run, **options).conditions["sampling"]
        == "not stated"
    )


@pytest.mark.parametrize("name", ["x.npz", "x"])
def test_an_interrupted_drawing_resumes_and_comes_to_the_same(run, tmp_path, monkeypatch, name):
    for place in ("whole", "cut"):
        (tmp_path / place).mkdir()
    generate(run, tmp_path / "whole" / name, config(batch_size=8))
    drawing, drawn = NetworkSampler.__call__, []

    def interrupted(self, indices, condition):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(indices)
        return drawing(self, indices, condition)

    monkeypatch.setattr(NetworkSampler, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(run, tmp_path / "cut" / name, config(batch_size=8))
    assert [path.name.partition("-")[0] for path in (tmp_path / "cut").iterdir()] == [f"{name}.unfinished"]
    monkeypatch.setattr(NetworkSampler, "__call__", drawing)
    told = []
    generate(run, tmp_path / "cut" / name, config(batch_size=5), progress=lambda *how: told.append(how))
    assert told == [("samples", done, COUNT) for done in (16, 20, COUNT)]
    if name == "x.npz":
        ours, whole = (np.load(tmp_path / place / name)["arr_0"] for place in ("cut", "whole"))
        # A batch of another size may round otherwise within the network.
        assert np.abs(ours.astype(int) - whole.astype(int)).max() <= 1
    else:
        ours, whole = (
            load_file(tmp_path / place / name / "samples.safetensors") for place in ("cut", "whole")
        )
        torch.testing.assert_close(ours, whole)
        assert json.loads((tmp_path / "cut/x/samples.json").read_text())["nfe"] == 2
    assert not list((tmp_path / "cut").glob("*unfinished*"))


def test_random_labels_depend_on_seed_and_index_alone():
    rule = labels_of("random", range(10), 1, range(200))
    assert labels_of("random", range(10), 1, [150, 7]) == [rule[150], rule[7]]
    assert labels_of("random", range(10), 2, range(200)) != rule
    assert set(rule) == set(range(10))
    assert labels_of("balanced", [3, 5], 0, range(5)) == [3, 5, 3, 5, 3]


def test_labels_are_recorded(run, tmp_path):
    generate(run, tmp_path / "x.npz", config(labels="random"))
    labels = np.load(tmp_path / "x.npz")["arr_1"].tolist()
    assert labels == labels_of("random", range(10), 3, range(COUNT))
    note = json.loads((tmp_path / "x.npz.json").read_text())
    assert note["sampling"]["labels"] == "random"
    assert note["sampling"]["classes"] == "all"


def test_a_network_without_data_needs_something_that_decodes(run, tmp_path):
    model = tmp_path / "model"
    (run / "model").rename(model)
    try:
        with pytest.raises(ConfigError, match="autoencoder=identity for pixels"):
            generate(model, tmp_path / "x.npz", config())
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
        generate(model, tmp_path / "x.npz", config(autoencoder="identity"))
    finally:
        model.rename(run / "model")


def test_samples_that_are_not_finite_leave_nothing(tmp_path):
    run = run_folder(tmp_path / "run")
    network = thalweg.load(run)
    with torch.no_grad():
        next(iter(network.parameters())).fill_(float("nan"))
    (tmp_path / "run/model").rename(tmp_path / "former")
    from thalweg.saved_network import save

    save(run / "model", network)
    with pytest.raises(ThalwegError, match="sample 0 is not finite"):
        generate(run, tmp_path / "x.npz", config())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["former", "run"]


def test_what_holds_no_network_is_named(tmp_path):
    with pytest.raises(DataError, match="holds no network"):
        generate(tmp_path / "gone", tmp_path / "x.npz", config())


class Captions:
    """Three captions of one to three tokens; a caption's only token value is its index."""

    def __len__(self):
        return 3

    def batch(self, indices, generator):
        (index,) = indices
        tokens = torch.full((1, index + 1, 2), float(index))
        text = Text(
            tokens, torch.ones(1, index + 1, dtype=torch.bool), torch.zeros(1, 2), torch.ones(1).bool()
        )
        return Batch(torch.zeros(1, 1, 2, 2), Condition(text=text))


class Reader:
    """Its velocity is minus the mean of the caption's tokens, where there are any."""

    facts = thalweg.Facts(shape=(1, 2, 2), text=(3, 2))

    def velocity(self, x, t, condition):
        tokens, mask = condition.text.tokens[..., 0], condition.text.mask
        return -((tokens * mask).sum(1) / mask.sum(1)).view(-1, 1, 1, 1) + 0 * x


def test_a_network_that_reads_captions_gets_those_of_its_data_in_turn():
    source = SampleSource(
        Reader(),
        GenerationConfig({"type": "euler", "steps": 1}),
        5,
        captions=PartCaptions(Captions(), 0, "validation"),
    )
    silent = thalweg.randomness.SampleNoise(0, range(5), (1, 2, 2)).initial()
    drawn = source(range(5))
    torch.testing.assert_close((drawn.x - silent).mean((1, 2, 3)), torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0]))
    assert drawn.labels is None
    assert torch.equal(source([4, 1]).x, drawn.x[[4, 1]])
    with pytest.raises(ConfigError, match="reads captions"):
        SampleSource(Reader(), GenerationConfig(), 5)
