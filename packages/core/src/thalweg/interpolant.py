"""The path between data and noise, and every conversion along it, in one place.

x_t = alpha(t) x_0 + sigma(t) x_1 with x_1 ~ N(0, I), alpha(0) = sigma(1) = 1 and alpha(1) = sigma(0) = 0.
The velocity is v = alpha'(t) x_0 + sigma'(t) x_1. Solving both equations for x_0 and x_1 gives the
conversions below; their determinant alpha sigma' - alpha' sigma vanishes nowhere on the two paths.
"""

import math
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.broadcasting import like
from thalweg.errors import ConfigError

InterpolantName = Literal["linear", "cosine"]


@runtime_checkable
class Schedule(Protocol):
    """alpha and sigma of an interpolant with their derivatives, and its clock."""

    def alpha(self, t: Tensor) -> Tensor:
        """Weight of the data."""
        ...

    def sigma(self, t: Tensor) -> Tensor:
        """Weight of the noise."""
        ...

    def d_alpha(self, t: Tensor) -> Tensor:
        """Derivative of alpha."""
        ...

    def d_sigma(self, t: Tensor) -> Tensor:
        """Derivative of sigma."""
        ...

    def time_of_ratio(self, s: Tensor) -> Tensor:
        """The time at which sigma / alpha = s."""
        ...


class Linear:
    """alpha = 1 - t, sigma = t (DeepFlow, equation 1)."""

    def alpha(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """The time itself."""
        return t

    def d_alpha(self, t: Tensor) -> Tensor:
        """-1."""
        return -torch.ones_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def time_of_ratio(self, s: Tensor) -> Tensor:
        """s / (1 + s)."""
        return s / (1 + s)


class Cosine:
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): the variance-preserving path."""

    def alpha(self, t: Tensor) -> Tensor:
        """cos(pi t / 2)."""
        return torch.cos(t * (math.pi / 2))

    def sigma(self, t: Tensor) -> Tensor:
        """sin(pi t / 2)."""
        return torch.sin(t * (math.pi / 2))

    def d_alpha(self, t: Tensor) -> Tensor:
        """-pi/2 sin(pi t / 2)."""
        return -(math.pi / 2) * self.sigma(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        """pi/2 cos(pi t / 2)."""
        return (math.pi / 2) * self.alpha(t)

    def time_of_ratio(self, s: Tensor) -> Tensor:
        """2/pi atan(s)."""
        return (2 / math.pi) * torch.atan(s)


class Interpolant:
    """x_t and the conversions between velocity, noise, clean data and score.

    Times are one per sample; they are cast to x's dtype and device and broadcast over its other axes.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    @classmethod
    def named(cls, name: str) -> "Interpolant":
        """The interpolant of that name, ``linear`` or ``cosine``.

        Raises:
            ConfigError: there is no such interpolant.
        """
        schedules: dict[str, type[Schedule]] = {"linear": Linear, "cosine": Cosine}
        if not isinstance(name, str) or name not in schedules:
            raise ConfigError(f"there is no interpolant {name!r}; take 'linear' or 'cosine'")
        return cls(schedules[name]())

    def time_of_ratio(self, s: Tensor) -> Tensor:
        """The time at which noise stands to data as s: sigma(t) / alpha(t) = s."""
        return self.schedule.time_of_ratio(s)

    def x_t(
        self, clean: Float[Tensor, "N *shape"], noise: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """alpha x_0 + sigma x_1."""
        time = like(t, clean)
        return self.schedule.alpha(time) * clean + self.schedule.sigma(time) * noise

    def velocity(
        self, clean: Float[Tensor, "N *shape"], noise: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """alpha' x_0 + sigma' x_1; noise - clean on the linear path."""
        time = like(t, clean)
        return self.schedule.d_alpha(time) * clean + self.schedule.d_sigma(time) * noise

    def clean(
        self, x: Float[Tensor, "N *shape"], velocity: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """E[x_0 | x_t] from the velocity: (sigma' x - sigma v) / determinant."""
        time = like(t, x)
        numerator = self.schedule.d_sigma(time) * x - self.schedule.sigma(time) * velocity
        return numerator / self._determinant(time)

    def noise(
        self, x: Float[Tensor, "N *shape"], velocity: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """E[x_1 | x_t] from the velocity: (alpha v - alpha' x) / determinant."""
        time = like(t, x)
        numerator = self.schedule.alpha(time) * velocity - self.schedule.d_alpha(time) * x
        return numerator / self._determinant(time)

    def score(
        self, x: Float[Tensor, "N *shape"], velocity: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """grad log p_t(x) = -E[x_1 | x_t] / sigma; t > 0."""
        return -self.noise(x, velocity, t) / self.schedule.sigma(like(t, x))

    def velocity_of_score(
        self, x: Float[Tensor, "N *shape"], score: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """The velocity whose score this is; t < 1, where alpha does not vanish."""
        return self.velocity_of_noise(x, -self.schedule.sigma(like(t, x)) * score, t)

    def velocity_of_noise(
        self, x: Float[Tensor, "N *shape"], noise: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """The velocity of a noise prediction; t < 1."""
        time = like(t, x)
        return (noise * self._determinant(time) + self.schedule.d_alpha(time) * x) / self.schedule.alpha(time)

    def velocity_of_clean(
        self, x: Float[Tensor, "N *shape"], clean: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """The velocity of a clean-data prediction; t > 0."""
        time = like(t, x)
        return (self.schedule.d_sigma(time) * x - clean * self._determinant(time)) / self.schedule.sigma(time)

    def _determinant(self, time: Tensor) -> Tensor:
        path = self.schedule
        return path.alpha(time) * path.d_sigma(time) - path.d_alpha(time) * path.sigma(time)
