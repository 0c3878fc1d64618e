"""Numbers that rules are checked with: draws, weights that are nowhere zero, captions, comparisons."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.facts import Facts, StoredFeatures
from thalweg.types import Prediction, Text
from thalweg_authoring.rules import require

FACTS = Facts(
    shape=(4, 8, 8),
    classes=10,
    text=(5, 12),
    branches=2,
    ends=(2, 4),
    depth=4,
    width=32,
    heads=4,
    grid=(4, 4),
    readouts=("acceleration",),
    features={"teacher": StoredFeatures((4, 4), 6, {})},
    flow_map=True,
)
"""A small world, unless a subject states another."""


def draws(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """N(0, 1) draws of a shape, the same for a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def images(*shape: int, seed: int = 0) -> Tensor:
    """Bytes 0..255 of a shape, the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def outputs(prediction: Prediction) -> tuple[Tensor, ...]:
    """All that a network predicts."""
    read = (one for found in prediction.readouts.values() for one in found)
    return (*prediction.velocities, *read)


def weighted(found: Iterable[Tensor]) -> Tensor:
    """A scalar on which every element of these tensors has an effect of its own."""
    return torch.stack([(out * draws(*out.shape, seed=i)).sum() for i, out in enumerate(found)]).sum()


def randomised(module: nn.Module, std: float = 0.1) -> Any:
    """The module with no layer at zero, so that everything has an effect."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return module


def captions(count: int, seed: int = 0, text: tuple[int, int] | None = (5, 12)) -> Text | None:
    """Captions of 1 to L tokens; the empty one is of a single token."""
    if text is None:
        return None
    length, width = text
    tokens = draws(count + 1, length, width, seed=seed)
    mask = torch.arange(length) < 1 + torch.arange(count).unsqueeze(1) % length
    return Text(tokens[:-1], mask, tokens[-1], torch.arange(length) < 1)


def weights(module: nn.Module) -> dict[str, Tensor]:
    """Copies of all its parameters by name."""
    return {name: one.detach().clone() for name, one in module.named_parameters()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether all tensors agree to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def require_unit(times: Tensor) -> None:
    """Times lie in [0, 1].

    Raises:
        BrokenRuleError: one does not.
    """
    low, high = float(times.min()), float(times.max())
    require(low >= 0 and high <= 1, f"times reach from {low:.3g} to {high:.3g}; keep them in [0, 1]")


def require_generator_decides(drawn: Callable[[int], tuple[Tensor, ...]]) -> None:
    """What is drawn with a generator of a seed depends on that generator alone.

    Raises:
        BrokenRuleError: it depends on something else, or changes torch's own generator.
    """
    state = torch.get_rng_state()
    first, again, other = map(drawn, (0, 0, 1))
    alone = all(map(torch.equal, first, again)) and not torch.equal(first[0], other[0])
    require(
        alone and torch.equal(torch.get_rng_state(), state),
        "the generator that is handed in does not decide alone; pass generator=generator to every draw",
    )


def require_near(
    found: Tensor, expected: Tensor, message: str, rtol: float = 1.3e-6, atol: float = 1e-5
) -> None:
    """Both the same to rounding.

    Raises:
        BrokenRuleError: they differ; the message gets the largest difference.
    """
    found, expected = found.detach(), expected.detach()
    require(
        found.shape == expected.shape, f"{message} (shape {tuple(found.shape)}, not {tuple(expected.shape)})"
    )
    same = torch.allclose(found.double(), expected.double(), rtol=rtol, atol=atol)
    if not same:
        gap = float((found.double() - expected.double()).abs().max())
        require(same, f"{message} (they differ by up to {gap:.3g})")


def require_shape(what: str, found: Tensor, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> None:
    """A tensor of a shape, and of a dtype if one is stated.

    Raises:
        BrokenRuleError: it is another, or no tensor.
    """
    require(isinstance(found, Tensor), f"{what} is a {type(found).__name__}; return a tensor {shape}")
    require(
        tuple(found.shape) == tuple(shape),
        f"{what} has the shape {tuple(found.shape)}; return {tuple(shape)}",
    )
    if dtype is not None:
        require(found.dtype == dtype, f"{what} is {found.dtype}; return {dtype}")
