"""Imported checkpoints give the reference outputs: forward passes, losses and trajectories."""

import pytest
import torch

from golden_checks import CHECKS, captioned, imported
from golden_files import relative_error
from thalweg.types import Condition

FORWARD = 1e-5
AT_MOST = {"outputs": FORWARD, "losses": 1e-4, "trajectories": 1e-4}


@pytest.mark.parametrize("name", CHECKS)
def test_reference_outputs(name):
    check = CHECKS[name]
    for what, (actual, expected) in check().items():
        assert actual.shape == expected.shape, what
        assert relative_error(actual, expected) < AT_MOST[check.kind], what


@pytest.mark.parametrize("name", ["deepflow_2t", "deepflow_3t_align"])
def test_deepflow_has_all_its_branches(name):
    file, network = imported("deepflow", name)
    assert network.branches == file.config["branches"]


@torch.no_grad()
def test_captions_matter_to_repa_text_to_image():
    file, network = imported("repa-t2i", "repa_mmdit")
    text = captioned(file, network).text
    x, t = file.tensors["forward.x"], file.tensors["forward.t"]
    velocity, other = (
        network.velocity(x, t, Condition(text=one))
        for one in (text, text._replace(tokens=torch.roll(text.tokens, 1, dims=0)))
    )
    assert relative_error(other, velocity) > 100 * FORWARD
