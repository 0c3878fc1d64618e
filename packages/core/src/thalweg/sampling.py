"""Samples of a network or a plain function, in memory: :func:`thalweg.sample`."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import attrs
import torch
from jaxtyping import Float32
from torch import Tensor

from thalweg.arguments import AT_ONCE, INDEX, SEED, check_integers, described
from thalweg.config.run import SamplingPrecision
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.inherited import inherited_from
from thalweg.machine import compiler
from thalweg.network_field import FunctionNetwork, VelocityNetwork
from thalweg.network_inputs import check_text
from thalweg.network_sampler import Compile, GuidanceChoice, NetworkSampler
from thalweg.protocols import Sampler
from thalweg.types import Condition, Text

__all__ = ["Samples", "SamplingPrecision", "sample"]


@attrs.frozen(eq=False)
class Samples:
    """Samples and their cost.

    Attributes:
        x: the samples in the order of their indices, float32 on the CPU.
        total_nfe: NFE of all samples: both halves of classifier-free guidance count, a second
            network does, and a pass through half of the blocks is a half.
        seconds: wall-clock time.
        precision: that the network was evaluated in.
    """

    x: Float32[Tensor, "N *shape"]
    total_nfe: float
    seconds: float
    precision: str

    @property
    def nfe(self) -> float:
        """Network evaluations (NFE) per sample, on average."""
        return self.total_nfe / len(self.x)


def sample(
    network: VelocityNetwork | Callable[[Tensor, Tensor], Tensor],
    *,
    indices: Sequence[int],
    labels: Sequence[int] | None = None,
    sampler: str | Mapping[str, Any] | Sampler | Any | None = None,
    guidance: GuidanceChoice = None,
    text: Text | None = None,
    shape: Sequence[int] | None = None,
    seed: int | None = None,
    batch_size: int = 64,
    interpolant: Any = None,
    device: torch.device | str | None = None,
    precision: SamplingPrecision = "auto",
    compile: Compile = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Samples:
    """Generate samples of a network.

    Sample ``indices[i]`` of a seed starts from the same noise and takes the same increments whatever
    else is generated with it.

    Args:
        network: what is sampled from; put into evaluation mode while it is. Or a plain function ``f(x, t)``
            of samples (N, *shape) and times (N,), both in float32 on the device, giving their velocities.
        indices: which samples of this seed, each from 0.
        labels: the class of each sample; None for samples without a condition.
        sampler: a registered name, a mapping with ``type``, a config, or a sampler; by default the one
            of the network's run, ``network.sampling``, and ``euler_maruyama`` without a run.
        guidance: the same for guidance, or a list of such from the network outwards; ``"none"`` is none, also
            where the run has one.
        text: the encoded caption of each sample, for networks that read captions.
        shape: of a sample; for a plain function alone; a network states it.
        seed: the seed of all noise; by default the run's, and 0 without a run.
        batch_size: samples that are stepped together.
        interpolant: the path that the network was trained on: a name, a mapping with ``type``, a config or a
            path; by default the network's, and linear if it states none.
        device: where the network runs, and is moved if it is elsewhere; where it is by default.
        precision: ``bf16-mixed`` evaluates the network under bfloat16 autocast, ``auto`` does where the
            processor has it; the state of the sampler stays float64.
        compile: whether the network is compiled first, in place; ``auto`` where that pays for so many
            samples and a C++ compiler is there.
        progress: called with (done, total) after each batch.

    Raises:
        ConfigError: labels, indices, text or another argument do not fit each other or the network, or
            there is no such sampler, guidance or device.
        DataError: captions are of another shape than the network reads.
        PluginError: the sampler or guidance cannot be imported.
        ThalwegError: samples are not finite, or an adaptive sampler did not arrive.
    """
    network = _network(network, shape)
    inherited = inherited_from(network).settings
    sampler = inherited.get("sampler", "euler_maruyama") if sampler is None else sampler
    guidance = inherited.get("guidance") if guidance is None else guidance
    seed = inherited.get("seed", 0) if seed is None else seed
    indices = check_integers("indices", indices, "range(5)")
    labels = None if labels is None else check_integers("labels", labels, "[3, 7], one a sample")
    seed, batch_size = SEED.check("seed", seed), AT_ONCE.check("batch_size", batch_size)
    _check_samples(network.facts, labels, indices)
    _check_text(network.facts, text, indices)
    _check_choices(precision, compile)
    if progress is not None and not callable(progress):
        raise ConfigError(f"progress is {described(progress)}; give a function of (done, total), or None")
    generate = NetworkSampler(
        network,
        count=len(indices),
        sampler=sampler,
        guidance=guidance,
        seed=seed,
        interpolant=interpolant,
        device=device,
        precision=precision,
        compile=compile,
    )
    found: list[Tensor] = []
    begun = time.perf_counter()
    for start in range(0, len(indices), batch_size):
        chosen = slice(start, start + batch_size)
        condition = Condition(
            labels=None if labels is None else torch.tensor(labels[chosen]),
            text=None if text is None else text.each(lambda tensor, chosen=chosen: tensor[chosen]),  # type: ignore[misc]
        )
        found.append(generate(indices[chosen], condition))
        if progress is not None:
            progress(start + len(found[-1]), len(indices))
    return Samples(
        torch.cat(found), float(generate.total_nfe), time.perf_counter() - begun, generate.precision
    )


def _network(given: Any, shape: Sequence[int] | None) -> VelocityNetwork:
    if isinstance(given, VelocityNetwork):
        if shape is not None:
            raise ConfigError(f"the network knows its shape, {given.facts.shape}; leave out shape")
        return given
    if not callable(given) or isinstance(given, type):
        raise ConfigError(
            f"network is {described(given)}; give a network, as thalweg.compose or thalweg.load return it, "
            "or a function of (x, t)"
        )
    if shape is None:
        raise ConfigError(
            "a plain function does not state the shape of samples; give one, such as shape=(2,)"
        )
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise ConfigError(f"shape is {described(shape)}; give the sizes of one sample, such as shape=(2,)")
    return FunctionNetwork(given, Facts(shape=tuple(shape)))


def _check_samples(facts: Facts, labels: Sequence[int] | None, indices: Sequence[int]) -> None:
    if len(indices) == 0:
        raise ConfigError("indices is empty: there is nothing to sample; give at least one index")
    for position, index in enumerate(indices):
        INDEX.check(f"indices[{position}]", index)
    if labels is None:
        if facts.classes is not None and not facts.condition_dropout:
            raise ConfigError(
                "the network was trained with every label shown, so it knows no velocity without one; give "
                "the samples labels"
            )
        return
    if facts.classes is None:
        raise ConfigError("labels were given, but the network is unconditional; leave them out")
    if len(labels) != len(indices):
        raise ConfigError(f"{len(labels)} labels for {len(indices)} indices; give one label per sample")
    for position, label in enumerate(labels):
        if not 0 <= label < facts.classes:
            raise ConfigError(
                f"labels[{position}] is {label}; the network knows the classes 0 to {facts.classes - 1}"
            )


def _check_text(facts: Facts, text: Text | None, indices: Sequence[int]) -> None:
    if text is None:
        return
    if facts.text is None:
        raise ConfigError("captions were given, but the network reads none; leave them out")
    if isinstance(text, Text) and len(text.tokens) != len(indices):
        raise ConfigError(f"{len(text.tokens)} captions for {len(indices)} indices; give one per sample")
    check_text("text", text, facts, len(indices))


def _check_choices(precision: str, compile: str) -> None:
    if precision not in get_args(SamplingPrecision):
        raise ConfigError(f"precision is {precision!r}; it must be 'auto', '32-true' or 'bf16-mixed'")
    if compile not in get_args(Compile):
        raise ConfigError(f"compile is {compile!r}; it must be 'auto', 'on' or 'off'")
    if compile == "on" and compiler() is None:
        raise ConfigError("compile is 'on' and there is no C++ compiler here; install g++ or use 'off'")
