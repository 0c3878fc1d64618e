"""Data of which everything is known: every element is N(mu, s^2), independently."""

import math
from itertools import pairwise

import attrs
import torch

from thalweg.interpolant import Interpolant


@attrs.frozen
class Gaussian:
    """x_t is N(m, c^2) with m = alpha mu and c^2 = alpha^2 s^2 + sigma^2; times are one per sample."""

    interpolant: Interpolant
    mu: float = 0.7
    s: float = 0.4

    def _at(self, t):
        path, time = self.interpolant.schedule, t.view(-1, 1, 1, 1)
        alpha, sigma = path.alpha(time), path.sigma(time)
        return alpha, sigma, alpha * self.mu, alpha * alpha * self.s**2 + sigma * sigma

    def velocity(self, x, t):
        path, time = self.interpolant.schedule, t.view(-1, 1, 1, 1)
        alpha, sigma, m, c2 = self._at(t)
        half_dc2 = alpha * path.d_alpha(time) * self.s**2 + sigma * path.d_sigma(time)
        return path.d_alpha(time) * self.mu + half_dc2 / c2 * (x - m)

    def score(self, x, t):
        _, _, m, c2 = self._at(t)
        return -(x - m) / c2

    def posterior_clean(self, x, t):
        alpha, _, m, c2 = self._at(t)
        return self.mu + alpha * self.s**2 / c2 * (x - m)

    def posterior_noise(self, x, t):
        _, sigma, m, c2 = self._at(t)
        return sigma / c2 * (x - m)

    def flow(self, x_1):
        """Where the probability-flow ODE carries x_1: standardised values stay what they are."""
        return self.mu + self.s * x_1


LINEAR = Interpolant.named("linear")
COSINE = Interpolant.named("cosine")


def noise(count, shape=(2, 3, 3), seed=0):
    return torch.randn(count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def no_increments(step):
    raise AssertionError("a deterministic sampler asked for an increment")


def orders(errors):
    """The order of convergence between errors of step counts that double."""
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
