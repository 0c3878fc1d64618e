"""Measurements of hidden states: what is known beforehand comes out."""

from itertools import permutations

import pytest
import torch

from thalweg.facts import Facts
from thalweg.layers import layer_norm
from thalweg.types import Condition, Head
from thalweg_eval.analysis.distance import Distances
from thalweg_eval.analysis.drawing import Drawn
from thalweg_eval.analysis.gradients import cosine
from thalweg_eval.analysis.observing import Observed
from thalweg_eval.analysis.probe import ProbeAccuracy, ProbeFit
from thalweg_eval.analysis.ridge import RidgeSums
from thalweg_eval.analysis.similarity import DebiasedCKA, _hsic
from thalweg_eval.analysis.velocity_error import ReadoutFit, VelocityErrors, patches

DRAWS = torch.Generator().manual_seed(7)


def normal(*shape):
    return torch.randn(shape, generator=DRAWS)


def rotation(width):
    return torch.linalg.qr(normal(width, width))[0]


def cka(*batches):
    found = DebiasedCKA()
    for states in batches:
        found.update(states)
    return found.result()


def test_cka_of_states_that_are_rotated_shifted_and_scaled_is_1():
    z = normal(32, 3, 8)
    (row, _) = cka([z, -2.5 * (z.flatten(1) @ rotation(24)) + 4])
    assert row == pytest.approx([1, 1], abs=1e-6)


def test_cka_of_independent_states_is_about_0_though_they_have_many_dimensions():
    # The biased estimate would be above 0.9 with 400 dimensions and 16 samples.
    batches = [[normal(16, 400), normal(16, 400)] for _ in range(40)]
    assert cka(*batches)[0][1] == pytest.approx(0, abs=0.05)
    assert cka(*batches)[0][0] == pytest.approx(1)


def test_cka_of_a_state_and_its_noisy_copy_is_what_their_covariances_say():
    # HSIC is the sum of squared covariances: D, D + E and D of the pairs, so that CKA = D / sqrt(D (D + E)).
    batches = [[z, torch.cat([z, normal(64, 5)], 1)] for z in (normal(64, 10) for _ in range(60))]
    assert cka(*batches)[0][1] == pytest.approx((10 / 15) ** 0.5, abs=0.02)


def test_hsic_is_the_unbiased_estimate_over_quadruples():
    # Song et al. 2012, equation 3: the mean over distinct i, j, q, r of K_ij (L_ij + L_qr - 2 L_iq).
    K, L = (one @ one.T for one in (normal(6, 3).double(), normal(6, 4).double()))
    terms = [K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]) for i, j, q, r in permutations(range(6), 4)]
    both = torch.stack([K, L])
    both.diagonal(dim1=1, dim2=2).zero_()
    assert float(_hsic(both)[0, 1]) == pytest.approx(float(sum(terms) / len(terms)))


def test_states_that_are_the_same_for_all_samples_have_no_cka_and_small_batches_do_not_count():
    z = normal(8, 4)
    found = cka([z, torch.ones(8, 4)], [normal(3, 4), normal(3, 4)])
    assert found == [[pytest.approx(1), None], [None, None]]


def test_ridge_finds_an_exactly_linear_map_whatever_the_batches():
    z, weight, offset = normal(60, 5) * torch.tensor([1, 10, 0.1, 3, 1]) + 2, normal(5, 3), normal(3)
    y = z @ weight + offset
    one, two = RidgeSums(), RidgeSums()
    one.update(z, y)
    for start in range(0, 60, 7):
        two.update(z[start : start + 7], y[start : start + 7])
    for found in (one.solve(1e-10), two.solve(1e-10)):
        torch.testing.assert_close(found.weight.float(), weight, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found(z).float(), y, rtol=1e-4, atol=1e-4)


def test_ridge_shrinks_by_the_share_that_it_states_whatever_the_scale_of_a_feature():
    # One feature: w = C / (S + ridge S), so that the slope of y = 3 z is 3 / (1 + ridge).
    for scale in (0.01, 1.0, 100.0):
        z = normal(50, 1) * scale
        sums = RidgeSums()
        sums.update(z, 3 * z + 1)
        found = sums.solve(0.5)
        assert float(found.weight) == pytest.approx(2.0, rel=1e-5)
        # The mean is met exactly, as the offset is not shrunk.
        assert float(found(z).mean()) == pytest.approx(float((3 * z + 1).mean()), rel=1e-5)


def test_a_feature_that_does_not_vary_is_no_singular_matrix():
    z = torch.cat([normal(40, 2), torch.full((40, 1), 5.0)], 1)
    sums = RidgeSums()
    sums.update(z, z[:, :1])
    found = sums.solve(1e-9)
    assert found.weight[:, 0].tolist() == pytest.approx([1, 0, 0], abs=1e-6)


def seen(velocity, velocities, states, labels=None):
    drawn = Drawn(velocity, torch.full((len(velocity),), 0.5), velocity, Condition(labels))
    return Observed(drawn, velocities, states)


