"""The configuration of a complete run."""

from typing import Any, Literal

import attrs
from attrs.validators import and_, ge, gt, le, optional

from thalweg.config.names import check_name
from thalweg.config.slots import component_field, component_list, component_table
from thalweg.errors import ConfigError
from thalweg.facts import MOST_BRANCHES
from thalweg.integers import AT_ONCE, SAMPLES, SEED, STEPS, STEPS_OR_NEVER

_POSITIVE_OR_NONE: Any = optional(gt(0.0))
_SHARE = and_(ge(0.0), le(1.0))


@attrs.frozen
class TrainingConfig:
    """How long and with what a network is trained.

    Attributes:
        steps: optimiser steps.
        batch_size: samples of an optimiser step, over all accumulated parts and processes.
        condition_dropout: share of the samples whose labels and captions are hidden in training, so that
            guidance has an unconditional half.
        accumulate: parts that a batch is cut into, to fit memory.
        optimizer: what moves the weights.
        schedule: the learning rate over the run, as a factor of the optimiser's.
        average: the averages of the weights, which samples are drawn with.
        clip: largest norm of the gradient; none for no clipping.
        precision: of the computation; ``auto`` is bf16-mixed where the processor has it.
        compile: whether torch.compile is used; ``auto`` where it pays and a compiler is there.
        log_every: steps between lines of numbers.
        validate_every: steps between validations; 0 for never.
        validation_batches: batches of one validation.
        sample_every: steps between grids of samples; 0 for never.
        checkpoint_every: steps between checkpoints; 0 for the last step only.
        keep: checkpoints kept, the newest.
        keep_every: steps between checkpoints that are kept beside them for good; 0 for none.
        async_checkpoints: write checkpoints in the background while training goes on.
        nonfinite: what a loss or gradient that is not finite does: ``stop`` ends the run, ``skip`` leaves
            the step out. Neither ever reaches weights, averages or checkpoints.
        max_skips: steps that ``skip`` leaves out over the whole run before it stops after all.
        prefetch: batches that each process reads ahead while it computes; 0 reads when one is due.
        workers: threads that read them.
    """

    steps: int = attrs.field(validator=STEPS)
    batch_size: int = attrs.field(validator=AT_ONCE)
    condition_dropout: float = attrs.field(default=0.1, validator=_SHARE)
    accumulate: int = attrs.field(default=1, validator=AT_ONCE)
    optimizer: Any = component_field("optimizer", "adamw")
    schedule: Any = component_field("schedule", "constant")
    average: Any = component_field("average", "ema")
    clip: float | None = attrs.field(default=1.0, validator=_POSITIVE_OR_NONE)
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


@attrs.frozen
class SamplingConfig:
    """How samples are drawn.

    Attributes:
        sampler: what carries noise to data.
        guidance: what guides the network: none, one, or a list from the network outwards.
        count: samples of a grid.
        batch_size: samples drawn at a time; they do not depend on it.
        seed: of the samples' noise.
    """

    sampler: Any = component_field("sampler", "euler_maruyama")
    guidance: Any = component_list("guidance")
    count: int = attrs.field(default=64, validator=SAMPLES)
    batch_size: int = attrs.field(default=64, validator=AT_ONCE)
    seed: int = attrs.field(default=0, validator=SEED)


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
        seed: of everything that is drawn in training.
        branches: k equal branches that the backbone is cut into, or the depths at which they end.
        intermediate_readouts: whether the branches before the last share one read-out, as in the paper, or
            have each its own.
        data: the data set.
        backbone: the transformer.
        refiner: what stands between the branches; none for one branch.
        interpolant: the path between data and noise.
        plan: the planner: which noise a sample gets, and at which times the network is asked.
        objectives: the terms of the loss by name.
        training: optimiser, length and intervals.
        sampling: how samples are drawn.
        loggers: what follows the numbers beside metrics.jsonl, by name.
    """

    name: str = attrs.field(default="run", validator=check_name)
    seed: int = attrs.field(default=0, validator=SEED)
    branches: int | tuple[int, ...] = attrs.field(default=1, converter=_as_branches)
    intermediate_readouts: Literal["shared", "own"] = "shared"
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
