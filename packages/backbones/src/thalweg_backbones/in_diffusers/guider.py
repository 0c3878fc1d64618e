"""Internal guidance as a guider of diffusers: a fitted head of one of its own transformers, in one pass.

A guider of diffusers may change a model around each call (``prepare_models``, ``cleanup_models``) and
combines what the calls predicted (``forward``). That is enough: a hook on the block after which the head
stands keeps its tokens and the vector that modulates it, the head reads them, and the prediction is led away
from what it reads. The model is called once for each half of classifier-free guidance, and never for the
head.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.guiders.guider_utils import BaseGuidance, GuiderOutput
from torch import Tensor, nn

import thalweg
from thalweg.arguments import check_instance
from thalweg.calibration import TimeCurve
from thalweg.errors import ConfigError
from thalweg.network import FlowNetwork
from thalweg.types import Head

_FLOW_TIME = 1000.0
_SUPPORTED: dict[str, tuple[str, ...]] = {
    "SD3Transformer2DModel": (
        "hidden_states",
        "encoder_hidden_states",
        "pooled_projections",
        "timestep",
    ),
    "DiTTransformer2DModel": ("hidden_states", "timestep"),
}
"""Models of diffusers whose blocks are known, with the first arguments of each."""


class InternalGuidance(BaseGuidance):  # type: ignore[misc]  # some of diffusers bears no types
    """pred = pred_i + w(t) (pred_f - pred_i), pred_f the model's own prediction and pred_i that of the head.

    With a ``guidance_scale`` other than 1, classifier-free guidance stands around it and guides both halves,
    each led away from its own head.

    Works on diffusers' ``SD3Transformer2DModel`` and ``DiTTransformer2DModel`` and on velocities and noises
    alike: noise and velocity of one sample are an affine function of each other, with weights that depend on
    time alone, so that leading one leads the other by the same scale.

    Args:
        network: the saved network whose head it is: the model, imported by ``thalweg import``, with a head
            that ``thalweg fit-head`` fitted; a folder, a run or a URL.
        after: number of blocks after which the head stands; None for the only one.
        scale: w; a number, points (t, w) of a curve that is linear between them, or ``"calibrated"``: what
            was measured on training data.
        strength: of a calibrated scale.
        guidance_scale: of classifier-free guidance around it; 1 is none.
        start: the share of steps before which nothing is guided.
        stop: the share of steps from which on nothing is guided.
        enabled: whether to guide at all.

    Raises:
        ConfigError: the network has no such head, or it was not calibrated.
    """

    _input_predictions = ["pred_cond", "pred_uncond"]  # noqa: RUF012 - diffusers wants a list

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        network: str,
        after: int | None = None,
        scale: float | str | list[list[float]] = 1.4,
        strength: float = 3.0,
        guidance_scale: float = 1.0,
        start: float = 0.0,
        stop: float = 1.0,
        enabled: bool = True,
    ) -> None:
        super().__init__(start, stop, enabled)
        found = thalweg.load(network)
        check_instance("network", found, FlowNetwork, "a saved network")
        self.guidance_scale = guidance_scale
        self._after = _depth(found, after)
        self._head: nn.Module = found.velocity_heads[str(self._after)]
        self._noise = getattr(found.backbone, "noise", None)
        self._path = found.interpolant
        self._curve = _curve(found, self._after, scale, strength)
        self._seen: list[_Seen] = []
        self._hooks: list[Any] = []

    def set_state(self, step: int, num_inference_steps: int, timestep: Tensor) -> None:
        """As of any guider; what earlier calls have left is forgotten."""
        super().set_state(step, num_inference_steps, timestep)
        self._seen = []

    def prepare_models(self, denoiser: nn.Module) -> None:
        """Look at what the model and the block after which the head stands are given.

        Raises:
            ConfigError: the model is none of those that are supported, or too shallow.
        """
        self._count_prepared += 1
        if not self._is_guided():
            return
        kind = type(denoiser).__name__
        if kind not in _SUPPORTED:
            raise ConfigError(
                f"internal guidance knows {' and '.join(_SUPPORTED)}, not {kind}; use another guider"
            )
        blocks: Any = denoiser.transformer_blocks
        if not self._after < len(blocks):
            raise ConfigError(f"the head stands after {self._after} blocks, and the {kind} has {len(blocks)}")
        seen = _Seen()
        self._seen.append(seen)
        self._hooks = [
            denoiser.register_forward_pre_hook(seen.asked, with_kwargs=True),
            blocks[self._after - 1].register_forward_hook(seen.passed, with_kwargs=True),
        ]

    def cleanup_models(self, denoiser: nn.Module) -> None:
        """Look no longer."""
        del denoiser
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def prepare_inputs(self, data: dict[str, Any]) -> list[Any]:
        """A batch for each call of the model: with the condition, and without it where that is needed."""
        return [
            self._prepare_batch(data, index, name)
            for index, name in enumerate(self._input_predictions[: self.num_conditions])
        ]

    def prepare_inputs_from_block_state(self, data: Any, input_fields: dict[str, Any]) -> list[Any]:
        """The same, of fields by name."""
        return [
            self._prepare_batch_from_block_state(input_fields, data, index, name)
            for index, name in enumerate(self._input_predictions[: self.num_conditions])
        ]

    def forward(self, pred_cond: Tensor, pred_uncond: Tensor | None = None) -> GuiderOutput:
        """The guided prediction of what the calls gave."""
        halves = [one for one in (pred_cond, pred_uncond) if one is not None]
        if self._is_guided():
            halves = [self._led(one, seen) for one, seen in zip(halves, self._seen, strict=True)]
        pred = halves[0]
        if len(halves) > 1:
            pred = halves[1] + self.guidance_scale * (halves[0] - halves[1])
        return GuiderOutput(pred=pred, pred_cond=pred_cond, pred_uncond=pred_uncond)

    @property
    def is_conditional(self) -> bool:
        """Whether the call being prepared is that with the condition."""
        return bool(self._count_prepared == 1)

    @property
    def num_conditions(self) -> int:
        """Calls of the model a step."""
        return 2 if self._is_within() and self.guidance_scale != 1 else 1

    def _is_within(self) -> bool:
        if not self._enabled:
            return False
        if self._num_inference_steps is None or self._step is None:
            return True
        first, last = (int(share * self._num_inference_steps) for share in (self._start, self._stop))
        return bool(first <= self._step < last)

    def _is_guided(self) -> bool:
        return self._is_within() and any(value != 1 for value in self._curve.values)

    def _led(self, prediction: Tensor, seen: "_Seen") -> Tensor:
        """Away from what the head says; learned variances, the last channels, stay."""
        step = (
            torch.as_tensor(seen.timestep, device=seen.tokens.device)
            .reshape(-1)
            .expand(len(seen.tokens))
            .float()
        )
        t = (
            step / _FLOW_TIME
            if self._noise is None
            else self._noise.to(step.device).time_of(step, self._path)
        )
        head = self._head.to(seen.tokens)
        weak: Tensor = head(seen.tokens, seen.c)
        if self._noise is not None:
            weak = self._as_noise(weak, seen.x, t)
        channels = weak.shape[1]
        strong, rest = prediction[:, :channels], prediction[:, channels:]
        scale = self._curve(t).to(strong)[:, None, None, None]
        return torch.cat([weak + scale * (strong - weak), rest], dim=1)

    def _as_noise(self, velocity: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """The noise of a velocity that a head reads; the model is asked at unit variance, the path is not."""
        alpha, sigma = self._path.schedule.alpha(t), self._path.schedule.sigma(t)
        scale = (alpha**2 + sigma**2).sqrt()[:, None, None, None]
        return self._path.noise(z * scale.to(z), velocity, t)


class _Seen:
    """What a call of the model has shown.

    Attributes:
        x: what it was asked at.
        timestep: when.
        tokens: behind the block.
        c: the vector that modulates its blocks.
    """

    x: Tensor
    timestep: Any
    tokens: Tensor
    c: Tensor

    def asked(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Of the whole model, before it runs."""
        names = _SUPPORTED[type(module).__name__]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        self.x, self.timestep = given["hidden_states"], given["timestep"]

    def passed(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Of the block, behind it."""
        del args
        if isinstance(output, tuple):  # the context, and the image
            self.tokens, self.c = output[1], kwargs["temb"]
            return
        embed: Callable[..., Tensor] = module.norm1.emb
        self.tokens = output
        self.c = embed(kwargs["timestep"], kwargs["class_labels"], hidden_dtype=output.dtype)


def _depth(network: FlowNetwork, after: int | None) -> int:
    """The head that is meant.

    Raises:
        ConfigError: there is no such head, or it is unknown which of several is meant.
    """
    depths = network.facts.head_depths
    known = (
        f"it has heads after {', '.join(map(str, depths))}"
        if depths
        else "it has none; thalweg fit-head fits one"
    )
    if after is None and len(depths) == 1:
        return depths[0]
    if after not in depths:
        raise ConfigError(
            f"the network has no head after {'some' if after is None else after} blocks: {known}"
        )
    return int(after)


def _curve(network: FlowNetwork, after: int, scale: Any, strength: float) -> TimeCurve:
    """w as a function of time.

    Raises:
        ConfigError: it is none, or the head was not calibrated.
    """
    if scale == "calibrated":
        if network.calibration is None:
            raise ConfigError(
                "scale is 'calibrated', and this network's heads were not measured; state a number"
            )
        found: TimeCurve = network.calibration.scale(Head(after), strength)
        return found
    points = [[0.0, scale]] if isinstance(scale, int | float) and not isinstance(scale, bool) else scale
    try:
        times, values = (tuple(map(float, one)) for one in zip(*points, strict=True))
    except (TypeError, ValueError):
        raise ConfigError(
            f"scale is {scale!r}; give a number, points [t, scale] of a curve, or 'calibrated'"
        ) from None
    if list(times) != sorted(set(times)):
        raise ConfigError(f"the times of scale are {times}; they must ascend")
    return TimeCurve(times, values)
