import pytest
import torch
from torch import nn

from thalweg.averages.ema import EMA, decay_at, initial_share, warmup_steps


def network(value: float = 0.0) -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    fill(module, value)
    return module


@torch.no_grad()
def fill(module: nn.Module, value: float) -> None:
    for parameter in module.parameters():
        parameter.fill_(value)


def averaged(ema: EMA) -> list[float]:
    return ema.state_dict()["0.weight"].flatten().tolist()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99, 0.9999])
def test_closed_form_after_n_updates(decay: float) -> None:
    module = network(value=2.0)
    ema, weights = EMA(module, decay), [2.0]
    draws = torch.Generator().manual_seed(0)
    for step in range(50):
        weights.append(float(torch.randn((), generator=draws)))
        fill(module, weights[-1])
        ema.update(step)
    count = len(weights) - 1
    expected = decay**count * weights[0] + (1 - decay) * sum(
        decay ** (count - index) * weights[index] for index in range(1, count + 1)
    )
    for name, _ in module.named_parameters():
        assert ema.state_dict()[name].flatten().tolist() == pytest.approx(
            [expected] * ema.state_dict()[name].numel()
        )


def test_warm_up_weighs_weights_by_a_power_of_their_step() -> None:
    # The decays telescope: after N steps the weights of step n, from 0, count for 9 (n + 2) ... (n + 9) over
    # (N + 1) ... (N + 9), a polynomial of degree 8.
    def rising(first: int, count: int) -> float:
        product = 1.0
        for number in range(first, first + count):
            product *= number
        return product

    for steps in (1, 7, 60):
        module = network(value=2.0)
        ema = EMA(module, 0.9999, warmup=True)
        values = torch.randn(steps, generator=torch.Generator().manual_seed(steps)).tolist()
        for step, value in enumerate(values):
            fill(module, value)
            ema.update(step)
        shares = [9 * rising(step + 2, 8) / rising(steps + 1, 9) for step in range(steps)]
        initial = rising(1, 9) / rising(steps + 1, 9)
        assert sum(shares) + initial == pytest.approx(1)
        assert initial_share(steps, 0.9999, warmup=True) == pytest.approx(initial)
        expected = 2.0 * initial + sum(share * value for share, value in zip(shares, values, strict=True))
        assert averaged(ema) == pytest.approx([expected] * 6)


def test_a_weight_that_never_moves_keeps_its_bits() -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    module = nn.ParameterList([values.clone(), values.clone().bfloat16()])
    ema = EMA(module, 0.9999)
    theirs = values.clone()
    for step in range(2_000):
        ema.update(step)
        theirs.mul_(0.9999).add_(values, alpha=1 - 0.9999)
    for name, average in ema.state_dict().items():
        assert torch.equal(average, module[int(name)])
    # As two products, which round apart, averages lose 8e-8 of themselves with every update.
    assert float(((theirs - values) / values).abs().max()) > 5e-5


@pytest.mark.parametrize(("decay", "steps"), [(0.0, 0), (0.1, 0), (0.5, 8), (0.99, 890), (0.9999, 89_990)])
def test_warm_up_ends_where_the_decay_is_reached(decay: float, steps: int) -> None:
    assert warmup_steps(decay) == steps
    assert decay_at(steps, decay, warmup=True) == pytest.approx(decay)
    assert steps == 0 or decay_at(steps - 1, decay, warmup=True) < decay
    assert decay_at(0, decay, warmup=False) == decay


def test_the_papers_runs_average_alike_with_and_without_warm_up() -> None:
    # After 400,000 steps the ways can only differ by what they keep of the first 89,990.
    kept = 0.9999 ** (400_000 - warmup_steps(0.9999))
    assert kept < 1e-13 < torch.finfo(torch.float32).eps
    assert initial_share(400_000, 0.9999, warmup=False) == pytest.approx(4.2e-18, rel=0.02)
    assert initial_share(400, 0.9999, warmup=False) > 0.96
    assert initial_share(400, 0.9999, warmup=True) < 1e-17


def test_applied_computes_with_the_averages_and_gives_the_weights_back() -> None:
    module = network(value=0.0)
    ema = EMA(module, decay=0.75)
    fill(module, 1.0)
    ema.update(0)
    weight = next(module.parameters())

    def fail_on_the_way() -> None:
        with ema.applied():
            assert weight.flatten().tolist() == [0.25] * weight.numel()
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail_on_the_way()
    assert weight.flatten().tolist() == [1.0] * weight.numel()
    ema.update(1)
    assert averaged(ema) == [0.4375] * weight.numel()


def test_its_state_loads_as_a_network_and_as_an_ema() -> None:
    module = network(value=0.0)
    ema = EMA(module, decay=0.5)
    fill(module, 1.0)
    ema.update(0)
    other = network(value=7.0)
    other.load_state_dict(ema.state_dict())
    assert float(next(other.parameters()).detach().mean()) == 0.5
    restored = EMA(network(value=9.0), decay=0.5)
    restored.load_state_dict(ema.state_dict())
    assert averaged(restored) == averaged(ema)
