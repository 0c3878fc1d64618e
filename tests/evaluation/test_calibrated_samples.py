"""Samples that are guided by what was measured of heads are of that measurement, and of no other."""

import attrs
import pytest

import thalweg
import thalweg_eval
from evaluated import FAST, run_folder
from thalweg.calibrating import calibrate
from thalweg.errors import ConfigError
from thalweg.generation.generate import generate
from thalweg_eval.tuning import tune_guidance

CALIBRATED = {"type": "internal", "scale": "calibrated", "strength": 2.0}
SAMPLING = {"sampler": {"type": "euler", "steps": 2}, "count": 3, "guidance": CALIBRATED}


@pytest.fixture
def network(tmp_path):
    network = thalweg.load(run_folder(tmp_path / "run"))
    network.calibration = calibrate(network, thalweg.build("dataset", "digits"), samples=16)
    return network


def doubled(calibration):
    return attrs.evolve(calibration, leads=tuple(tuple(2 * r for r in one) for one in calibration.leads))


def test_generated_samples_are_not_taken_for_those_of_another_calibration(tmp_path, network):
    place = tmp_path / "saved"
    thalweg.save(place, network)
    first = generate(place, tmp_path / "one", SAMPLING)
    assert first["calibration"] == network.calibration.sha256
    assert generate(place, tmp_path / "one", SAMPLING) == first
    network.calibration = doubled(network.calibration)
    thalweg.save(place, network)
    with pytest.raises(ConfigError, match="exists"):
        generate(place, tmp_path / "one", SAMPLING)
    plain = {**SAMPLING, "guidance": {"type": "internal", "scale": 1.5}}
    assert "calibration" not in generate(place, tmp_path / "plain", plain)


def test_a_passport_says_which_calibration_was_used(tmp_path, network):
    options = {"protocol": "quick", "settings": (*FAST, "count=20"), "work": tmp_path / "work"}
    options |= {"data": {"type": "digits"}}
    one = thalweg_eval.evaluate(network, sampling={"guidance": CALIBRATED}, **options)
    assert one.subject["calibration"] == network.calibration.sha256
    network.calibration = doubled(network.calibration)
    other = thalweg_eval.evaluate(network, sampling={"guidance": CALIBRATED}, **options)
    assert other.subject["calibration"] == network.calibration.sha256 != one.subject["calibration"]
    assert "calibration" not in thalweg_eval.evaluate(network, sampling={"guidance": None}, **options).subject


def test_a_tuning_is_of_one_calibration(tmp_path, network):
    options = {"out": tmp_path / "tuned", "settings": (*FAST, "count=20"), "work": tmp_path / "work"}
    options |= {"data": {"type": "digits"}, "strengths": (0.0, 2.0)}
    tune_guidance(network, **options)
    network.calibration = doubled(network.calibration)
    with pytest.raises(ConfigError, match="another tuning, it differs in calibration"):
        tune_guidance(network, **options)
