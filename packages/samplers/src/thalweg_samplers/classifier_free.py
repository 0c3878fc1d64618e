"""Classifier-free guidance within an interval of time."""

import attrs
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.guidance import Broken, opened
from thalweg.types import Condition, ConditionalField, Query
from thalweg_samplers.intervals import Interval, check_interval
from thalweg_samplers.options import checked

_WHO = "classifier-free guidance"


def check_condition(who: str, condition: Condition) -> None:
    """Samples have something that can be left out.

    Raises:
        ConfigError: they have neither labels nor captions.
    """
    if condition.labels is None and condition.text is None:
        raise _unconditional(who)


def check_dropout(who: str, facts: Facts, *, needed: bool) -> None:
    """A network knows its velocity without a condition.

    Args:
        who: the guidance, for messages.
        facts: of the network.
        needed: whether it is going to be asked for it.

    Raises:
        ConfigError: the data are unconditional, or the network was trained with every condition shown.
    """
    if facts.classes is None and facts.text is None:
        raise _unconditional(who)
    if needed and not facts.condition_dropout:
        raise ConfigError(
            f"{who} needs a network that knows its velocity without a condition, and this one was trained "
            "with every condition shown, or has no null class; remove the guidance, or train with "
            "training.condition_dropout above 0"
        )


def _unconditional(who: str) -> ConfigError:
    return ConfigError(
        f"{who} needs a condition to leave out, but these data are unconditional; remove the guidance, or "
        "give the samples labels or captions"
    )


class ClassifierFree:
    """v = v_uncond + scale (v_cond - v_uncond) while low <= t <= high, v_cond elsewhere.

    At fixed x and t the score, and so the drift of an SDE, is an affine function of the velocity, and
    the weights 1 - scale and scale sum to one; guiding the velocity is therefore guiding the drift, and
    a sampler of either kind needs nothing more (Ho & Salimans 2022; the interval: Kynkaanniemi et al.
    2024).

    The unconditional half is evaluated in one call with the conditional one, and only for the samples
    whose time is in the interval. Around another guidance both halves are guided by that one.

    Args:
        scale: 1 leaves the conditional velocity as it is, 0 gives the unconditional one; between the two
            the condition is weakened.
        interval: low and high, both included.

    Raises:
        ConfigError: an option makes no sense.
    """

    def __init__(self, scale: float = 1.8, interval: Interval = (0.0, 1.0)) -> None:
        options = checked(ClassifierFreeConfig, scale=scale, interval=interval)
        self.scale, self.interval = options.scale, options.interval

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field.

        Raises:
            ConfigError: when it is asked, the condition holds nothing that could be left out.
        """

        def guided(query: Query) -> Tensor:
            check_condition(_WHO, query.condition)
            count = len(query.x)
            rows_n = query.t.new_empty(0).long() if self.scale == 1 else opened(query, self.interval)
            if len(rows_n) == 0:
                return field(query)
            both = field(query.join(query.select(rows_n).null()))
            conditional, unconditional_n = both[:count], both[count:]
            guided_n = unconditional_n + self.scale * (conditional[rows_n] - unconditional_n)
            if len(rows_n) == count:
                return guided_n
            velocity = conditional.clone()
            velocity[rows_n] = guided_n
            return velocity

        return Broken(guided, () if self.scale == 1 else self.interval)


@attrs.frozen
class ClassifierFreeConfig:
    """Classifier-free guidance within an interval of time.

    Attributes:
        scale: 1 is no guidance; larger ones trade diversity for fidelity, smaller ones weaken the
            condition, down to 0, which leaves it out.
        interval: low and high between which it acts (0 is data, 1 is noise), both included; the network
            is evaluated twice a step inside, once outside.
    """

    scale: float = attrs.field(
        default=1.8, validator=[attrs.validators.ge(0), attrs.validators.lt(float("inf"))]
    )
    interval: Interval = attrs.field(default=(0.0, 1.0), converter=tuple, validator=check_interval)

    def build(self, facts: Facts) -> ClassifierFree:
        """The guidance.

        Raises:
            ConfigError: the data are unconditional, or the network was trained with every condition shown.
        """
        # A scale of 1 never asks for the unconditional half.
        check_dropout(_WHO, facts, needed=self.scale != 1)
        return ClassifierFree(self.scale, self.interval)
