"""A pipeline of diffusers that samples from a network of ours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from thalweg.composition import interpolant_of
from thalweg.config import component, listed
from thalweg.data.pixels import to_images
from thalweg.errors import ConfigError
from thalweg.generation.captions import Prompts
from thalweg.guidance import ConditionedField, composed
from thalweg.inherited import inherited_from
from thalweg.network import FlowNetwork
from thalweg.network_field import NetworkField, evaluating
from thalweg.network_inputs import check_condition
from thalweg.plugins import build_component
from thalweg.protocols import Sampler
from thalweg.randomness import SampleNoise
from thalweg.types import Condition, Text
from thalweg_backbones.in_diffusers.model import NetworkModel

_STEPS = 50
_OUTPUTS = ("pil", "np", "pt", "latent")


class ThalwegPipeline(DiffusionPipeline):  # type: ignore[misc]  # some of diffusers bears no types
    """Samples of a network of ours, stepped by a scheduler of diffusers or by a sampler of ours.

    Set ``text_encoder`` for prompts and ``autoencoder`` for images of latents, each built by
    ``thalweg.build``.

    Args:
        network: a network of ours.
        scheduler: steps along the flow; its times over its ``num_train_timesteps`` are ours.

    Attributes:
        text_encoder: encodes prompts; None refuses them.
        autoencoder: decodes latents; None takes data of one or three channels for pixels.
    """

    text_encoder: Any = None
    autoencoder: Any = None

    def __init__(self, network: NetworkModel, scheduler: FlowMatchEulerDiscreteScheduler) -> None:
        super().__init__()
        self.register_modules(network=network, scheduler=scheduler)

    def noise_of(self, seed: int, indices: Sequence[int]) -> Tensor:
        """The noise that :func:`thalweg.sample` starts from, for ``latents``.

        Args:
            seed: of all noise.
            indices: which samples of this seed.
        """
        return SampleNoise(seed, indices, self._flow.facts.shape).initial()

    @torch.no_grad()
    def __call__(
        self,
        class_labels: int | Sequence[int] | None = None,
        prompt: str | Sequence[str] | None = None,
        captions: Text | None = None,
        num_inference_steps: int = _STEPS,
        guidance_scale: float | None = None,
        guidance: Any = None,
        sampler: Any = None,
        num_images: int | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Generate samples.

        Args:
            class_labels: the class of each sample.
            prompt: the caption of each sample, encoded by ``text_encoder``.
            captions: encoded captions, in place of a prompt.
            num_inference_steps: of the scheduler; one evaluation each.
            guidance_scale: of classifier-free guidance; 1 is none.
            guidance: in its place, guidance of ours as :func:`thalweg.sample` takes it; by default that of
                the network's run, and ``"none"`` is none.
            sampler: in place of the scheduler, a sampler of ours by name or table, with steps of its own.
            num_images: how many samples, where nothing else says so.
            generator: draws the noise.
            latents: the noise itself, (N, *shape) of N(0, I).
            output_type: ``pil``, ``np`` in [0, 1], ``pt`` in [0, 1], or ``latent``, what the network gives.
            return_dict: whether to return an ``ImagePipelineOutput`` or a tuple.

        Raises:
            ConfigError: arguments do not go together, or something is needed that was not set.
            DataError: labels or captions do not fit the network.
        """
        if output_type not in _OUTPUTS:
            raise ConfigError(f"output_type is {output_type!r}; it must be one of {', '.join(_OUTPUTS)}")
        flow, device = self._flow, self._execution_device
        labels = None if class_labels is None else torch.as_tensor(class_labels, device=device).reshape(-1)
        text = self._captions(prompt, captions)
        count = _count(labels, text, latents, num_images)
        condition = Condition(labels, text=None if text is None else text.to(device))
        noise = self._noise(latents, count, generator, device)
        check_condition(condition, flow.facts, noise)
        field = self._field(condition, guidance_scale, guidance)
        with evaluating([flow]):
            if sampler is None:
                x = self._scheduled(field, noise, num_inference_steps)
            else:
                x = self._sampled(field, noise, sampler, generator)
        images = x if output_type == "latent" else self._images(x, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    @property
    def _flow(self) -> FlowNetwork:
        found: FlowNetwork = self.network.network
        return found

    def _field(self, condition: Condition, scale: float | None, guidance: Any) -> ConditionedField:
        if scale is not None and guidance is not None:
            raise ConfigError("guidance_scale and guidance were both given; leave one out")
        if scale is not None:
            guidance = "none" if scale == 1 else {"type": "cfg", "scale": scale}
        if guidance is None:
            guidance = inherited_from(self._flow).settings.get("guidance")
        facts = self._flow.facts
        built = [build_component(component("guidance", one), facts) for one in listed(guidance)]
        return ConditionedField(
            composed(NetworkField(self._flow, self._execution_device, mixed=False), built), condition
        )

    def _noise(self, latents: Tensor | None, count: int, generator: Any, device: torch.device) -> Tensor:
        shape = (count, *self._flow.facts.shape)
        if latents is None:
            found: Tensor = randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)
            return found
        if tuple(latents.shape) != shape:
            raise ConfigError(f"latents have the shape {tuple(latents.shape)}; {shape} is needed")
        return latents.to(device, torch.float32)

    def _scheduled(self, field: ConditionedField, x: Tensor, steps: int) -> Tensor:
        """Along the scheduler's times; from t = 1 in equal steps where it takes times."""
        try:
            self.scheduler.set_timesteps(sigmas=np.linspace(1, 0, steps + 1)[:-1].tolist(), device=x.device)
        except TypeError:  # a scheduler that chooses them itself
            self.scheduler.set_timesteps(steps, device=x.device)
        whole = self.scheduler.config.num_train_timesteps
        for step in self.progress_bar(self.scheduler.timesteps):
            t = (step.double().cpu() / whole).expand(len(x))
            x = self.scheduler.step(field(x, t), step, x, return_dict=False)[0]
        return x

    def _sampled(self, field: ConditionedField, x: Tensor, sampler: Any, generator: Any) -> Tensor:
        def increments(_: int) -> Tensor:
            found: Tensor = randn_tensor(x.shape, generator=generator, device=x.device, dtype=torch.float32)
            return found

        facts = self._flow.facts
        built: Sampler = build_component(component("sampler", sampler), facts)
        return built(field, x, increments, interpolant_of(self._flow.interpolant, facts)).float()

    def _captions(self, prompt: str | Sequence[str] | None, captions: Text | None) -> Text | None:
        if prompt is None:
            return captions
        if captions is not None:
            raise ConfigError("a prompt and encoded captions were both given; leave one out")
        if self.text_encoder is None:
            raise ConfigError(
                "a prompt needs the encoder that captions were encoded by in training; set pipe.text_encoder "
                "= thalweg.build('text_encoder', ...), or give captions"
            )
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        return Prompts(prompts, self.text_encoder, "prompt").read(range(len(prompts)))

    def _images(self, x: Tensor, output_type: str) -> Any:
        if self.autoencoder is not None:
            pixels = self.autoencoder.decode(x)
        elif x.dim() == 4 and x.shape[1] in (1, 3):
            pixels = to_images(x)
        else:
            raise ConfigError(
                f"samples of shape {tuple(x.shape[1:])} are no images; set pipe.autoencoder = "
                "thalweg.build('autoencoder', ...), or take output_type='latent'"
            )
        if output_type == "pt":
            return pixels.float() / 255
        array = pixels.permute(0, 2, 3, 1).cpu().numpy()
        if output_type == "np":
            return array.astype(np.float32) / 255
        from PIL import Image

        return [Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in array]


def _count(labels: Tensor | None, text: Text | None, latents: Tensor | None, stated: int | None) -> int:
    """How many samples there are, by all that says so.

    Raises:
        ConfigError: two of them say otherwise.
    """
    given = {
        "class_labels": None if labels is None else len(labels),
        "captions": None if text is None else len(text.tokens),
        "latents": None if latents is None else len(latents),
        "num_images": stated,
    }
    counts = {name: one for name, one in given.items() if one is not None}
    if len(set(counts.values())) > 1:
        words = " and ".join(f"{one} by {name}" for name, one in counts.items())
        raise ConfigError(f"the number of samples is {words}; give one of each for every sample")
    return next(iter(counts.values()), 1)
