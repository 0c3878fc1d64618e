import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from thalweg import layers, machine


def test_explicit_attention_is_attention(monkeypatch):
    """The form that compiled bfloat16 training takes on a processor, against the fused kernel in float32."""
    q, k, v = torch.randn(3, 2, 40, 32, generator=torch.Generator().manual_seed(0)).unbind()
    expected = layers.attend(q, k, v, 4)
    leaf = q.bfloat16().requires_grad_()
    fused = layers.attend(leaf, k.bfloat16(), v.bfloat16(), 4)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    explicit = layers.attend(leaf, k.bfloat16(), v.bfloat16(), 4)
    assert not torch.equal(explicit, fused)
    assert explicit.dtype == torch.bfloat16
    assert ((explicit.float() - expected).norm() / expected.norm()) < 0.01
    explicit.float().square().sum().backward()
    exact = q.clone().requires_grad_()
    layers.attend(exact, k, v, 4).square().sum().backward()
    assert ((leaf.grad.float() - exact.grad).norm() / exact.grad.norm()) < 0.02


def test_attention_takes_other_tokens_as_keys():
    q, kv = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    assert layers.attend(q, kv, kv, 2).shape == (1, 3, 8)


def test_the_compiled_form_of_gelu_is_the_same_function(monkeypatch):
    x = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.allclose(layers.gelu(x), functional.gelu(x, approximate="tanh"), atol=1e-14)


def test_time_embedding_is_cosines_then_sines_of_t_itself():
    embedding = layers.TimeEmbedding(8)
    seen = []
    embedding.mlp.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    embedding(torch.tensor([0.25]))
    sinusoids = seen[0][0]
    assert sinusoids.shape == (256,)
    assert sinusoids[0] == pytest.approx(torch.cos(torch.tensor(0.25)).item())
    assert sinusoids[128] == pytest.approx(torch.sin(torch.tensor(0.25)).item())
    slowest = 0.25 * 10_000 ** (-127 / 128)
    assert sinusoids[255] == pytest.approx(slowest, rel=1e-4)


COMPILED = """
import copy, torch, thalweg
from thalweg_authoring.numbers import outputs
facts = thalweg.Facts(shape=(4, 8, 8), classes=10)
backbone = {"type": "dit", "width": 32, "heads": 4, "depth": 2}
refiner = {"type": "vera", "channels": [16]}
network = thalweg.compose(backbone=backbone, refiner=refiner, branches=2, facts=facts)
for parameter in network.parameters():
    torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
compiled = copy.deepcopy(network)
compiled.compile_regions()
x_t, times_kN = torch.randn(3, 4, 8, 8), torch.rand(2, 3)
condition = thalweg.Condition(torch.arange(3))
answers = []
for one in (network, compiled):
    prediction = one(x_t, times_kN, condition)
    sum(v.square().sum() for v in outputs(prediction)).backward()
    answers.append((torch.stack(prediction.velocities), one.backbone.blocks[0].mlp.layers[0].weight.grad))
for eager, fast in zip(*answers):
    assert torch.allclose(eager, fast, rtol=1e-4, atol=1e-5), (eager - fast).abs().max()
from torch._dynamo.utils import counters
assert counters["stats"]["unique_graphs"] > 0
"""


@pytest.mark.skipif(machine.compiler() is None, reason="torch.compile needs a C++ compiler, and none is here")
def test_compiled_regions_give_the_same_numbers():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
