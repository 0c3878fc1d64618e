"""An analysis of small networks: what is known of them comes out, and results say where they are from."""

import json

import attrs
import pytest
import torch

import thalweg
import thalweg_eval
from thalweg.calibration import Calibration
from thalweg.cli.main import main
from thalweg.documents import read_document
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.training.trainer import Trainer
from thalweg.types import Batch, Condition, Head, Text
from thalweg_authoring.numbers import randomised
from thalweg_eval.analysis.drawing import Drawn, Draws
from thalweg_eval.analysis.gradients import HeadGradients
from thalweg_eval.analysis.guidance import HeldOutHeads, effects
from thalweg_eval.analysis.measure import AnalysisSettings, measure
from thalweg_eval.analysis.observing import Observed, Observer
from tiny_runs import tiny

FACTS = Facts(shape=(1, 8, 8), classes=10)
BACKBONE = {"type": "dit", "patch": 4, "width": 16, "depth": 4, "heads": 2}
VERA = {"type": "vera", "channels": [16]}
CPU = torch.device("cpu")
SMALL = AnalysisSettings(samples=12, bins=2, batch_size=6)
LINEAR = Interpolant.named("linear")


def composed(facts=FACTS, **options):
    return thalweg.compose(backbone=BACKBONE, facts=facts, **options)


def digits():
    return thalweg.build("dataset", "digits")


def draws(size=5, seed=0, bins=4):
    return Draws(digits().validation, "validation", 10, seed, LINEAR, bins, size, CPU)


def whole(drawn):
    drawn = list(drawn)
    return [torch.cat([getattr(one, name) for one in drawn]) for name in ("x_t", "t", "velocity", "labels")]


def first():
    return next(draws().batches(1))


def test_noise_and_times_depend_on_no_batch_but_on_seed_bin_and_part():
    one = whole(draws(5).batches(2))
    for same, other in zip(one, whole(draws(3).batches(2)), strict=True):
        assert torch.equal(same, other)
    x_t, t, velocity, _ = one
    assert ((t >= 0.5) & (t <= 0.75)).all()
    clean = digits().validation
    # On the linear path x_0 = x_t - t V, which are samples of the part that is held out.
    found = (x_t - t.view(-1, 1, 1, 1) * velocity).flatten(1)
    assert (torch.cdist(found, clean.clean.flatten(1)).amin(1) < 1e-4).all()
    for other in (draws(seed=1).batches(2), draws().batches(1)):
        assert not torch.equal(x_t, whole(other)[0])


@pytest.mark.parametrize("refiner", [VERA, "plain"])
def test_all_heads_and_states_are_of_one_pass(refiner):
    network, drawn = randomised(composed(refiner=refiner, branches=2, heads=[1])).eval(), first()
    seen = Observer(network)(drawn)
    expected = network.heads(drawn.x_t, drawn.t, drawn.condition, tuple(seen.velocities))
    for velocity, one in zip(seen.velocities.values(), expected, strict=True):
        assert torch.equal(velocity, one)
    hidden = network(drawn.x_t, drawn.t, drawn.condition, hidden=(1, 2, 3, 4)).hidden
    refined = Head(2, "refined")
    assert torch.equal(seen.states[Head(3)], hidden[3])
    assert torch.equal(seen.states[Head(4)], hidden[4])
    c = network.backbone.condition(drawn.t, drawn.condition)
    assert torch.equal(
        network.intermediate_velocity(seen.states[Head(2)], c), seen.velocities[Head(2)]
    )  # the tokens before the refiner
    if refiner == "plain":
        assert list(seen.states) == [Head(1), Head(2), Head(3), Head(4)]
    else:
        assert list(seen.states) == [Head(1), Head(2), refined, Head(3), Head(4)]
        assert torch.equal(seen.states[refined], hidden[2])
        assert {head.form for head in seen.velocities} == {"plain", "refined", "corrected"}
    assert not network.refiner._forward_pre_hooks


def test_velocities_that_are_not_finite_are_refused():
    network = composed()
    network.velocity_readout.projection.bias.data.fill_(float("nan"))
    with pytest.raises(DataError, match="velocities are not finite; take earlier weights"):
        Observer(network)(first())


