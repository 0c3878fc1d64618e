"""Latents normalised by channel: when they are read, in the network's description, and before decoding."""

import json
import math
from typing import ClassVar

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import thalweg
from shard_makers import draws, header, make_shards
from thalweg.cli.main import main
from thalweg.data.normalising import denormalised, normalised
from thalweg.data.pixels import to_images
from thalweg.data.shards import ShardWriter
from thalweg.data.shards.dataset import ShardsConfig
from thalweg.data.shards.statistics import channel_statistics
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts, Normalisation
from thalweg.generation.network_samples import ImageDecoder
from thalweg.loading import load
from thalweg.saved_network import save
from thalweg.storage import Location
from thalweg.training.trainer import Trainer
from thalweg_backbones.importers.latent_statistics import read_statistics
from tiny_runs import tiny

BY = Normalisation(mean=(1.0, -2.0, 0.5, 3.0), std=(2.0, 0.5, 1.5, 4.0))
TABLE = {"mean": list(BY.mean), "std": list(BY.std)}
FACTS = Facts(shape=(4, 8, 8), classes=5, normalisation=BY)
DIT = {"type": "dit", "width": 16, "depth": 2, "heads": 2}


class Remembers:
    """An autoencoder that shows what it was given."""

    identity: ClassVar = {"type": "remembers"}
    scale = 1.0

    def shape(self, channels, height, width):
        return (4, height, width)

    def encode(self, images):
        return images, None

    def decode(self, x):
        self.given = x
        return torch.zeros(len(x), 3, 4, 4, dtype=torch.uint8)


def shards(folder, **fields):
    make_shards(folder, **{"shape": (4, 8, 8), "spread": 0.5, **fields})
    return str(folder)


def every(split):
    return split.batch(range(len(split)), draws()).clean


def test_there_and_back_is_nothing():
    x = torch.randn(3, 4, 2, 5, dtype=torch.float64)
    there = normalised(x, BY)
    assert torch.allclose(there[:, 1], (x[:, 1] + 2) / 0.5)
    assert torch.allclose(denormalised(there, BY), x, atol=1e-12)
    assert normalised(x, None) is denormalised(x, None) is x


def test_latents_are_normalised_when_they_are_read(tmp_path):
    url = shards(tmp_path / "shards", scale=0.5)
    plain, found = (ShardsConfig(url=url, validation=3, normalise=one).build() for one in (None, BY))
    for part in ("train", "validation"):
        x, z = every(getattr(plain, part)), every(getattr(found, part))
        assert torch.allclose(z, normalised(x, BY), atol=1e-6)
    assert found.facts == attrs.evolve(plain.facts, normalisation=BY)
    assert ShardsConfig(url=url, validation=3, normalise=BY).facts == found.facts
    assert plain.identity != found.identity
    other = attrs.evolve(BY, mean=(1.0, -2.0, 0.5, 3.5))
    assert ShardsConfig(url=url, validation=3, normalise=other).build().identity != found.identity


@pytest.mark.parametrize("flips", [False, True])
def test_statistics_bring_every_channel_to_zero_and_one(tmp_path, flips):
    draw = torch.Generator().manual_seed(0)

    head = header(count=400, shape=(3, 4, 4), scale=0.3, classes=None, flips=flips)
    writer = ShardWriter(Location(tmp_path / "shards"), head, shard_samples=150)
    centre, spread = (
        torch.tensor([4.0, -1.0, 0.0])[:, None, None],
        torch.tensor([2.0, 0.1, 1.0])[:, None, None],
    )
    for number in range(writer.shards):
        count = len(writer.samples(number))
        tensors = {}
        for suffix in ("", "_flipped") if flips else ("",):
            tensors[f"mean{suffix}"] = centre + spread * torch.randn(count, 3, 4, 4, generator=draw)
            tensors[f"std{suffix}"] = (0.5 * spread).expand(count, 3, 4, 4).clone()
        writer.write_shard(number, tensors)
    writer.finish()
    said = []
    found = channel_statistics(Location(tmp_path / "shards"), lambda *one: said.append(one))
    assert said[-1] == (3, 3)
    expected = 0.3 * spread.flatten() * math.sqrt(1.25)
    assert torch.allclose(torch.tensor(found.std), expected, rtol=0.03)
    assert torch.allclose(torch.tensor(found.mean), 0.3 * centre.flatten(), atol=0.03)
    data = ShardsConfig(url=str(tmp_path / "shards"), validation=5, normalise=found).build()
    x = every(data.train)
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=0.05)
    assert torch.allclose(x.std((0, 2, 3)), torch.ones(3), atol=0.03)


