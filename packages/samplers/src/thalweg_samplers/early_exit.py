"""Early exit: a pass ends at an intermediate head where that is near enough to the last one."""

import attrs
from torch import Tensor

from thalweg.broadcasting import sample_mean
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import early_of
from thalweg.types import ConditionalField, Head, Query
from thalweg_samplers.heads import weak_head
from thalweg_samplers.options import checked
from thalweg_samplers.scales import Scale, as_scale, check_number_or_curve, curve_of

_WHO = "early exit"


class EarlyExit:
    """v = v_j where rms(v_i - v_j) <= tolerance(t), and v_f elsewhere, decided for each sample alone.

    v_i and v_j are what two intermediate heads read, i before j, v_f is the last head; the disagreement of
    the two stands for the error of v_j. At the end of a branch with an acceleration a, one head is enough:
    v_j = v_i - t a / 2 is what it is corrected to (DeepFlow, equation 7), and the disagreement t rms(a) / 2.

    A pass pauses after j blocks and goes on with the samples whose heads disagree; NFE counts the blocks that
    each sample passes. It reads heads, which only the network itself has, so it stands innermost.

    Args:
        tolerance: in units of the velocity, per element; a number, or points (t, tolerance) of a curve.
        after: j, the number of blocks after which the pass may end; None for the second of the network's
            intermediate heads, and for the first one if that is corrected.
        before: i; None for the head before j, and for the same one, uncorrected, where it has an
            acceleration.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(self, tolerance: Scale = 0.1, after: int | None = None, before: int | None = None) -> None:
        self.config = checked(EarlyExitConfig, tolerance=tolerance, after=after, before=before)

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The field whose passes may end early.

        Raises:
            ConfigError: the field is no network's own, or the network has no such heads.
        """
        early, facts = early_of(field, _WHO), getattr(field, "facts", None)
        if facts is None:
            raise ConfigError(f"{_WHO} does not know this field's heads; sample a network")
        pair, tolerance = (
            exit_heads(self.config.after, self.config.before, facts),
            curve_of(self.config.tolerance),
        )

        def exiting(query: Query) -> Tensor:
            def disagree(velocities: tuple[Tensor, ...]) -> Tensor:
                v_i, v_j = velocities
                square_N = sample_mean((v_j - v_i).square())
                return square_N > tolerance(query.t).to(square_N).square()

            velocities, index_n, v_f = early(query, pair, disagree)
            found: Tensor = velocities[1].index_copy(0, index_n, v_f)
            return found

        return exiting


def exit_heads(after: int | None, before: int | None, facts: Facts) -> tuple[Head, Head]:
    """The two heads whose disagreement decides, that at which a pass may end second.

    Raises:
        ConfigError: the network has no such heads.
    """
    there = facts.weak_heads
    corrected = tuple(end for end in facts.ends[:-1] if "acceleration" in facts.readouts)
    if after is None:
        after = corrected[0] if corrected and before is None else there[1] if len(there) > 1 else None
    end = weak_head(_WHO, after, "plain", facts)
    if before is None and end.after in corrected:
        return end, end._replace(form="corrected")
    earlier = [depth for depth in there if depth < end.after]
    if before is None and not earlier:
        raise ConfigError(
            f"{_WHO} compares two heads, and this network has none before {end.after} blocks; train with "
            "heads = [2, 3], or add one with thalweg fit-head"
        )
    weak = weak_head(_WHO, earlier[-1] if before is None else before, "plain", facts)
    if weak.after >= end.after:
        raise ConfigError(
            f"{_WHO} compares the head after {weak.after} blocks with that after {end.after}; 'before' must "
            "be less than 'after'"
        )
    return weak, end


@attrs.frozen
class EarlyExitConfig:
    """Passes that end at an intermediate head where two of them agree, for each sample alone.

    Attributes:
        tolerance: how far the two may be apart, root mean square per element of the velocity; a number, or
            points ``[t, tolerance]`` of a curve. Nothing ends early at a negative one, which is refused, and
            at 0 only what is equal.
        after: the number of blocks after which a pass may end; none for the second of the network's
            intermediate heads, or for the first one that an acceleration corrects.
        before: the number of blocks after which the head stands that is compared with it; none for the one
            before, or for the same one, uncorrected.
    """

    tolerance: Scale = attrs.field(default=0.1, converter=as_scale, validator=check_number_or_curve)
    after: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    before: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )

    def build(self, facts: Facts) -> EarlyExit:
        """The guidance.

        Raises:
            ConfigError: the network has no such heads.
        """
        exit_heads(self.after, self.before, facts)
        return EarlyExit(**attrs.asdict(self, recurse=False))
