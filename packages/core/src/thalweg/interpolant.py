"""The path between data and noise, and every conversion along it, in one place.

x_t = alpha(t) x_0 + sigma(t) x_1 with x_1 ~ N(0, I), alpha(0) = sigma(1) = 1 and alpha(1) = sigma(0) = 0.
The velocity is v = alpha'(t) x_0 + sigma'(t) x_1. Solving both equations for x_0 and x_1 gives the
conversions below; their determinant alpha sigma' - alpha' sigma must vanish nowhere on [0, 1], that is,
sigma / alpha must rise all the way. :class:`Schedule` is what an interpolant is made of, the kind
``interpolant``.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.broadcasting import like
from thalweg.errors import ConfigError, DataError
from thalweg.interpolants.cosine import Cosine
from thalweg.interpolants.linear import Linear
from thalweg.objects import OBJECT, object_name


@runtime_checkable
class Schedule(Protocol):
    """alpha and sigma of an interpolant with their derivatives, and its clock.

    Each takes times of any shape and floating dtype and returns as many numbers, in that dtype.
    """

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


_LOOKS = 17  # times at which two paths are compared
_OWN: dict[str, type[Schedule]] = {"linear": Linear, "cosine": Cosine}


class Interpolant:
    """x_t and the conversions between velocity, noise, clean data and score.

    Times are one per sample; they are cast to x's dtype and device and broadcast over its other axes.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    @classmethod
    def named(cls, name: str) -> "Interpolant":
        """One of the two paths that core itself brings, without the registry: ``linear`` or ``cosine``.

        :func:`thalweg.composition.interpolant_of` knows all that are registered.

        Raises:
            ConfigError: core brings no such path.
        """
        if not isinstance(name, str) or name not in _OWN:
            raise ConfigError(f"there is no interpolant {name!r} here; take 'linear' or 'cosine'")
        return cls(_OWN[name]())

    @property
    def name(self) -> str | None:
        """Its name if it is a path that core itself brings; None for one of a plugin."""
        return next((name for name, cls in _OWN.items() if type(self.schedule) is cls), None)

    @property
    def stated(self) -> str | dict[str, str]:
        """As a composition states it where nothing else is known of it: by its name, or as made in Python."""
        return self.name or {OBJECT: object_name(self.schedule)}

    def __str__(self) -> str:
        """What messages call it."""
        return self.name or object_name(self.schedule)

    @torch.no_grad()
    def agrees(self, other: "Interpolant") -> bool:
        """Whether another path leads through the same points at the same times, whatever it is called."""
        t = torch.linspace(0, 1, _LOOKS, dtype=torch.float64)
        pairs = (
            (self.schedule.alpha(t), other.schedule.alpha(t)),
            (self.schedule.sigma(t), other.schedule.sigma(t)),
        )
        return all(
            bool(torch.allclose(ours, theirs.to(ours), atol=1e-6, equal_nan=True)) for ours, theirs in pairs
        )

    def time_of_ratio(self, s: Tensor) -> Tensor:
        """The time at which noise stands to data as s: sigma(t) / alpha(t) = s."""
        return self.schedule.time_of_ratio(s)

    def x_t(
        self, clean: Float[Tensor, "N *shape"], noise: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """alpha x_0 + sigma x_1."""
        time = _like(t, clean, noise)
        return self.schedule.alpha(time) * clean + self.schedule.sigma(time) * noise

    def velocity(
        self, clean: Float[Tensor, "N *shape"], noise: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """alpha' x_0 + sigma' x_1; noise - clean on the linear path."""
        time = _like(t, clean, noise)
        return self.schedule.d_alpha(time) * clean + self.schedule.d_sigma(time) * noise

    def clean(
        self, x: Float[Tensor, "N *shape"], velocity: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """E[x_0 | x_t] from the velocity: (sigma' x - sigma v) / determinant."""
        time = _like(t, x, velocity)
        numerator = self.schedule.d_sigma(time) * x - self.schedule.sigma(time) * velocity
        return numerator / self._determinant(time)

    def noise(
        self, x: Float[Tensor, "N *shape"], velocity: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """E[x_1 | x_t] from the velocity: (alpha v - alpha' x) / determinant."""
        time = _like(t, x, velocity)
        numerator = self.schedule.alpha(time) * velocity - self.schedule.d_alpha(time) * x
        return numerator / self._determinant(time)

    def score(
        self, x: Float[Tensor, "N *shape"], velocity: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """grad log p_t(x) = -E[x_1 | x_t] / sigma; t > 0."""
        return -self.noise(x, velocity, t) / self.schedule.sigma(_like(t, x))

    def velocity_of_score(
        self, x: Float[Tensor, "N *shape"], score: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """The velocity whose score this is; t < 1, where alpha does not vanish."""
        return self.velocity_of_noise(x, -self.schedule.sigma(_like(t, x)) * score, t)

    def velocity_of_noise(
        self, x: Float[Tensor, "N *shape"], noise: Float[Tensor, "N *shape"], t: Float[Tensor, " N"]
    ) -> Float[Tensor, "N *shape"]:
        """The velocity of a noise prediction; t < 1."""
        time = _like(t, x, noise)
        return (noise * self._determinant(time) + self.schedule.d_alpha(time) * x) / self.schedule.alpha(time)

    def velocity_of_clean(
        self,
        x: Float[Tensor, "N *shape"],
        clean: Float[Tensor, "N *shape"],
        t: Float[Tensor, " N"],
        at: Float[Tensor, " N"] | None = None,
        least: float = 0.0,
    ) -> Float[Tensor, "N *shape"]:
        """The velocity of a clean-data prediction; t > 0 unless ``least`` is.

        alpha'(s) x_0 + sigma'(s) x_1 with x_1 = (x - alpha x_0) / sigma. On the linear path that is
        (x - x_0) / t at all times s.

        Args:
            x: on the path at time t.
            clean: x_0.
            t: the time of x.
            at: s, the time of the velocity, on the path through the same data and noise; t by default.
            least: that sigma(t) is taken for where it is smaller.
        """
        time = _like(t, x, clean)
        there = time if at is None else _like(at, x)
        path = self.schedule
        d_alpha, d_sigma, sigma = path.d_alpha(there), path.d_sigma(there), path.sigma(time)
        determinant = path.alpha(time) * d_sigma - d_alpha * sigma
        return (d_sigma * x - clean * determinant) / sigma.clamp(min=least)

    def _determinant(self, time: Tensor) -> Tensor:
        path = self.schedule
        return path.alpha(time) * path.d_sigma(time) - path.d_alpha(time) * path.sigma(time)


def _like(
    t: Float[Tensor, "..."], x: Float[Tensor, "N *shape"], other: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "N *ones"]:
    """Times that multiply x; what would broadcast silently is refused."""
    if t.dim() != 1 or len(t) != len(x):
        raise DataError(
            f"the times have the shape {tuple(t.shape)} for samples of {tuple(x.shape)}; give one a sample"
        )
    if other is not None and other.shape != x.shape:
        raise DataError(
            f"samples of {tuple(x.shape)} meet {tuple(other.shape)}; give both the same shape (N, ...)"
        )
    return like(t, x)