def test_the_command_prints_what_a_recipe_takes(tmp_path, capsys):
    url = shards(tmp_path / "shards")
    assert main(["data", "statistics", url]) == 0
    (tmp_path / "recipe.toml").write_text(
        f'[data]\ntype = "shards"\nurl = "{url}"\nvalidation = 3\n{capsys.readouterr().out}'
        '[backbone]\ntype = "dit"\nwidth = 16\ndepth = 1\nheads = 2\n'
        "[objectives]\nvelocity = {}\n[training]\nsteps = 1\nbatch_size = 2\n"
    )
    stated = thalweg.load_config(tmp_path / "recipe.toml").data.normalise
    found = channel_statistics(Location(url), lambda *_: None)
    assert stated.mean == pytest.approx(found.mean, rel=1e-6)
    assert main(["data", "statistics", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["std"] == pytest.approx(found.std)


def test_pixels_are_not_normalised(tmp_path):
    url = shards(tmp_path / "shards", kind="pixels", shape=(3, 4, 4), dtype="uint8")
    by = Normalisation((0.0,) * 3, (1.0,) * 3)
    with pytest.raises(ConfigError, match=r"holds pixels.*leave normalise out"):
        ShardsConfig(url=url, validation=3, normalise=by).build()
    with pytest.raises(DataError, match="holds pixels"):
        channel_statistics(Location(url), lambda *_: None)


def test_a_view_undoes_it_before_it_decodes(tmp_path):
    view = ShardsConfig(url=shards(tmp_path / "shards"), validation=3, normalise=BY).view()
    autoencoder = Remembers()
    x = torch.randn(2, 4, 8, 8)
    attrs.evolve(view, autoencoder=autoencoder).images(x)
    assert torch.equal(autoencoder.given, denormalised(x, BY))


def test_an_autoencoder_that_is_named_gets_what_it_made():
    autoencoder, x = Remembers(), torch.randn(2, 4, 8, 8)
    ImageDecoder(None, autoencoder, "cpu", BY)(x)
    assert torch.equal(autoencoder.given, denormalised(x, BY))


def test_a_run_records_it_with_its_network(tmp_path):
    url = shards(tmp_path / "shards", classes=5)
    data = {"type": "shards", "url": url, "validation": 3, "normalise": TABLE}
    config = tiny(top={"data": data}, steps=2, checkpoint_every=1, validate_every=0, batch_size=4)
    Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()
    assert load(tmp_path / "run").facts.normalisation == BY
    assert load(tmp_path / "run" / "checkpoints" / "step-00000001").facts.normalisation == BY
    stated = json.loads((tmp_path / "run" / "model" / "model.json").read_text())["facts"]["normalisation"]
    assert stated == TABLE


def test_a_network_says_how_its_samples_are_normalised(tmp_path):
    network = thalweg.compose(backbone=DIT, facts=FACTS)
    save(tmp_path / "model", network)
    assert load(tmp_path / "model").facts.normalisation == BY
    other = thalweg.compose(backbone=DIT, facts=attrs.evolve(FACTS, normalisation=None))
    with pytest.raises(DataError, match=r"saved with normalisation Normalisation.*network given has None"):
        load(tmp_path / "model", network=other)
    save(tmp_path / "plain", other)
    guidance = {"type": "autoguidance", "network": str(tmp_path / "plain")}
    with pytest.raises(ConfigError, match="second network's normalisation is None"):
        thalweg.sample(network, indices=[0], labels=[1], guidance=guidance)


def test_sampled_images_are_of_what_the_autoencoder_made(tmp_path):
    by = Normalisation((0.5, -0.5, 0.0), (0.1, 0.2, 0.3))
    facts = Facts(shape=(3, 8, 8), classes=2, normalisation=by)
    save(tmp_path / "model", thalweg.compose(backbone=DIT, facts=facts))
    options = ["count=4", "sampler=euler", "sampler.steps=2", "guidance=none"]
    for out, more in (("tensors", []), ("images.npz", ["autoencoder=identity"])):
        assert main(["sample", str(tmp_path / "model"), str(tmp_path / out), *options, *more]) == 0
    x = load_file(tmp_path / "tensors" / "samples.safetensors")["x"]
    images = torch.from_numpy(np.load(tmp_path / "images.npz")["arr_0"]).permute(0, 3, 1, 2)
    assert torch.equal(images, to_images(denormalised(x, by)))
    assert not torch.equal(images, to_images(x))


def test_a_network_is_not_trained_on_latents_that_are_normalised_otherwise(tmp_path):
    url = shards(tmp_path / "shards", classes=5)
    config = tiny(
        top={"data": {"type": "shards", "url": url, "validation": 3}, "branches": 1, "refiner": "none"}
    )
    network = thalweg.compose(backbone=DIT, facts=FACTS)
    with pytest.raises(ConfigError, match="network's samples are normalised by Normalisation"):
        Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True, network=network)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"mean": [0.0], "std": [0.0]}, "each above 0"),
        ({"mean": [0.0, 1.0], "std": [1.0]}, "has 1 numbers and mean has 2"),
        ({"mean": [math.nan], "std": [1.0]}, "a number for each channel"),
        ({"mean": [], "std": []}, "a number for each channel"),
    ],
)
def test_what_is_no_normalisation_is_named(table, words):
    with pytest.raises(ConfigError, match=words):
        Normalisation(**table)


