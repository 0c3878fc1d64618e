"""Half guidance: the weak half has no condition and stops at an intermediate head."""

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg.guidance import heads_of, within
from thalweg.types import ConditionalField, Query
from thalweg_samplers.classifier_free import check_condition, check_dropout
from thalweg_samplers.heads import weak_head
from thalweg_samplers.intervals import Interval, check_interval
from thalweg_samplers.options import checked
from thalweg_samplers.scales import Scale, as_scale, at, check_number_or_curve, curve_of, is_one, led

_WHO = "half guidance"


class Half:
    """v = v_i(none) + w(t) (v_f(condition) - v_i(none)) while low <= t <= high, v_f(condition) elsewhere.

    One pass and the share of a second one that leads to the intermediate head.

    Args:
        scale: 1 leaves the last head's velocity as it is; a number, or points (t, scale) of a curve.
        after: the number of blocks after which the weak head stands; None for the first one.
        interval: low and high, both included.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(self, scale: Scale = 1.5, after: int | None = None, interval: Interval = (0.0, 1.0)) -> None:
        self.config = checked(HalfConfig, scale=scale, after=after, interval=interval)

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field.

        Raises:
            ConfigError: the field is no network's own, or the network has no such head; when it is asked, the
                condition holds nothing that could be left out.
        """
        config, heads = self.config, heads_of(field, _WHO)
        weak, curve = (
            weak_head(_WHO, config.after, "plain", getattr(field, "facts", None)),
            curve_of(config.scale),
        )

        def guided(query: Query) -> Tensor:
            check_condition(_WHO, query.condition)
            (v_i,) = heads(query.null(), (weak,))
            v_f = field(query)
            return led(v_f, v_i, at(curve, query, v_f))

        return field if is_one(config.scale) else within(field, guided, config.interval)


@attrs.frozen
class HalfConfig:
    """Guidance away from an intermediate head without condition, in one pass and a part of a second.

    Attributes:
        scale: 1 is no guidance; a number, or points ``[t, scale]`` of a curve.
        after: the number of blocks after which the weak head stands; none for the network's first one.
        interval: low and high between which it acts (0 is data, 1 is noise), both included.
    """

    scale: Scale = attrs.field(default=1.5, converter=as_scale, validator=check_number_or_curve)
    after: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    interval: Interval = attrs.field(default=(0.0, 1.0), converter=tuple, validator=check_interval)

    def build(self, facts: Facts) -> Half:
        """The guidance.

        Raises:
            ConfigError: the network has no such head, the data are unconditional, or the network was trained
                with every condition shown.
        """
        weak_head(_WHO, self.after, "plain", facts)
        check_dropout(_WHO, facts, needed=not is_one(self.scale))
        return Half(self.scale, self.after, self.interval)
