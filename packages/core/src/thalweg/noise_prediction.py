"""From a network that predicts the noise of a discrete diffusion to the velocity of a path.

A DDPM (Ho et al. 2020) is trained at K steps: z_k = a_k x_0 + b_k e with a_k^2 = prod_{j <= k} (1 - beta_j),
b_k^2 = 1 - a_k^2 and e ~ N(0, I), and predicts E[e | z_k]. A path x_t = alpha x_0 + sigma x_1 of ours meets
the same marginals up to scale: with n = sqrt(alpha^2 + sigma^2), x_t / n is z_k at the step k whose ratio
b_k / a_k is sigma / alpha. So E[x_1 | x_t] = E[e | z_k = x_t / n], E[x_0 | x_t] follows as
(x_t - sigma E[x_1 | x_t]) / alpha, and the velocity is v = alpha' E[x_0 | x_t] + sigma' E[x_1 | x_t]. Nothing
in this is approximate at the times that meet a step. Between two of them k is no integer, interpolated in
log(b / a), and the network is asked at steps that it was not trained on.

Before the first step the network is asked at the first. Behind the last, where a DDPM's signal has not quite
vanished, its prediction is read as clean data, which stay finite where alpha = 0: x_0 = (x_t / n - b_K e) /
a_K, and x_1 = (x_t - alpha x_0) / sigma.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.broadcasting import like
from thalweg.interpolant import Interpolant

BetaSchedule = Literal["linear", "scaled_linear"]
"""How betas rise: evenly, or with evenly rising square roots, as Stable Diffusion's do."""


class NoiseLevel(NamedTuple):
    """Where samples are on the discrete diffusion.

    Attributes:
        x: the samples scaled to unit variance, what the network is to be asked at.
        step: k, a real number from 0 to K - 1.
    """

    x: Float[Tensor, "N *shape"]
    step: Float[Tensor, " N"]


class NoisePrediction(nn.Module):
    """The discrete schedule of a network whose last read-out predicts noise.

    Args:
        first: beta of the first step.
        last: beta of the last one.
        steps: K.
        schedule: how they rise in between.
    """

    log_ratios: Tensor

    def __init__(self, first: float, last: float, steps: int, schedule: BetaSchedule = "linear") -> None:
        super().__init__()
        power = 1.0 if schedule == "linear" else 2.0
        # On the CPU, whatever the network is built on: of the device meta no numbers come back.
        ends = (first ** (1 / power), last ** (1 / power))
        roots = torch.linspace(*ends, steps, dtype=torch.float64, device="cpu")
        signal = (1 - roots**power).log().cumsum(0)  # log a_k^2
        ratios = 0.5 * (torch.log(-torch.expm1(signal)) - signal)
        home = torch.empty(0).device
        self.register_buffer("log_ratios", ratios.float().to(home), persistent=False)
        self.signal, self.noise = float((signal[-1] / 2).exp()), float((-torch.expm1(signal[-1])).sqrt())

    def level(self, x: Float[Tensor, "N *shape"], t: Float[Tensor, " N"], path: Interpolant) -> NoiseLevel:
        """What the network is to be asked at for samples of a path."""
        alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
        scale = (alpha**2 + sigma**2).sqrt()
        return NoiseLevel(x / like(scale, x), self._step(alpha, sigma))

    def velocity(
        self,
        prediction: Float[Tensor, "N *shape"],
        x: Float[Tensor, "N *shape"],
        t: Float[Tensor, " N"],
        path: Interpolant,
    ) -> Float[Tensor, "N *shape"]:
        """The velocity at x and t, of what the network predicts at their level.

        Args:
            prediction: E[e | z_k].
            x: samples of the path.
            t: their times.
            path: the path.
        """
        time, noise = like(t, x), prediction.to(x.dtype)
        alpha, sigma = path.schedule.alpha(time), path.schedule.sigma(time)
        scale = (alpha**2 + sigma**2).sqrt()
        # Written so that nothing is divided by zero on either side, which would spoil gradients.
        beyond = alpha <= self.signal * scale
        a, b = torch.where(beyond, self.signal, alpha / scale), torch.where(beyond, self.noise, sigma / scale)
        clean = (x / scale - b * noise) / a
        noise = torch.where(beyond, (x - alpha * clean) / torch.where(beyond, sigma, 1.0), noise)
        return path.schedule.d_alpha(time) * clean + path.schedule.d_sigma(time) * noise

    def time_of(self, step: Float[Tensor, " N"], path: Interpolant) -> Float[Tensor, " N"]:
        """The time of a path that meets a step."""
        table = self.log_ratios.to(step)
        before = step.floor().long().clamp(0, len(table) - 2)
        part = step - before
        return path.time_of_ratio(((1 - part) * table[before] + part * table[before + 1]).exp())

    def _step(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        table = self.log_ratios.to(alpha)
        smallest = torch.finfo(table.dtype).tiny
        ratio = sigma.clamp_min(smallest).log() - alpha.clamp_min(smallest).log()
        ratio = ratio.clamp(table[0], table[-1]).contiguous()
        before = (torch.searchsorted(table, ratio, right=True) - 1).clamp(0, len(table) - 2)
        return before + (ratio - table[before]) / (table[before + 1] - table[before])
