"""Networks in memory are evaluated as saved ones are, and known again by their tensors and their code."""

import attrs
import pytest
import torch
from torch import nn

import thalweg
import thalweg_eval
from evaluated import FAST, run_folder
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.generation import source as networks
from thalweg.interpolant import Interpolant
from thalweg.interpolants.linear import Linear
from thalweg.passport import read_passport
from thalweg.saved_network import save
from thalweg.tensor_files import tensors_sha256
from thalweg_eval.evaluation.image_sets.generated import GeneratedImages
from thalweg_eval.evaluation.subject import NetworkInMemory

SETTINGS = (*FAST, "count=40")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def network(run):
    return thalweg.load(run)


def evaluated(subject, work, **options):
    options = {"protocol": "quick", "settings": SETTINGS, "data": "digits", **options}
    return thalweg_eval.evaluate(subject, work=work, **options)


def drawn_digests(monkeypatch):
    """A digest of each piece that is drawn from here on."""
    digests, read = [], GeneratedImages.read

    def reading(self, start, stop):
        piece = read(self, start, stop)
        digests.append(tensors_sha256({"images": piece.images, "labels": piece.labels}))
        return piece

    monkeypatch.setattr(GeneratedImages, "read", reading)
    return digests


def test_a_network_in_memory_gives_the_numbers_and_samples_of_the_same_saved(
    run, network, tmp_path, monkeypatch
):
    digests = drawn_digests(monkeypatch)
    by_path = evaluated(run, tmp_path / "path")
    of_path, digests[:] = [*digests], []
    in_memory = evaluated(network, tmp_path / "memory")
    assert digests == of_path
    assert in_memory.values == by_path.values
    assert in_memory.conditions == by_path.conditions
    assert not network.training


def test_a_passport_says_what_network_it_was(run, network, tmp_path):
    passport = evaluated(network, tmp_path / "work", out=tmp_path / "out.json")
    subject = read_passport(tmp_path / "out.json").subject
    assert subject == passport.subject
    assert subject["what"] == "FlowNetwork in memory"
    assert subject["origin"] == "in memory"
    assert subject["class"] == "thalweg.network:FlowNetwork"
    assert subject["composition"]["backbone"]["type"] == "dit"
    save(tmp_path / "saved", network)
    saved = evaluated(tmp_path / "saved", tmp_path / "work").subject
    assert subject["checkpoint"] == saved["checkpoint"]
    assert subject["nfe"] == saved["nfe"] == 2.0


def test_evaluations_are_counted_with_both_halves_of_guidance(network, tmp_path):
    guided = evaluated(
        network, tmp_path, sampling={"guidance": {"type": "cfg", "scale": 2.0, "interval": [0, 0.6]}}
    )
    assert guided.subject["nfe"] == 3.0  # at 1 one half, at 0.5 both
    assert guided.protocol["sampling"]["guidance"] == "stated"
    assert any(one.startswith("sampling.guidance={") for one in guided.protocol["changed"])


def test_what_a_loaded_network_brings_is_taken(tmp_path):
    sampling = {"sampler": {"type": "heun", "steps": 3}, "seed": 11}
    loaded = thalweg.load(run_folder(tmp_path / "run", sampling=sampling))
    passport = thalweg_eval.evaluate(
        loaded,
        metrics=["frechet_distance"],
        extractor={"type": "small_classifier", "steps": 2},
        settings=("count=40", "reference.set=train"),
        data="digits",
        work=tmp_path / "work",
    )
    assert passport.conditions["sampling"]["sampler"] == {"type": "heun", "steps": 3}
    assert passport.conditions["sampling"]["seed"] == 11
    assert passport.protocol["sampling"]["sampler"] == "network"


def test_an_interrupted_evaluation_resumes(network, tmp_path, monkeypatch):
    whole, reading = evaluated(network, tmp_path / "whole"), GeneratedImages.read
    drawn = []

    def read(self, start, stop):
        drawn.append((start, stop))
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return reading(self, start, stop)

    monkeypatch.setattr(GeneratedImages, "read", read)
    with pytest.raises(KeyboardInterrupt):
        evaluated(network, tmp_path / "work", batch_size=8)
    assert evaluated(network, tmp_path / "work", batch_size=8).values == pytest.approx(whole.values, rel=1e-6)
    assert drawn == [(0, 8), (8, 16), (16, 24), (16, 24), (24, 32), (32, 40)]
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    assert evaluated(network, tmp_path / "work", batch_size=8).values != pytest.approx(whole.values, rel=1e-6)


