"""The configuration of a complete run, and what runs may be called."""

import re
from typing import Any, Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, le, optional

from thalweg.arguments import AT_ONCE, SAMPLES, SEED, STEPS, STEPS_OR_NEVER
from thalweg.config.components import component_field, component_list, component_table
from thalweg.config.routing import RoutingConfig
from thalweg.errors import ConfigError
from thalweg.facts import MOST_BRANCHES
from thalweg.storage.redaction import excerpt
from thalweg.visible import visible_line

_POSITIVE_OR_NONE: Any = optional(gt(0.0))
_SHARE = and_(ge(0.0), le(1.0))
_LONGEST_PART, _LONGEST = 200, 1000
"""Bytes; file systems take 255 a part, and something is written beside it for a while."""


def check_name(_: object, attribute: "attrs.Attribute[str]", name: str) -> None:
    """A validator: a name may have slashes, as ``SiT-XL/2`` has, and leads to a folder below ``runs/``.

    Raises:
        ConfigError: if it would lead elsewhere, or is no name that a folder can have.
    """
    problem = _problem(name) if isinstance(name, str) else "is no text"
    if problem:
        shown = repr(excerpt(name, 60)) if isinstance(name, str) else repr(name)
        raise ConfigError(f"must be a {attribute.name} that a folder can have; {shown} {problem}")


def name_of(text: str) -> str:
    """The nearest text that is such a name, for what is named after something else."""
    fit = re.sub(r"[/\\]+", "-", visible_line(text).replace("\\", "-")).strip(" ").lstrip(".")
    return fit.encode(errors="replace")[:_LONGEST_PART].decode(errors="ignore") or "run"


def _problem(name: str) -> str:
    if not name.strip():
        return "is empty"
    if visible_line(name) != name:
        return "has control characters"
    if "\\" in name:
        return "has a backslash"
    parts = name.split("/")
    if "" in parts:
        return "begins or ends with a slash, or has two in a row"
    if any(part.startswith(".") for part in parts):
        return "has a part that begins with a dot"
    if len(name.encode()) > _LONGEST or any(len(part.encode()) > _LONGEST_PART for part in parts):
        return f"is too long, {_LONGEST_PART} bytes a part are possible"
    return ""


@attrs.frozen
class TrainingConfig:
    """How long and with what a network is trained.

    Attributes:
        steps: optimiser steps.
        batch_size: samples of an optimiser step, over all micro-batches and processes.
        condition_dropout: share of the samples whose labels and captions are hidden in training, so that
            guidance has an unconditional half.
        accumulate: micro-batches that each process takes a batch in, to fit memory.
        routing: blocks that only a random subset of the tokens passes in training; none lets all pass.
        optimizer: what moves the weights.
        schedule: the learning rate over the run, as a factor of the optimiser's.
        average: the EMA weights, which samples are generated with.
        max_grad_norm: largest norm of the gradient, which is clipped to it; none for no clipping.
        precision: of the computation; ``auto`` is bf16-mixed where the processor has it.
        compile: whether torch.compile is used; ``auto`` where it pays and a compiler is there.
        log_every: steps between lines of numbers.
        validate_every: steps between validations; 0 for never.
        validation_batches: batches of one validation.
        sample_every: steps between grids of samples; 0 for never.
        checkpoint_every: steps between checkpoints; 0 for the last step only.
        keep: checkpoints kept, the newest.
        keep_every: steps between checkpoints that are kept beside them for good; 0 for none.
        async_checkpoints: write checkpoints in the background while training continues.
        nonfinite: what a loss or gradient that is not finite does: ``stop`` ends the run, ``skip`` leaves
            the step out. Neither ever reaches weights, EMA weights or checkpoints.
        max_skips: steps that ``skip`` leaves out over the whole run before it stops after all.
        prefetch: batches that each process reads ahead while it computes; 0 reads when one is due.
        workers: threads that read them.
    """

    steps: int = attrs.field(validator=STEPS)
    batch_size: int = attrs.field(validator=AT_ONCE)
    condition_dropout: float = attrs.field(default=0.1, validator=_SHARE)
    accumulate: int = attrs.field(default=1, validator=AT_ONCE)
    routing: RoutingConfig | None = None
    optimizer: Any = component_field("optimizer", "adamw")
    schedule: Any = component_field("schedule", "constant")
    average: Any = component_field("average", "ema")
    max_grad_norm: float | None = attrs.field(default=1.0, validator=_POSITIVE_OR_NONE)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    log_every: int = attrs.field(default=50, validator=STEPS)
    validate_every: int = attrs.field(default=1000, validator=STEPS_OR_NEVER)
    validation_batches: int = attrs.field(default=8, validator=AT_ONCE)
    sample_every: int = attrs.field(default=5000, validator=STEPS_OR_NEVER)
    checkpoint_every: int = attrs.field(default=5000, validator=STEPS_OR_NEVER)
    keep: int = attrs.field(default=2, validator=AT_ONCE)
    keep_every: int = attrs.field(default=0, validator=STEPS_OR_NEVER)
    async_checkpoints: bool = True
    nonfinite: Literal["stop", "skip"] = "stop"
    max_skips: int = attrs.field(default=10, validator=STEPS)
    prefetch: int = attrs.field(default=2, validator=and_(ge(0), le(4_096)))
    workers: int = attrs.field(default=1, validator=and_(ge(1), le(256)))

    @keep_every.validator
    def _is_saved(self, _: object, keep_every: int) -> None:
        if keep_every > 0 and (self.checkpoint_every == 0 or keep_every % self.checkpoint_every):
            raise ConfigError(
                f"must be a multiple of checkpoint_every, which is {self.checkpoint_every}, got {keep_every}"
            )

    @accumulate.validator
    def _divides(self, _: object, accumulate: int) -> None:
        if accumulate >= 1 and self.batch_size % accumulate:
            raise ConfigError(f"must divide the batch size {self.batch_size}, got {accumulate}")