def test_patches_are_the_elements_of_each_token_row_by_row():
    facts = Facts(shape=(2, 4, 6), grid=(2, 3))
    image = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    found = patches(image, facts)
    assert found.shape == (1, 6, 8)
    # The token of row 1 and column 2: both channels of rows 2 and 3, columns 4 and 5.
    assert found[0, 5].tolist() == image[0, :, 2:4, 4:6].flatten().tolist()
    assert patches(normal(3, 2), Facts(shape=(2,), grid=(1, 1))).shape == (3, 1, 2)
    assert patches(normal(3, 8), Facts(shape=(8,), grid=(2, 2))) is None


def test_errors_of_a_known_field_are_known():
    facts = Facts(shape=(1, 4, 4), grid=(2, 2), depth=2)
    V = normal(20, 1, 4, 4)
    zero, half, exact = Head(1), Head(1, "refined"), Head(2)
    found = VelocityErrors({}, facts)
    for part in V.split(7):
        found.update(seen(part, {zero: 0 * part, half: part / 2, exact: part}, {}))
    errors, square = found.result(), float(V.square().mean())
    assert errors["heads"] == {zero: pytest.approx(square), half: pytest.approx(square / 4), exact: 0.0}
    assert errors["readouts"] == {}


def test_a_read_out_finds_a_velocity_that_is_linear_in_normalised_tokens_and_no_other():
    facts, place = Facts(shape=(1, 4, 4), grid=(2, 2), depth=1), Head(1)
    weight = normal(6, 4)

    def batch(count):
        tokens = normal(count, 4, 6)
        patch = layer_norm(tokens) @ weight  # N T P
        image = patch.unflatten(1, (2, 2)).unflatten(3, (2, 2)).permute(0, 1, 3, 2, 4).reshape(count, 1, 4, 4)
        return image, tokens

    fit, unrelated = ReadoutFit(facts), ReadoutFit(facts)
    for _ in range(4):
        image, tokens = batch(32)
        fit.update(seen(image, {}, {place: tokens}))
        unrelated.update(seen(image, {}, {place: normal(32, 4, 6)}))
    image, tokens = batch(512)
    square = float(image.square().mean())
    for readout, shown, error in ((fit, tokens, 0.0), (unrelated, normal(512, 4, 6), square)):
        errors = VelocityErrors(readout.solve(), facts)
        errors.update(seen(image, {}, {place: shown}))
        assert errors.result()["readouts"][place] == pytest.approx(error, abs=0.05 * square)


def test_tokens_that_stand_for_unknown_elements_get_no_read_out():
    fit = ReadoutFit(Facts(shape=(1, 4, 4), grid=(2, 2), depth=1))
    fit.update(seen(normal(5, 1, 4, 4), {}, {Head(1): normal(5, 9, 6)}))
    assert fit.solve() == {}


def test_distances_are_relative_to_the_last_tokens_and_euclidean():
    last, near, far = torch.zeros(4, 2, 3), torch.zeros(4, 2, 3), torch.zeros(4, 2, 3)
    last[..., 0], near[..., 0], far[..., 1] = 4.0, 3.0, 3.0
    found = Distances(Head(3))
    for rows in (slice(0, 1), slice(1, 4)):
        states = {Head(1): far[rows], Head(1, "refined"): near[rows], Head(3): last[rows]}
        found.update(seen(torch.zeros(1, 1), {}, states))
    result = found.result()
    assert result["relative"] == {Head(1): pytest.approx(5 / 4), Head(1, "refined"): pytest.approx(1 / 4)}
    assert result["euclidean"] == {Head(1): pytest.approx(5), Head(1, "refined"): pytest.approx(1)}


def test_a_class_that_is_encoded_in_tokens_is_found_and_none_is_where_there_is_none():
    def batch(count):
        labels = torch.randint(5, (count,), generator=DRAWS)
        directions = 2 * torch.eye(5)[labels]
        tokens = normal(count, 4, 5) * 0.3 + directions.unsqueeze(1)
        return seen(normal(count, 2), {}, {Head(1): tokens, Head(2): normal(count, 4, 5)}, labels)

    fit = ProbeFit(5)
    for _ in range(8):
        fit.update(batch(50))
    accuracy = ProbeAccuracy(fit.solve())
    for _ in range(8):
        accuracy.update(batch(50))
    found = accuracy.result()
    assert found[Head(1)] == 1.0
    assert found[Head(2)] == pytest.approx(0.2, abs=0.08)


def test_cosines_are_over_the_parameters_that_both_gradients_have():
    g = [torch.tensor([1.0, 0.0]), torch.tensor([3.0]), None]
    h = [torch.tensor([1.0, 1.0]), None, torch.tensor([9.0])]
    assert cosine(g, h) == pytest.approx(0.5**0.5)
    assert cosine(g, g) == pytest.approx(1)
    assert cosine(g, [-one if one is not None else None for one in g]) == pytest.approx(-1)
    assert cosine(g, [torch.zeros(2), torch.zeros(1), None]) is None
    assert cosine(g, [None, None, torch.ones(1)]) is None
