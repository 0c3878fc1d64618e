"""Draws depend on their address and on nothing else."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.randomness import SampleNoise, generator

SHAPE = (2, 3, 5)
address = st.tuples(
    st.integers(0, 2**40), st.sampled_from(["noise", "times"]), st.lists(st.integers(0, 9), max_size=3)
)


def first(seed, purpose, numbers):
    return torch.randn(4, generator=generator(seed, purpose, *numbers))


@given(address, address)
def test_equal_addresses_and_no_others_give_equal_draws(one, other):
    assert torch.equal(first(*one), first(*other)) == (one == other)


def test_an_address_is_no_mere_string_of_digits():
    assert not torch.equal(first(1, "noise", [1, 11]), first(1, "noise", [11, 1]))
    assert not torch.equal(first(1, "noise", [1, 11]), first(1, "noise", [111]))
    assert not torch.equal(first(0, "noise", [0]), first(0, "noise", []))


def test_the_global_generator_is_neither_read_nor_moved():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    drawn = SampleNoise(0, [1, 2], SHAPE).initial()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(SampleNoise(0, [1, 2], SHAPE).initial(), drawn)


def test_draws_of_a_sample_do_not_depend_on_the_others():
    def draws(indices):
        noise = SampleNoise(3, indices, SHAPE)
        return torch.stack([noise.initial(), *(noise.increments(step) for step in range(3))])

    whole = draws([0, 1, 2, 3])
    assert torch.equal(draws([2]), whole[:, [2]])
    assert torch.equal(draws([3, 0]), whole[:, [3, 0]])
    assert torch.equal(draws([1, 1]), whole[:, [1, 1]])


def test_samples_steps_and_seeds_differ():
    noise = SampleNoise(0, [0, 1], SHAPE)
    drawn = [*noise.initial(), *noise.increments(0), *noise.increments(1)]
    drawn += list(SampleNoise(1, [0, 1], SHAPE).initial())
    assert len({tuple(one.flatten().tolist()) for one in drawn}) == 8


def test_neighbouring_samples_and_seeds_are_independent_standard_normals():
    shape, count = (1, 64, 64), 40
    rows = torch.cat([SampleNoise(seed, range(count // 2), shape).initial() for seed in (0, 1)]).flatten(1)
    correlation = torch.corrcoef(rows) - torch.eye(count)
    # A sample correlation of 4096 pairs has a standard error of 1/64; 780 pairs are looked at.
    assert correlation.abs().max() < 5 / 64
    assert abs(rows.mean()) < 5 / rows.numel() ** 0.5
    assert abs(rows.var() - 1) < 5 * (2 / rows.numel()) ** 0.5