SamplingPrecision = Literal["auto", "32-true", "bf16-mixed"]


# Without slots, so that a config can take the keys of two of these.
@attrs.frozen(slots=False)
class BaseSamplingConfig:
    """How samples are generated, whether a run, a protocol or a user states it.

    Attributes:
        sampler: what carries noise to data.
        guidance: what guides the network: none, one, or a list from the network outwards.
        seed: of the samples' noise, and of labels that are random.
    """

    sampler: Any = component_field("sampler", "euler_maruyama")
    guidance: Any = component_list("guidance")
    seed: int = attrs.field(default=0, validator=SEED)


@attrs.frozen(slots=False)
class SamplingConfig(BaseSamplingConfig):
    """The same, and how many: what a recipe states for sample grids, and what others inherit from its run.

    Attributes:
        count: samples, such as those of a grid.
        batch_size: samples at a time; they do not depend on it.
    """

    count: int = attrs.field(default=64, validator=SAMPLES)
    batch_size: int = attrs.field(default=64, validator=AT_ONCE)


def _as_branches(branches: Any) -> Any:
    return tuple(branches) if isinstance(branches, list) else branches


@attrs.frozen(kw_only=True)
class RunConfig:
    """A complete run: what a recipe holds.

    Objectives have no default: which of them a network is trained with depends on its branches and
    refiner, and is stated.

    Attributes:
        name: what the run is called, and by default its folder below ``runs/``; a recipe's file name if it
            states none.
        seed: of all random numbers of training.
        branches: k equal branches that the backbone is cut into, or the depths at which they end.
        intermediate_readouts: whether the branches before the last share one read-out, as in the paper, or
            have each its own.
        heads: numbers of blocks after which velocities are read besides, for guidance by them or to
            supervise.
        detach_heads: whether these leave the rest of the network as it would be without them; else they
            supervise it.
        prediction: what the network's read-outs give: a velocity, or the clean data from which one follows
            (x-prediction).
        data: the data set.
        backbone: the transformer.
        refiner: what stands between the branches; none for one branch.
        interpolant: the path between data and noise.
        plan: the planner: which noise a sample gets, and at which times the network is evaluated.
        objectives: the terms of the loss by name.
        training: optimiser, length and intervals.
        sampling: how samples are generated.
        loggers: what follows the numbers beside metrics.jsonl, by name.
    """

    name: str = attrs.field(default="run", validator=check_name)
    seed: int = attrs.field(default=0, validator=SEED)
    branches: int | tuple[int, ...] = attrs.field(default=1, converter=_as_branches)
    intermediate_readouts: Literal["shared", "own"] = "shared"
    heads: tuple[int, ...] = attrs.field(default=(), validator=deep_iterable(ge(1)))
    detach_heads: bool = True
    prediction: Literal["velocity", "clean"] = "velocity"
    data: Any = component_field("dataset")
    backbone: Any = component_field("backbone")
    refiner: Any = component_field("refiner", None, optional=True)
    interpolant: Any = component_field("interpolant", "linear")
    plan: Any = component_field("planner", "branch_times")
    objectives: dict[str, Any] = component_table("objective", required=True)
    training: TrainingConfig
    sampling: SamplingConfig = attrs.field(factory=SamplingConfig)
    loggers: dict[str, Any] = component_table("logger")

    @branches.validator
    def _refined(self, _: object, branches: int | tuple[int, ...]) -> None:
        count = len(branches) if isinstance(branches, tuple) else branches
        if count < 1:
            raise ConfigError(f"must be at least 1, got {count}")
        if count > MOST_BRANCHES:
            raise ConfigError(f"must be at most {MOST_BRANCHES:,}, got {count}")
        if isinstance(branches, tuple) and (branches[0] < 1 or list(branches) != sorted(set(branches))):
            raise ConfigError(f"must be depths that rise from at least 1, got {list(branches)}")
        if count > 1 and self.refiner is None:
            raise ConfigError(f"{count} branches need a refiner between them, such as refiner=plain")
        if count == 1 and self.refiner is not None:
            raise ConfigError("one branch leaves the refiner nothing to do: set branches=2 or refiner=none")