def same_heads(*, detached=True):
    """Blocks that begin as the identity, and heads that read the same."""
    network = composed(heads=[1, 3], detach_heads=detached).eval()
    generator = torch.Generator().manual_seed(1)
    readouts = [network.velocity_readout, *network.velocity_heads.values()]
    for place, parameter in enumerate(readouts[0].parameters()):
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
        for other in readouts[1:]:
            list(other.parameters())[place].data = parameter.data.clone()
    return network


def test_gradients_of_heads_that_read_the_same_agree_also_where_they_are_detached():
    for detached in (True, False):
        network = same_heads(detached=detached)
        for parameter in network.backbone.blocks[0].parameters():
            parameter.requires_grad_(False)
        gradients = HeadGradients(network)
        for drawn in draws().batches(1):
            gradients.update(drawn)
        assert gradients.heads == (Head(1), Head(3), Head(4))
        assert [one for row in gradients.result() for one in row] == pytest.approx([1] * 9, abs=1e-5)
        # Nothing is left behind.
        assert network.detach_heads is detached
        assert all(parameter.grad is None for parameter in network.parameters())
        trained = {parameter.requires_grad for parameter in network.backbone.blocks[0].parameters()}
        assert trained == {False}


def test_gradients_are_those_of_the_summed_error_over_all_that_is_shared():
    network, drawn = randomised(composed(heads=[2], detach_heads=False)).eval(), first()
    gradients = HeadGradients(network)
    gradients.update(drawn)
    prediction = network(drawn.x_t, drawn.t, drawn.condition)
    flat = []
    # The time embedding and the blocks 1 and 2, for instance, and not the blocks 3 and 4.
    later = {id(one) for block in network.backbone.blocks[2:] for one in block.parameters()}
    shared = [one for one in network.backbone.parameters() if id(one) not in later]
    for velocity in (prediction.heads[2], prediction.velocities[-1]):
        error = (velocity - drawn.velocity).square().mean()
        found = torch.autograd.grad(error, shared, retain_graph=True, allow_unused=True)
        flat.append(torch.cat([one.flatten() for one in found if one is not None]))
    expected = float(torch.cosine_similarity(*flat, dim=0))
    assert gradients.result()[0][1] == pytest.approx(expected, abs=1e-5)
    assert abs(expected) < 0.999


def test_gradients_of_heads_that_read_nothing_have_no_direction():
    gradients = HeadGradients(composed(heads=[2]).eval())
    gradients.update(first())
    assert gradients.result() == [[None, None], [None, None]]


def test_effects_of_guidance_are_those_of_a_known_field():
    # v_i = 0.5 V and v_f = 0.8 V: w* = 0.5 / 0.3, and c = 3 goes to 1.4 V.
    heads, V = HeldOutHeads(), torch.randn(20, 3, generator=torch.Generator().manual_seed(3))
    for part in V.split(8):
        drawn = Drawn(part, torch.zeros(len(part)), part, Condition())
        heads.update(Observed(drawn, {Head(1): 0.5 * part, Head(4): 0.8 * part}, {}))
    square = float(V.square().mean())
    measured = Calibration((Head(1),), (0.0, 1.0), (((0.09,),),), ((0.06,),), (0.04,), {})
    ((found,),) = [effects(measured, [heads.result()])]
    assert found["scale"] == pytest.approx([0.5 / 0.3])
    assert found["difference"] == pytest.approx([0.09 * square])
    assert found["error"] == pytest.approx([0.04 * square])
    once, thrice = found["strengths"]
    assert (once["strength"], thrice["strength"]) == (1.0, 3.0)
    assert once["share"] == pytest.approx([0.25])
    assert thrice["share"] == pytest.approx([0.75])
    assert once["error"] == pytest.approx([0], abs=1e-6)
    assert thrice["error"] == pytest.approx([0.16 * square])


