"""Internal guidance: the network's own intermediate head is the weak one."""

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg.guidance import calibration_of, heads_of, within
from thalweg.types import ConditionalField, Head, Query
from thalweg.types.networks import HeadForm
from thalweg_samplers.heads import weak_head
from thalweg_samplers.intervals import Interval, check_interval
from thalweg_samplers.options import checked
from thalweg_samplers.scales import CALIBRATED, Scale, as_scale, at, check_scale, curve_of, is_one, led

_WHO = "internal guidance"


class Internal:
    """v = v_i + w(t) (v_f - v_i) while low <= t <= high, v_f elsewhere.

    v_f is the last head and v_i an intermediate one, both read in one pass, so it costs what no guidance
    does (Internal-Guidance, CVPR 2026). It reads heads, which only the network itself has, so it stands
    innermost; classifier-free guidance around it guides both halves.

    A calibrated scale is w(t) = 1 + strength (w*(t) - 1), where w* gives the velocity the least squared error
    on training data (:mod:`thalweg.calibrating`).

    Args:
        scale: 1 leaves the last head's velocity as it is, to the bit; 0 gives the intermediate one's. A
            number, points (t, scale) of a curve that is linear between them, or ``"calibrated"``.
        strength: of a calibrated scale.
        after: the number of blocks after which the weak head stands; None for the first one.
        form: at a branch's end, read it ``plain``, or ``refined``, or ``corrected`` by the acceleration.
        interval: low and high, both included.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(
        self,
        scale: Scale = 1.4,
        strength: float = 3.0,
        after: int | None = None,
        form: HeadForm = "plain",
        interval: Interval = (0.0, 1.0),
    ) -> None:
        self.config = checked(
            InternalConfig, scale=scale, strength=strength, after=after, form=form, interval=interval
        )

    @property
    def needs_calibration(self) -> bool:
        """Whether the network's heads must have been measured."""
        return self.config.needs_calibration

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field.

        Raises:
            ConfigError: the field is no network's own, or the network has no such intermediate head, or none
                that was measured.
        """
        config, heads = self.config, heads_of(field, _WHO)
        weak = weak_head(_WHO, config.after, config.form, getattr(field, "facts", None))
        if config.scale == CALIBRATED:
            curve = calibration_of(field, _WHO).scale(weak, config.strength)
        else:
            curve = curve_of(config.scale)

        def guided(query: Query) -> Tensor:
            v_i, v_f = heads(query, (weak, Head()))
            return led(v_f, v_i, at(curve, query, v_f))

        return field if is_one(config.scale) else within(field, guided, config.interval)


@attrs.frozen
class InternalConfig:
    """Internal guidance by an intermediate head of the network, in one pass.

    Attributes:
        scale: 1 is no guidance; larger ones lead further away from what the intermediate head says. A number,
            points ``[t, scale]`` of a curve, or ``calibrated``: what was measured on training data.
        strength: of a calibrated scale; 0 is no guidance, 1 gives the velocity the least error.
        after: the number of blocks after which that head stands; none for the network's first one.
        form: how a head at a branch's end is read: ``plain``, ``refined`` behind the refiner, or
            ``corrected`` by the acceleration.
        interval: low and high between which it acts (0 is data, 1 is noise), both included.
    """

    scale: Scale = attrs.field(default=1.4, converter=as_scale, validator=check_scale)
    strength: float = attrs.field(
        default=3.0, validator=[attrs.validators.ge(0), attrs.validators.lt(float("inf"))]
    )
    after: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    form: HeadForm = "plain"
    interval: Interval = attrs.field(default=(0.0, 1.0), converter=tuple, validator=check_interval)

    @property
    def needs_calibration(self) -> bool:
        """Whether the network's heads must have been measured."""
        return self.scale == CALIBRATED

    def build(self, facts: Facts) -> Internal:
        """The guidance.

        Raises:
            ConfigError: the network has no such intermediate head.
        """
        weak_head(_WHO, self.after, self.form, facts)
        return Internal(**attrs.asdict(self, recurse=False))
