"""Where an objective reads: depths of hidden states, and intermediate heads."""

from thalweg.errors import ConfigError
from thalweg.facts import Facts


def share_of(depth: int, share: float) -> int:
    """The number of blocks nearest to a share of the depth, at least 1."""
    return max(1, round(share * depth))


def depth_of(chosen: int | None, default: int, facts: Facts, option: str) -> int:
    """The depth that is chosen, or the default where none is.

    Args:
        chosen: number of blocks passed.
        default: where none is chosen.
        facts: of the network.
        option: name of the option, such as ``objectives.dispersive.after``.

    Raises:
        ConfigError: if the network has no such depth.
    """
    depth = default if chosen is None else chosen
    if not 1 <= depth <= facts.depth:
        raise ConfigError(
            f"{option} is {depth} and the network has {facts.depth} blocks; read after 1 to {facts.depth}"
        )
    return depth


def weak_heads_of(after: int | None, facts: Facts, objective: str) -> tuple[int, ...]:
    """The depths of the intermediate heads, or the one that is chosen.

    Args:
        after: depth of one head; None for all.
        facts: of the network.
        objective: whose option it is, such as ``objectives.distillation``.

    Raises:
        ConfigError: if the network has no intermediate head, or none at that depth.
    """
    if not facts.weak_heads:
        raise ConfigError(
            f"{objective} needs a head before the last one and the network has none; set branches above 1, "
            "or give it a head of its own, as in heads = [3]"
        )
    if after is None:
        return facts.weak_heads
    if after not in facts.weak_heads:
        raise ConfigError(
            f"{objective}.after is {after} and the network has intermediate heads after "
            f"{', '.join(map(str, facts.weak_heads))}; name one of these"
        )
    return (after,)