def test_blocks_that_do_nothing_have_no_distance_and_are_alike():
    found = measure(same_heads(), digits(), SMALL)
    assert found["counts"] == {"train": 12, "validation": 12}
    assert found["edges"] == [0.0, 0.5, 1.0]
    for one in found["distance"]["relative"]:
        assert one["values"] == [0.0, 0.0]
    for matrix in found["similarity"]["cka"]:
        assert [one for row in matrix for one in row] == pytest.approx([1] * 16, abs=1e-5)
    errors = [one["values"] for one in found["velocity_error"]["heads"]]
    assert errors[0] == pytest.approx(errors[2], rel=1e-4)
    # Heads that agree leave nothing to guide by.
    assert found["guidance"]["heads"][0]["difference"] == pytest.approx([0, 0], abs=1e-6)


def test_a_network_without_heads_or_classes_is_measured_as_far_as_it_goes():
    found = measure(composed(), digits(), SMALL)
    for name in ("gradients", "guidance"):
        assert (
            "the network has no intermediate head; train it with heads = [depth]" in found[name]["left_out"]
        )
    assert [one["name"] for one in found["velocity_error"]["heads"]] == ["last"]
    assert len(found["velocity_error"]["readouts"]) == 4
    # It predicts 0, as it is untrained.
    square = found["velocity_error"]["heads"][0]["values"]
    assert all(0.5 < one < 3 for one in square)
    moons = thalweg.build("dataset", "two_moons")
    network = thalweg.compose(
        backbone={"type": "mlp", "width": 16, "depth": 2}, refiner=VERA, branches=2, facts=moons.facts
    )
    found = measure(network, moons, SMALL)
    assert found["gradients"]["heads"] == ["after 1", "last"]
    shown = composed(facts=attrs.evolve(FACTS, condition_dropout=False))
    assert "trained with every class shown" in measure(shown, digits(), SMALL)["probe"]["left_out"]


@attrs.frozen(eq=False)
class Captioned:
    """Noise with a caption each, and no classes."""

    facts = Facts(shape=(1, 8, 8), text=(5, 6))
    identity = "captioned"
    count: int

    @property
    def train(self):
        return self

    validation = train

    def images(self, x):
        return None

    def __len__(self):
        return self.count

    def batch(self, indices, _):
        draws = [torch.Generator().manual_seed(index) for index in indices]
        clean = torch.stack([torch.randn(1, 8, 8, generator=one) for one in draws])
        tokens = torch.stack([torch.randn(5, 6, generator=one) for one in draws])
        mask = torch.ones(len(indices), 5, dtype=torch.bool)
        return Batch(clean, Condition(text=Text(tokens, mask, torch.zeros(5, 6), mask[0])))


def captioned(**options):
    backbone = {**BACKBONE, "type": "mmdit"}
    return randomised(thalweg.compose(backbone=backbone, facts=Captioned.facts, **options))


def test_captions_are_shown_and_classes_that_are_not_there_not_probed():
    found = measure(captioned(refiner=VERA, branches=2), Captioned(20), SMALL)
    states = ["after 1", "after 2", "after 2, refined", "after 3", "last"]
    assert found["similarity"]["states"] == states
    assert found["probe"] == {"left_out": "the data have no classes"}
    assert all(one is not None for row in found["gradients"]["cosine"] for one in row)


def test_data_of_another_kind_or_with_too_few_samples_are_refused():
    with pytest.raises(ConfigError, match="give the data that it was trained on"):
        measure(composed(), Captioned(20), SMALL)
    with pytest.raises(DataError, match="hold 3 held-out samples; analysis needs at least 4"):
        measure(captioned(), Captioned(3), SMALL)


def test_equal_seeds_give_equal_numbers_in_batches_of_any_size_but_for_cka():
    network, data = randomised(composed(heads=[2])), digits()
    first = measure(network, data, SMALL)
    assert measure(network, data, SMALL) == first
    network.calibration = None
    other = measure(network, data, attrs.evolve(SMALL, batch_size=12))
    # The calibration draws by itself.
    for name in ("similarity", "guidance"):
        first.pop(name), other.pop(name)
    assert close(first, other)
    assert not close(first["distance"], measure(network, data, attrs.evolve(SMALL, seed=1))["distance"])


