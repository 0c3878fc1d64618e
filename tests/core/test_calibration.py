"""Scales from what was measured of a network's heads: exact where everything is known, and kept with it."""

import json

import attrs
import numpy as np
import pytest
import torch

import thalweg
from thalweg.calibrating import calibrate
from thalweg.calibration import Calibration, TimeCurve
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.types import Batch, Condition, Head
from thalweg_authoring.numbers import randomised
from thalweg_samplers import Euler, Internal, Ladder
from tiny_runs import tiny

DEEP = {
    "branches": 1,
    "refiner": "none",
    "objectives": {"velocity": {}},
    "backbone": {"type": "dit", "patch": 4, "width": 16, "depth": 4, "heads": 2},
    "heads": [1, 3],
}
GUIDED = {"type": "internal", "scale": "calibrated", "after": 3}


LINEAR = Interpolant.named("linear")


class Point:
    """Data that are all zero: the exact velocity is x / t."""

    identity = "point"
    facts = Facts(shape=(3,), depth=4, ends=(4,), head_depths=(1, 2))

    def __init__(self):
        self.train = self

    def __len__(self):
        return 64

    def batch(self, indices, _):
        return Batch(torch.zeros(len(indices), 3), Condition())


@attrs.define(eq=False)
class Known:
    """A network whose heads say known parts of the exact velocity, or of another one."""

    parts: tuple[float, ...]
    facts: Facts = Point.facts
    interpolant: Interpolant = LINEAR
    calibration: Calibration | None = None

    def velocity(self, x, t, condition):
        return self.heads(x, t, condition, (-1,))[0]

    def heads(self, x, t, condition, wanted):
        exact = x / t.to(x).view(-1, 1)
        depths = [1, 2, -1]
        heads = [one if isinstance(one, Head) else Head(one) for one in wanted]
        return tuple(self.parts[depths.index(head.after)] * exact for head in heads)


def test_the_scale_is_the_one_that_makes_the_velocity_exact():
    network = Known((0.5, 0.2, 0.8))
    found = calibrate(network, Point(), samples=64, bins=4)
    for depth, part in ((1, 0.5), (2, 0.2)):
        # part + w (0.8 - part) = 1
        w = (1 - part) / (0.8 - part)
        scale = found.scale(Head(depth), 1.0)
        assert scale.values == pytest.approx([w] * 4, rel=1e-4)
        assert scale.times == pytest.approx((0.125, 0.375, 0.625, 0.875))
        assert found.scale(Head(depth), 3.0).values == pytest.approx([1 + 3 * (w - 1)] * 4, rel=1e-4)
        assert found.scale(Head(depth), 0.0).values == (1.0,) * 4
        assert found.error(Head(depth), scale) == pytest.approx([0] * 4, abs=1e-4 * max(found.errors))
        assert found.error(Head(depth), found.scale(Head(depth), 0.0)) == pytest.approx(found.errors)
    assert found.made == {"data": "point", "samples": 64, "seed": 0}


def test_a_converged_network_wants_its_heads_averaged():
    found = calibrate(Known((0.5, 1.4, 1.1)), Point(), samples=32)
    # The last head is beyond the truth: back towards the first, and further away from the second.
    assert found.scale(Head(1), 1.0).values == pytest.approx([0.5 / 0.6] * 5, rel=1e-4)
    assert found.scale(Head(2), 1.0).values == pytest.approx([0.4 / 0.3] * 5, rel=1e-4)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_up_to_strength_one_the_error_is_never_raised(strength):
    generator = torch.Generator().manual_seed(1)
    weak, last = (torch.randn(64, 5, generator=generator).double() for _ in range(2))
    target = torch.randn(64, 5, generator=generator).double()
    d, left = last - weak, target - last
    found = Calibration(
        (Head(1),), (0.0, 1.0), (((float((d * d).mean()),),),), ((float((d * left).mean()),),),
        (float(left.square().mean()),), {},
    )  # fmt: skip
    curve = found.scale(Head(1), strength)
    guided = weak + curve.values[0] * d
    assert found.error(Head(1), curve)[0] == pytest.approx(float((target - guided).square().mean()))
    assert found.error(Head(1), curve)[0] <= found.errors[0]


