"""The adaptive sampler: each sample at its own pace, and what it says when it cannot arrive."""

import attrs
import pytest
import torch

from samplers.gaussian import LINEAR, no_increments, noise
from thalweg.errors import ThalwegError
from thalweg.facts import Facts
from thalweg_samplers.dopri5 import Dopri5Config

FACTS = Facts(shape=(2, 3, 3))


@attrs.define
class Oscillating:
    """dx/dt = -rate sin(rate t): each sample has a rate of its own; notes what was asked of which."""

    rates: torch.Tensor
    asked: list
    rows: torch.Tensor

    @classmethod
    def of(cls, rates):
        return cls(torch.tensor(rates, dtype=torch.float64), [], torch.arange(len(rates)))

    def __call__(self, x, t):
        self.asked.extend(self.rows.tolist())
        phase = (self.rates * t).view(-1, 1, 1, 1)
        return -self.rates.view(-1, 1, 1, 1) * torch.sin(phase) * torch.ones_like(x)

    def select(self, index):
        return Oscillating(self.rates[index], self.asked, self.rows[index])

    def solution(self, x_1):
        return x_1 + (1 - torch.cos(self.rates)).view(-1, 1, 1, 1)


def solve(velocity, x_1, **options):
    return Dopri5Config(**options).build(FACTS)(velocity, x_1, no_increments, LINEAR)


def test_each_sample_takes_the_steps_it_needs_and_no_more():
    rates = [30.0, 1.0, 8.0]
    x_1 = noise(3)
    alone = []
    for row, rate in enumerate(rates):
        field = Oscillating.of([rate])
        solve(field, x_1[row : row + 1])
        alone.append(len(field.asked))
    together = Oscillating.of(rates)
    x_0 = solve(together, x_1)
    assert [together.asked.count(row) for row in range(3)] == alone
    assert alone[1] < alone[2] < alone[0]
    torch.testing.assert_close(x_0, together.solution(x_1), rtol=0, atol=1e-3)


def test_a_field_without_select_gives_the_same_samples():
    x_1 = noise(3)
    field = Oscillating.of([30.0, 1.0, 8.0])
    assert torch.equal(solve(lambda x, t: field(x, t), x_1), solve(field, x_1))


def test_neither_the_noise_nor_a_returned_velocity_is_written_to():
    x_1, buffer = noise(2), torch.ones(2, 2, 3, 3, dtype=torch.float64)
    before = x_1.clone()
    x_0 = solve(lambda x, t: buffer, x_1)
    assert torch.equal(x_1, before)
    assert torch.equal(buffer, torch.ones_like(buffer))
    torch.testing.assert_close(x_0, before - 1, rtol=0, atol=1e-14)


def test_a_constant_velocity_needs_few_steps():
    field = Oscillating.of([0.0])
    solve(field, noise(1), first_step=0.05)
    # 0.05, then 0.5, then the rest: six evaluations each and one to begin with.
    assert len(field.asked) == 19


def test_a_step_that_is_rejected_is_tried_again_shorter():
    rough, fine = Oscillating.of([30.0]), Oscillating.of([30.0])
    x_1 = noise(1)
    x_0 = solve(rough, x_1, first_step=1.0)
    solve(fine, x_1, first_step=0.01)
    torch.testing.assert_close(x_0, rough.solution(x_1), rtol=0, atol=1e-3)
    assert len(rough.asked) - len(fine.asked) < 40


def test_the_trials_are_limited():
    with pytest.raises(ThalwegError, match=r"max_steps = 3: 2 of 2 samples .* t = 0\.\d+; raise max_steps"):
        solve(Oscillating.of([200.0, 100.0]), noise(2), max_steps=3)


def test_it_arrives_in_exactly_the_trials_it_needs():
    field = Oscillating.of([8.0])
    solve(field, noise(1))
    trials = (len(field.asked) - 1) // 6
    solve(Oscillating.of([8.0]), noise(1), max_steps=trials)
    with pytest.raises(ThalwegError, match="max_steps"):
        solve(Oscillating.of([8.0]), noise(1), max_steps=trials - 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_velocity_that_is_not_finite_is_reported(bad):
    with pytest.raises(ThalwegError, match="not finite near t ="):
        solve(lambda x, t: torch.full_like(x, bad), noise(1))


def test_a_velocity_that_cannot_be_integrated_is_reported():
    generator = torch.Generator().manual_seed(0)

    def static(x, t):
        return 1e9 * torch.randn(x.shape, dtype=x.dtype, generator=generator)

    with pytest.raises(ThalwegError, match="needs steps below"):
        solve(static, noise(1), rtol=1e-9, atol=1e-9)


@attrs.define
class Jumping:
    """dx/dt = -2 on t <= 0.7, 1 above; keeps the times of its calls by its side of the jump."""

    breaks: tuple = (0.7,)
    low: torch.Tensor | None = None
    asked: list = attrs.field(factory=list)

    def __call__(self, x, t):
        low_N = t <= 0.7 if self.low is None else self.low
        self.asked.extend(zip(low_N.tolist(), t.tolist(), strict=True))
        return torch.where(low_N.view(-1, 1, 1, 1), -2.0, 1.0) * torch.ones_like(x)

    def during(self, t):
        return attrs.evolve(self, low=t <= 0.7)


def test_a_step_ends_at_a_jump_that_the_field_tells_of():
    field, x_1 = Jumping(), noise(2)
    found = solve(field, x_1)
    torch.testing.assert_close(found, x_1 - 0.3 + 1.4, rtol=0, atol=1e-12)
    assert min(t for low, t in field.asked if not low) == pytest.approx(0.7, abs=1e-12)
    assert max(t for low, t in field.asked if low) == pytest.approx(0.7, abs=1e-12)


def test_a_jump_that_it_is_not_told_of_is_crossed_in_small_steps():
    field, x_1 = Jumping(), noise(2)
    found = solve(lambda x, t: field(x, t), x_1)
    torch.testing.assert_close(found, x_1 - 0.3 + 1.4, rtol=0, atol=2e-2)
