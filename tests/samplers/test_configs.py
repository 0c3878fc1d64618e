"""Values that make no sense are refused in one sentence."""

import math

import pytest

from thalweg_samplers.classifier_free import ClassifierFreeConfig
from thalweg_samplers.dopri5 import Dopri5Config
from thalweg_samplers.euler import EulerConfig
from thalweg_samplers.euler_maruyama import EulerMaruyamaConfig
from thalweg_samplers.heun import HeunConfig
from thalweg_samplers.multistep import MultistepConfig
from thalweg_samplers.stochastic_heun import StochasticHeunConfig
from thalweg_samplers.unipc import UniPCConfig


@pytest.mark.parametrize(
    ("config", "options", "named"),
    [
        (EulerConfig, {"steps": 0}, "steps"),
        (HeunConfig, {"steps": -3}, "steps"),
        (EulerMaruyamaConfig, {"steps": 1}, "steps"),
        (EulerMaruyamaConfig, {"last": 0.0}, "last"),
        (EulerMaruyamaConfig, {"last": 1.0}, "last"),
        (StochasticHeunConfig, {"steps": 1}, "steps"),
        (StochasticHeunConfig, {"last": 0.0}, "last"),
        (MultistepConfig, {"steps": 0}, "steps"),
        (MultistepConfig, {"spacing": "log"}, "spacing"),
        (MultistepConfig, {"ends": (0.1, 0.9)}, "ends"),
        (MultistepConfig, {"ends": (1.0, 0.1)}, "ends"),
        (MultistepConfig, {"ends": (0.9, 0.0)}, "ends"),
        (MultistepConfig, {"ends": (0.9,)}, "ends"),
        (MultistepConfig, {"steps": 2, "ends": (0.9, 0.1)}, "ends"),
        (UniPCConfig, {"predictor_order": 1}, "predictor_order"),
        (UniPCConfig, {"predictor_order": 4}, "predictor_order"),
        (Dopri5Config, {"rtol": 0.0}, "rtol"),
        (Dopri5Config, {"atol": -1e-3}, "atol"),
        (Dopri5Config, {"first_step": 0.0}, "first_step"),
        (Dopri5Config, {"first_step": 1.5}, "first_step"),
        (Dopri5Config, {"max_steps": 0}, "max_steps"),
        (ClassifierFreeConfig, {"scale": -0.1}, "scale"),
        (ClassifierFreeConfig, {"scale": math.nan}, "scale"),
        (ClassifierFreeConfig, {"scale": math.inf}, "scale"),
        (ClassifierFreeConfig, {"interval": (0.7, 0.2)}, "interval"),
        (ClassifierFreeConfig, {"interval": (-0.1, 0.5)}, "interval"),
        (ClassifierFreeConfig, {"interval": (0.1, 1.5)}, "interval"),
        (ClassifierFreeConfig, {"interval": (0.1, math.nan)}, "interval"),
        (ClassifierFreeConfig, {"interval": (0.1,)}, "interval"),
    ],
)
def test_bad_values_are_refused_by_name(config, options, named):
    with pytest.raises(ValueError, match=f"'{named}'"):
        config(**options)


def test_an_interval_from_a_file_is_a_list():
    assert ClassifierFreeConfig(interval=[0.0, 0.7]).interval == (0.0, 0.7)
    assert UniPCConfig(ends=[0.9, 0.1]).ends == (0.9, 0.1)