def test_the_ladders_weights_are_a_least_squares_solution():
    generator = torch.Generator().manual_seed(1)
    heads, target = torch.randn(3, 200, generator=generator).double(), torch.randn(200).double()
    d, left = (heads[2] - heads[:2]), target - heads[2]
    found = Calibration(
        (Head(1), Head(2)), (0.0, 1.0), ((tuple(map(tuple, (d @ d.T).tolist()))),),
        (tuple((d @ left).tolist()),), (float(left @ left),), {},
    )  # fmt: skip
    expected = np.linalg.lstsq(d.T.numpy(), left.numpy(), rcond=None)[0]
    assert [one.values[0] for one in found.weights((Head(1), Head(2)), 1.0)] == pytest.approx(expected)
    (alone,) = found.weights((Head(2),), 2.0)
    assert alone.values[0] == pytest.approx(2 * float(d[1] @ left / (d[1] @ d[1])))
    # Heads that say the same give no error of a singular matrix.
    same = attrs.evolve(found, products=(((4.0, 4.0), (4.0, 4.0)),), leads=((2.0, 2.0),))
    assert [one.values[0] for one in same.weights((Head(1), Head(2)), 1.0)] == pytest.approx([0.25, 0.25])


def test_a_curve_is_linear_between_points_and_constant_beyond():
    curve = TimeCurve((0.2, 0.6), (1.0, 3.0))
    assert curve(torch.tensor([0.0, 0.2, 0.3, 0.6, 1.0])).tolist() == pytest.approx([1, 1, 1.5, 3, 3])


def test_what_was_measured_comes_back_from_json_or_is_refused():
    found = calibrate(Known((0.5, 0.2, 0.8)), Point(), samples=16)
    plain = json.loads(json.dumps(found.plain()))
    assert Calibration.from_plain(plain) == found
    for damage in (
        {"leads": [[1.0]]},
        {"errors": []},
        {"heads": "x"},
        {"products": [[["nan"]]]},
        {"made": 3},
    ):
        with pytest.raises(DataError, match="calibrate it anew"):
            Calibration.from_plain({**plain, **damage})
    with pytest.raises(DataError):
        Calibration.from_plain(None)
    with pytest.raises(ConfigError, match="calibrated for the heads plain after 1, plain after 2, not for"):
        found.scale(Head(3), 1.0)


def run(folder, **training):
    config = tiny(top={**DEEP, "sampling": {"guidance": GUIDED, "count": 4}}, **training)
    thalweg.Trainer(config, folder, accelerator="cpu", quiet=True).train()
    return folder


def test_a_run_saves_what_it_measured_and_its_samples_follow(tmp_path):
    folder = run(tmp_path / "run", sample_every=6)
    assert (folder / "samples" / "step-000006.png").is_file()
    network = thalweg.load(folder)
    dataset = thalweg.build("dataset", "digits")
    network.calibration, saved = None, network.calibration
    assert calibrate(network, dataset).heads == (Head(1), Head(3))
    assert saved == calibrate(network, dataset)
    # A checkpoint has none, and a sampled run measures it by itself.
    checkpoint = sorted((folder / "checkpoints").iterdir())[-1]
    assert thalweg.load(checkpoint).calibration is None
    from thalweg.generation.generate import generate

    sampling = {"sampler": {"type": "euler", "steps": 2}, "count": 3}
    generate(folder, tmp_path / "from-model", sampling)
    generate(checkpoint, tmp_path / "from-checkpoint", sampling)
    one, other = (
        next((tmp_path / name).glob("*.safetensors")).read_bytes()
        for name in ("from-model", "from-checkpoint")
    )
    assert one == other


def test_without_measurement_calibrated_guidance_says_how_to_get_it(tmp_path):
    network = thalweg.load(run(tmp_path / "run", steps=2))
    network.calibration = None
    for guidance in (Internal("calibrated"), Ladder()):
        with pytest.raises(ConfigError, match=r"network.calibration = thalweg.calibrate\(network, dataset\)"):
            thalweg.sample(network, labels=[0], indices=[0], sampler=Euler(1), guidance=guidance)


def test_weights_that_are_trained_on_are_no_more_measured(tmp_path):
    network = thalweg.load(run(tmp_path / "run", steps=2))
    assert network.calibration is not None
    config = tiny(top={**DEEP, "heads": [1, 3]}, steps=2)
    thalweg.Trainer(config, tmp_path / "more", network=network, accelerator="cpu", quiet=True).train()
    # What was measured at the end is of the EMA weights, which are saved, and not of those in memory.
    assert network.calibration is None
    assert thalweg.load(tmp_path / "more").calibration != thalweg.load(tmp_path / "run").calibration