@attrs.frozen(eq=False)
class Pull:
    """A field towards a constant image, which is no module at all."""

    facts: thalweg.Facts
    centre: torch.Tensor
    strength: float = 1.0

    def velocity(self, x, t, condition):
        return self.strength * (x - self.centre)


PULL = {"facts": thalweg.Facts(shape=(1, 8, 8), classes=10), "centre": torch.zeros(1, 8, 8)}


def test_whatever_has_facts_and_a_velocity_is_evaluated(tmp_path):
    passport = evaluated(Pull(**PULL), tmp_path)
    assert passport["fd_small_classifier"] > 0
    assert passport.subject["class"].endswith("test_evaluation_held:Pull")
    assert passport.subject["composition"] is None
    assert passport.conditions["sampling"]["classes"] == "all"


def test_objects_are_known_by_their_tensors_and_what_they_state():
    digests = [NetworkInMemory.of(Pull(**{**PULL, **more})).identity for more in (
        {}, {}, {"strength": 2.0}, {"centre": torch.ones(1, 8, 8)}
    )]  # fmt: skip
    assert digests[0] == digests[1]
    assert digests[0] not in digests[2:]
    assert digests[2] not in digests[3:]
    assert digests[0]["checkpoint"] == digests[2]["checkpoint"] != digests[3]["checkpoint"]


def test_modules_are_known_by_what_they_state_besides_their_tensors(network):
    before = NetworkInMemory.of(network).identity
    assert NetworkInMemory.of(network.train()).identity == before
    block = next(part for part in network.modules() if isinstance(part, nn.LayerNorm))
    block.eps *= 10
    after = NetworkInMemory.of(network).identity
    assert after["checkpoint"] == before["checkpoint"]
    assert after["code"] != before["code"]


def test_networks_are_known_by_code_that_is_put_into_them(network):
    before = NetworkInMemory.of(network).identity
    for stay in (2, 3):
        network.forward = lambda *given, of=stay, **named: type(network).forward(network, *given, **named)
        assert NetworkInMemory.of(network).identity["code"] != before["code"]
        del network.forward
    hook = network.velocity_readout.register_forward_hook(lambda module, given, found: found * 2)
    assert NetworkInMemory.of(network).identity["code"] != before["code"]
    hook.remove()
    assert NetworkInMemory.of(network).identity == before


def test_networks_are_known_by_their_path(network):
    before, own = NetworkInMemory.of(network).identity, network.interpolant
    network.interpolant = Interpolant.named("cosine")
    assert NetworkInMemory.of(network).identity != before
    network.interpolant = own

    class Steep(Linear):
        """A path of its own."""

        def __init__(self, power):
            self.power = power

    def of(power):
        network.interpolant = Interpolant(Steep(power))
        return NetworkInMemory.of(network).identity

    assert of(2.0) == of(2.0) != of(3.0)
    network.interpolant = own


def test_weights_that_are_none_are_told(network, tmp_path, monkeypatch):
    monkeypatch.setattr(networks.SampleSource, "__call__", lambda *_: pytest.fail("it was drawn"))
    name, weight = list(network.named_parameters())[-1]
    with torch.no_grad():
        weight.view(-1)[0] = float("inf")
    with pytest.raises(DataError, match=rf"'{name}' of the network .* not finite"):
        evaluated(network, tmp_path)
    with pytest.raises(ConfigError, match=r"no weights on this machine .* meta"):
        evaluated(network.to("meta"), tmp_path)


class Odd(Pull):
    """Answers with an error."""

    def velocity(self, x, t, condition):
        raise RuntimeError("mat1 and mat2\nshapes cannot be multiplied")


def test_a_network_is_asked_once_before_the_reference_is_seen(tmp_path):
    said = []
    with pytest.raises(ThalwegError, match=r"does not answer .* mat1 and mat2"):
        evaluated(Odd(**PULL), tmp_path, progress=lambda *how: said.append(how))
    assert said == []


def test_what_makes_no_images_is_told(network, tmp_path):
    with pytest.raises(ConfigError, match="autoencoder=identity for pixels"):
        evaluated(network, tmp_path, data=None)
    with pytest.raises(ConfigError, match="number of samples is not stated"):
        thalweg_eval.evaluate(
            network, metrics=["accuracy"], reference="recipes/digits-sit.toml", data="digits", work=tmp_path
        )
