"""What is measured, in the order in which it is, and the targets (no torch here)."""

import importlib
from collections.abc import Callable
from typing import Any, Literal

import attrs

NETWORKS = {"SiT-XL/2": "sit-xl-2", "DeepFlow-XL/2-3T": "deepflow-xl-2-3t"}
"""Those whose training step is measured, and their recipes under recipes/imagenet-256."""

PRECISIONS = ("32-true", "bf16-mixed")


@attrs.frozen
class Target:
    """A figure that is to be reached.

    Attributes:
        key: by which the piece reports its figure.
        what: is measured.
        relation: of the figure to ``limit``.
        limit: the target.
    """

    key: str
    what: str
    relation: Literal["at least", "at most"]
    limit: float

    def met(self, figure: float) -> bool:
        """Whether a figure reaches it; one that is no number reaches none."""
        return figure >= self.limit if self.relation == "at least" else figure <= self.limit


@attrs.frozen
class Piece:
    """One measurement, a module of this folder with a function ``run``.

    Attributes:
        name: of the module too.
        what: it measures.
        seconds: after which it is ended.
        targets: whose figures it reports.
    """

    name: str
    what: str
    seconds: float
    targets: tuple[Target, ...] = ()

    def load(self) -> Callable[[Any], None]:
        """The function that measures, given a :class:`benchmarks.gpu.bench.Bench`."""
        found: Callable[[Any], None] = importlib.import_module(f"benchmarks.gpu.{self.name}").run
        return found


def _each(key: str, what: str, relation: Literal["at least", "at most"], limit: float) -> list[Target]:
    return [Target(f"{key}/{name}", f"{what}, {name}", relation, limit) for name in NETWORKS]


ALL = (
    Piece(
        "golden",
        "reference outputs, losses, gradients and trajectories",
        40,
        (
            Target("outputs", "largest relative error of outputs, float32", "at most", 5e-5),
            Target("losses", "largest relative error of losses, float32", "at most", 5e-5),
            Target(
                "gradients",
                "largest relative error of gradients, float32, against the CPU's in float64",
                "at most",
                5e-5,
            ),
            Target("trajectories", "largest relative error of trajectories, float32", "at most", 5e-4),
        ),
    ),
    Piece(
        "strategies",
        "tiny runs under every strategy and precision, against a plain run in float32",
        45,
        (
            Target(
                "32-true",
                "largest relative difference of losses and gradient norms, float32",
                "at most",
                1e-5,
            ),
            Target("mixed", "the same, mixed precisions", "at most", 5e-2),
            Target(
                "refused",
                "combinations that are refused, beside fsdp with float16",
                "at most",
                0,
            ),
        ),
    ),
    Piece(
        "resume",
        "a run that is cut in half and resumed, against an uninterrupted one, deterministic algorithms",
        50,
        tuple(Target(one, f"tensor files that differ, {one}", "at most", 0) for one in PRECISIONS),
    ),
    Piece(
        "step",
        "a training step on latents 4x32x32 in bfloat16, compiled, at a batch that fills the card",
        180,
        (
            *_each("same", "relative difference of the first loss to the eager one", "at most", 1e-2),
            *_each("mfu", "model FLOPs utilisation", "at least", 0.45),
            *_each("faster", "times faster than an eager step as published code writes it", "at least", 1.3),
        ),
    ),
    Piece(
        "syncs",
        "waits of the host for the device within a training step",
        25,
        (Target("waits", "waits a step; the guard has one", "at most", 1),),
    ),
    Piece(
        "sampling",
        "images of SiT-XL/2 a second, 50 steps in bfloat16, compiled",
        80,
        (Target("internal", "time of internal guidance over unguided, Euler and Heun", "at most", 1.05),),
    ),
    Piece(
        "loader",
        "what the data pipeline reads a second",
        30,
        (Target("latents", "latents read a second over those that SiT-XL/2 is trained on", "at least", 1.0),),
    ),
    Piece(
        "training",
        "three networks in equal seconds on Fashion-MNIST, one seed",
        240,
    ),
)
PIECES = {one.name: one for one in ALL}