def test_a_network_that_cannot_be_measured_is_told():
    facts = Facts(shape=(1, 8, 8), classes=10)
    backbone = {"type": "dit", "patch": 4, "width": 16, "depth": 2, "heads": 2}
    dataset = thalweg.build("dataset", "digits")
    with pytest.raises(ConfigError, match="no intermediate head; train it with heads"):
        calibrate(thalweg.compose(backbone=backbone, facts=facts), dataset)
    other = thalweg.compose(backbone=backbone, facts=attrs.evolve(facts, classes=3), heads=[1])
    with pytest.raises(ConfigError, match="it was trained on"):
        calibrate(other, dataset)
    with pytest.raises(ConfigError, match="the data set is 'digits'; build it"):
        calibrate(other, "digits")
    for what in ("runs/one", lambda x, t: x):
        with pytest.raises(ConfigError, match="heads are those of a FlowNetwork"):
            calibrate(what, dataset)
    with pytest.raises(ConfigError, match="bins"):
        calibrate(thalweg.compose(backbone=backbone, facts=facts, heads=[1]), dataset, bins=0)


def test_weights_that_are_loaded_are_no_more_measured():
    network = heady()
    network.calibration = calibrate(network, thalweg.build("dataset", "digits"), samples=8)
    network.load_state_dict(network.state_dict())
    assert network.calibration is None


def test_other_weights_are_saved_without_what_was_measured_of_these(tmp_path):
    network = heady()
    network.calibration = calibrate(network, thalweg.build("dataset", "digits"), samples=8)
    thalweg.save(tmp_path / "own", network)
    thalweg.save(tmp_path / "other", network, state_dict=heady(seed=1).state_dict())
    assert thalweg.load(tmp_path / "own").calibration == network.calibration
    assert thalweg.load(tmp_path / "other").calibration is None


def test_heads_are_measured_in_float32_whatever_the_processor_has(monkeypatch):
    network, dataset, found = randomised(heady()), thalweg.build("dataset", "digits"), []
    for precision in ("32-true", "bf16-mixed"):
        for place in ("machine", "calibration"):
            monkeypatch.setattr(f"thalweg.{place}.native_precision", lambda _: precision, raising=False)  # noqa: B023
        found.append(calibrate(network, dataset, samples=8))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "damage",
    [
        {"edges": [0.0, 0.6, 0.4, 0.6, 0.8, 1.0]},
        {"edges": [0.0, 0.2, 0.4, 0.6, 0.8, "inf"]},
        {"errors": ["nan"] * 5},
        {"leads": [[10**400, 0.0]] * 5},
        {"heads": [[1, "plain"], [2, "sharp"]]},
        {"heads": [[1, "plain"], [1, "plain"]]},
    ],
)
def test_what_is_no_calibration_is_refused(damage):
    plain = json.loads(json.dumps(calibrate(Known((0.5, 0.2, 0.8)), Point(), samples=16).plain()))
    with pytest.raises(DataError, match="calibrate it anew"):
        Calibration.from_plain({**plain, **damage})


def test_every_average_is_saved_with_what_was_measured_of_it(tmp_path):
    folder = run(tmp_path / "run", sample_every=3, average={"decay": [0.9, 0.5], "warmup": False})
    dataset = thalweg.build("dataset", "digits")
    for model in ("model", "model-0.5"):
        network = thalweg.load(folder / model)
        assert network.calibration == calibrate(network, dataset), model
    first, other = (thalweg.load(folder / one).calibration for one in ("model", "model-0.5"))
    assert first != other


def test_data_that_cannot_be_read_while_heads_are_measured_are_told_as_in_training(tmp_path, monkeypatch):
    config = tiny(top=DEEP, steps=2, validate_every=0)
    trainer = thalweg.Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True)
    split = type(trainer.components.dataset.train)
    read = split.batch

    def failing(self, indices, draws):
        if len(indices) == 128:
            raise OSError("the disk is gone")
        return read(self, indices, draws)

    monkeypatch.setattr(split, "batch", failing)
    with pytest.raises(DataError, match=r"the disk is gone.*state of step 2 is saved, and the same command"):
        trainer.train()
    monkeypatch.undo()
    thalweg.Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()
    assert thalweg.load(tmp_path / "run").calibration is not None


def heady(seed=0):
    facts = Facts(shape=(1, 8, 8), classes=10)
    return thalweg.compose(backbone=DEEP["backbone"], facts=facts, heads=[1, 3], seed=seed)