def close(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == (pytest.approx(other, rel=2e-3, abs=1e-5) if isinstance(one, float) else other)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysed") / "run"
    top = {"branches": 2, "backbone": BACKBONE, "heads": [1]}
    Trainer(tiny(top=top, steps=4, validate_every=0), folder, accelerator="cpu", quiet=True).train()
    return folder


FEW = ["--samples", "8", "--batch-size", "8"]


def test_a_run_is_analysed_with_its_ema_weights_and_held_out_data(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["analyse", str(run), "-o", str(out), *FEW, "--seed", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    results = read_document(out / "results.json", "results", "", sealed=True)
    assert results == printed
    described = json.loads((run / "model" / "model.json").read_text())
    assert results["network"]["sha256"] == described["sha256"]
    assert results["network"]["step"] == 4
    assert results["data"] == {"identity": digits().identity, "train": 8, "validation": 8}
    assert results["settings"] == {"seed": 3, "samples": 8, "bins": 10, "batch_size": 8}
    assert results["software"]["packages"]["torch"]
    heads = results["measured"]["velocity_error"]["heads"]
    assert [one["name"] for one in heads] == [
        "after 1", "after 2", "after 2, refined", "after 2, corrected", "last",
    ]  # fmt: skip
    page = (out / "report.html").read_text()
    for text in (
        "Velocity error by depth",
        results["network"]["sha256"],
        "CKA at t = 0.15",
        "after 2, refined",
    ):
        assert text in page
    # The same network in memory, and a checkpoint of the run, whose EMA weights they are.
    memory = thalweg_eval.analyse(
        thalweg.load(run), tmp_path / "memory", data=digits(), samples=8, batch_size=8, seed=3
    )
    assert memory["network"]["sha256"] == described["sha256"]
    checkpoint = sorted((run / "checkpoints").iterdir())[-1]
    other = thalweg_eval.analyse(checkpoint, tmp_path / "other", samples=8, batch_size=8, seed=3)
    assert memory["measured"] == other["measured"] == results["measured"]


def test_an_analysis_replaces_an_earlier_one_and_nothing_else(run, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["analyse", str(run), "-o", str(out), *FEW]
    assert main(arguments) == 0
    before = (out / "results.json").read_text()
    assert main([*arguments, "--seed", "1"]) == 0
    assert (out / "results.json").read_text() != before
    capsys.readouterr()
    for name in ("results.json", "report.html"):
        other = tmp_path / name.partition(".")[0]
        other.mkdir()
        (other / name).write_text("{}")
        assert main([*arguments[:3], str(other), *FEW]) == 2
        assert f"has {name}, which no analysis wrote; name another folder" in capsys.readouterr().err
        assert [one.name for one in other.iterdir()] == [name]
    assert main([*arguments[:3], str(tmp_path / "results.json.d"), "--samples", "3"]) == 2
    assert "'samples' must be at least 4, got 3" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="would be a folder that is called like a file"):
        thalweg_eval.analyse(run, tmp_path / "out.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file, and results go into a folder"):
        thalweg_eval.analyse(run, tmp_path / "file")


def test_what_cannot_be_analysed_is_named(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = tmp_path / "saved"
    thalweg.save(saved, thalweg.load(run))
    assert main(["analyse", str(saved), *FEW]) == 2
    assert "names no data set; say what it was trained on, as by --data-of" in capsys.readouterr().err
    assert not (tmp_path / "analysis").exists()
    assert main(["analyse", str(saved), "--data-of", str(run), *FEW]) == 0
    assert (tmp_path / "analysis" / "report.html").is_file()
    capsys.readouterr()
    assert main(["analyse", str(saved), "--data-of", str(saved), *FEW]) == 2
    assert "is neither a recipe nor a run" in capsys.readouterr().err
    assert main(["analyse", str(tmp_path / "nothing"), *FEW]) == 4
    assert "holds no network; give a run, a checkpoint or a saved network" in capsys.readouterr().err
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "config.toml").write_text((run / "config.toml").read_text())
    assert main(["analyse", str(unfinished), *FEW]) == 4
    assert "is a run that holds no network yet; train it first" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="the network in memory names no data set"):
        thalweg_eval.analyse(thalweg.load(run), tmp_path / "x")
    with pytest.raises(ConfigError, match="subject is 3; give a run, a saved network"):
        thalweg_eval.analyse(3, tmp_path / "x")
