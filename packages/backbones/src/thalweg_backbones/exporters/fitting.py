"""What of a network has no counterpart in another program, said by name."""

from collections.abc import Iterable
from typing import Any

from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.network import FlowNetwork
from thalweg.objects import is_object
from thalweg_backbones.dit import DiTConfig

_ELSEWHERE = "export it to safetensors or diffusers-pipeline, which take every network"


def refuse(target: str, what: Iterable[str]) -> None:
    """Make sure that nothing is without a counterpart.

    Args:
        target: the exporter's name.
        what: what is, such as ``branches = 2``.

    Raises:
        ConfigError: naming it.
    """
    listed = list(what)
    if listed:
        raise ConfigError(f"{target} has no counterpart of {' and '.join(listed)}; {_ELSEWHERE}")


def dit_config(network: FlowNetwork, target: str) -> DiTConfig:
    """The config of a network's DiT.

    Raises:
        ConfigError: the backbone is another, or made in Python.
    """
    stated: Any = network.composition["backbone"]
    config = None if is_object(stated) else component("backbone", stated)
    if not isinstance(config, DiTConfig):
        refuse(target, [named(stated)])
        raise AssertionError
    return config


def plain_dit(network: FlowNetwork, target: str) -> DiTConfig:
    """The config of a DiT that the layout of SiT and REPA has a place for.

    Raises:
        ConfigError: the network is another.
    """
    config = dit_config(network, target)
    odd = [*unbranched(network), *odd_settings(config), *unclassed(network)]
    refuse(target, [*odd, *not_square(network), *path(network)])
    return config


def named(stated: Any) -> str:
    """A backbone, as a composition states it."""
    if is_object(stated):
        return f"a backbone made in Python ({stated['object']})"
    return f"backbone {stated['type']}"


def odd_settings(config: DiTConfig, *, but: tuple[str, ...] = ()) -> list[str]:
    """Settings of a DiT that the public layouts have no place for.

    Args:
        config: of the backbone.
        but: those that the target has a place for.
    """
    usual = DiTConfig()
    names = ("qk_norm", "time_scale", "closed_frequencies", "mlp_norm_eps", "betas")
    return [
        f"backbone.{name} = {getattr(config, name)!r}"
        for name in names
        if name not in but and getattr(config, name) != getattr(usual, name)
    ]


def unclassed(network: FlowNetwork) -> list[str]:
    """A network without classes, where the target has a table of them."""
    return [] if network.facts.classes is not None else ["data without classes"]


def not_square(network: FlowNetwork) -> list[str]:
    """Images that are no squares, where the target knows one side alone."""
    rows, columns = network.facts.grid
    return [] if rows == columns else [f"images of {network.facts.shape[1]}x{network.facts.shape[2]}"]


def unbranched(network: FlowNetwork) -> list[str]:
    """Branches and a refiner, where the target knows none."""
    refined = "" if network.refiner is None else " with a refiner between them"
    branched = [] if network.branches == 1 else [f"{network.branches} branches{refined}"]
    return [*branched, *second_time(network)]


def second_time(network: FlowNetwork) -> list[str]:
    """What a flow map is asked at beside t, where the target knows one time alone."""
    return ["the second time of a flow map"] if network.facts.flow_map else []


def notes(network: FlowNetwork) -> tuple[str, ...]:
    """What has to be known of a network whose tensors are written as they are."""
    if not network.facts.flow_map:
        return ()
    return (
        "it is a flow map: with the first branch at t and the last at r, the last read-out gives the average "
        "velocity u over [r, t], and x_r = x_t - (t - r) u; intermediate_velocity.*, which reads the "
        "velocity at t, is needed in training and for guidance alone",
    )


def path(network: FlowNetwork, known: tuple[str, ...] = ("linear", "cosine")) -> list[str]:
    """A path between data and noise that the target does not know, and read-outs of clean data."""
    odd = [] if network.interpolant.name in known else [f"the interpolant {network.interpolant}"]
    return odd if network.prediction == "velocity" else [*odd, f"prediction = {network.prediction}"]


def left(network: FlowNetwork) -> tuple[str, ...]:
    """Heads that end no branch, and how latents were normalised: no public layout has a place for either."""
    heads = tuple(f"the head after {depth} blocks" for depth in network.facts.head_depths)
    return heads if network.facts.normalisation is None else (*heads, "the normalisation of its latents")