def test_another_number_of_channels_is_refused(tmp_path):
    by = Normalisation((0.0, 0.0), (1.0, 1.0))
    with pytest.raises(ConfigError, match="of 2 channels, and the data have the shape"):
        ShardsConfig(url=shards(tmp_path / "shards"), validation=3, normalise=by).build()
    with pytest.raises(ConfigError, match=r"facts\.normalisation is"):
        Facts(shape=(4, 8, 8), normalisation=TABLE)


@pytest.mark.parametrize("shape", [(4,), (1, 4, 1, 1)])
def test_published_statistics_are_read(tmp_path, shape):
    tensors = {name: torch.tensor(values).view(shape) for name, values in TABLE.items()}
    torch.save(tensors, tmp_path / "latents_stats.pt")
    assert read_statistics(tmp_path / "latents_stats.pt") == BY


@pytest.mark.parametrize(
    "tensors",
    [
        {"mean": torch.zeros(4)},
        {"mean": torch.zeros(4), "std": torch.ones(3)},
        {"mean": torch.zeros(4), "std": torch.zeros(4)},
        {"mean": torch.zeros(2, 2), "std": torch.ones(2, 2)},
        {"mean": torch.zeros(4), "std": torch.ones(4), "count": torch.ones(1)},
    ],
    ids=["no std", "other lengths", "zero", "a matrix", "more"],
)
def test_other_files_hold_no_statistics(tmp_path, tensors):
    torch.save(tensors, tmp_path / "file.pt")
    with pytest.raises(DataError, match="holds no statistics of latents"):
        read_statistics(tmp_path / "file.pt")
