"""Data of which everything is known: every element is N(mu, s^2), independently."""

import math
from collections.abc import Sequence
from itertools import pairwise

import attrs
from torch import Tensor

from thalweg.broadcasting import like
from thalweg.interpolant import Interpolant

LINEAR = Interpolant.named("linear")
COSINE = Interpolant.named("cosine")


@attrs.frozen
class Gaussian:
    """x_t is N(m, c^2) with m = alpha mu and c^2 = alpha^2 s^2 + sigma^2; times are one per sample.

    Attributes:
        interpolant: the path from data to noise.
        mu: mean of the data.
        s: standard deviation of the data.
    """

    interpolant: Interpolant
    mu: float = 0.7
    s: float = 0.4

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """The velocity of the probability flow at x and t."""
        path, time = self.interpolant.schedule, like(t, x)
        alpha, sigma, m, c2 = self._at(t, x)
        half_dc2 = alpha * path.d_alpha(time) * self.s**2 + sigma * path.d_sigma(time)
        return path.d_alpha(time) * self.mu + half_dc2 / c2 * (x - m)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """grad log p_t(x)."""
        _, _, m, c2 = self._at(t, x)
        return -(x - m) / c2

    def posterior_clean(self, x: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t = x]."""
        alpha, _, m, c2 = self._at(t, x)
        return self.mu + alpha * self.s**2 / c2 * (x - m)

    def posterior_noise(self, x: Tensor, t: Tensor) -> Tensor:
        """E[x_1 | x_t = x]."""
        _, sigma, m, c2 = self._at(t, x)
        return sigma / c2 * (x - m)

    def transported(self, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        """Where the probability flow carries x from time t to r: standardised values stay what they are."""
        (_, _, m_t, c2_t), (_, _, m_r, c2_r) = self._at(t, x), self._at(r, x)
        return m_r + (c2_r / c2_t).sqrt() * (x - m_t)

    def average(self, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        """The average velocity over [r, t] of the flow through x at t; at r = t the velocity."""
        gap = like(t - r, x)
        averaged = (x - self.transported(x, t, r)) / gap.where(gap != 0, 1.0)
        return averaged.where(gap != 0, self.velocity(x, t))

    def flow(self, x_1: Tensor) -> Tensor:
        """Where the probability flow carries x_1: standardised values stay what they are."""
        return self.mu + self.s * x_1

    def _at(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        path, time = self.interpolant.schedule, like(t, x)
        alpha, sigma = path.alpha(time), path.sigma(time)
        return alpha, sigma, alpha * self.mu, alpha * alpha * self.s**2 + sigma * sigma


def orders(errors: Sequence[float]) -> list[float]:
    """The orders of convergence between errors of step counts that double."""
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
