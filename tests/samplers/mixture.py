"""Two Gaussians a little apart, in any number of axes: the flow and the distribution are known exactly."""

import math

import attrs
import torch
from torch import Tensor

from thalweg.interpolant import Interpolant


@attrs.frozen(eq=False)
class Mixture:
    """Half of N(m u, s^2) and half of N(-m u, s^2), u a direction of unit length.

    x_t is half of N(a m u, c^2) and half of N(-a m u, c^2) with c^2 = a^2 s^2 + b^2. With p = x . u the share
    of the first is r = sigmoid(2 a m p / c^2), so E[x_0 component mean] = m (2 r - 1) u, and the exact
    velocity follows. Across u the flow scales; along u it keeps quantiles, as every flow of one dimension.

    Attributes:
        direction: u, of the data's shape; a number for samples that are numbers.
        m: half the distance between the means.
        s: of each.
        path: the interpolant.
    """

    direction: Tensor
    m: float = 1.2
    s: float = 0.3
    path: Interpolant = attrs.field(factory=lambda: Interpolant.named("linear"))

    @classmethod
    def of(cls, shape, **options):
        """A slanting one of a shape."""
        u = torch.arange(1.0, 1 + math.prod(shape), dtype=torch.float64).reshape(shape)
        return cls(u / u.norm(), **options)

    def along(self, x):
        """p = x . u of every sample."""
        return (x.double() * self.direction).flatten(1).sum(1) if x.dim() > 1 else x.double() * self.direction

    def _spread(self, p):
        return p.view(-1, *[1] * self.direction.dim()) * self.direction

    def velocity(self, x, t):
        """d x_t / d t at x and t, one a sample."""
        schedule = self.path.schedule
        a, b, da, db = (f(t) for f in (schedule.alpha, schedule.sigma, schedule.d_alpha, schedule.d_sigma))
        c2 = a * a * self.s**2 + b * b
        mean = self.m * (2 * torch.sigmoid(2 * a * self.m * self.along(x) / c2) - 1)
        rate = (a * da * self.s**2 + b * db) / c2
        shrunk = rate.view(-1, *[1] * self.direction.dim()) * (x - self._spread(a * mean))
        return self._spread(da * mean) + shrunk

    def flow(self, x_1):
        """Where the probability flow carries noise."""
        p = self.along(x_1)
        across = x_1 - self._spread(p)
        return self.s * across + self._spread(self._quantile(p))

    def _quantile(self, p):
        """The number below which as much of the data lies along u as of noise below p."""
        wanted, normal = torch.special.ndtr(p), torch.special.ndtr
        low, high = torch.full_like(p, -20), torch.full_like(p, 20)
        for _ in range(80):
            middle = (low + high) / 2
            share = (normal((middle - self.m) / self.s) + normal((middle + self.m) / self.s)) / 2
            low, high = torch.where(share < wanted, middle, low), torch.where(share < wanted, high, middle)
        return (low + high) / 2
