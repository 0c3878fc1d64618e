import pytest
import torch
from torch import nn

from thalweg.training.ema import EMA


def network(value: float = 0.0) -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)
    return module


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99, 0.9999])
def test_closed_form_after_n_updates(decay: float) -> None:
    module = network(value=2.0)
    ema, weights = EMA(module, decay), [2.0]
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        weights.append(float(torch.randn((), generator=draws)))
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(weights[-1])
        ema.update()
    count = len(weights) - 1
    expected = decay**count * weights[0] + (1 - decay) * sum(
        decay ** (count - index) * weights[index] for index in range(1, count + 1)
    )
    for name, _ in module.named_parameters():
        assert ema.state_dict()[name].flatten().tolist() == pytest.approx(
            [expected] * ema.state_dict()[name].numel()
        )


def test_applied_computes_with_the_averages_and_gives_the_weights_back() -> None:
    module = network(value=0.0)
    ema = EMA(module, decay=0.75)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    ema.update()
    weight = next(module.parameters())

    def fail_on_the_way() -> None:
        with ema.applied():
            assert weight.flatten().tolist() == [0.25] * weight.numel()
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail_on_the_way()
    assert weight.flatten().tolist() == [1.0] * weight.numel()
    ema.update()
    assert ema.state_dict()["0.weight"].flatten().tolist() == [0.4375] * weight.numel()


def test_its_state_loads_as_a_network_and_as_an_ema() -> None:
    module = network(value=0.0)
    ema = EMA(module, decay=0.5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    ema.update()
    other = network(value=7.0)
    other.load_state_dict(ema.state_dict())
    assert float(next(other.parameters()).detach().mean()) == 0.5
    restored = EMA(network(value=9.0), decay=0.5)
    restored.load_state_dict(ema.state_dict())
    assert torch.equal(restored.state_dict()["0.weight"], ema.state_dict()["0.weight"])
