"""What of a cell is a way of sampling: it changes how a network is judged, and not how it is trained."""

from collections.abc import Sequence
from typing import Any

from thalweg.config import RunConfig, apply_override, dump
from thalweg.errors import ConfigError
from thalweg.evaluation.own import DRAWING
from thalweg.evaluation.ways import assignments

_SAMPLING = "sampling"


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides of a cell that change what is trained, and those of ``sampling``.

    Raises:
        ConfigError: one of ``sampling`` is of nothing that a score depends on.
    """
    training: list[str] = []
    sampling: list[str] = []
    for override in overrides:
        key = override.partition("=")[0].strip()
        (sampling if key.split(".")[0] == _SAMPLING else training).append(override)
    for name in _stated(sampling):
        if name not in DRAWING:
            raise ConfigError(
                f"it changes sampling.{name}, on which no score depends: a cell may change "
                f"{', '.join(f'sampling.{one}' for one in DRAWING)}; what all cells share goes behind the "
                f"recipe as KEY=VALUE, and how many samples are judged is the protocol's"
            )
    return training, sampling


def settings_of(config: RunConfig, sampling: Sequence[str]) -> tuple[str, ...]:
    """What a cell's way of sampling changes in the protocol, as ``key=value``.

    Sampler and guidance are stated whole, as the recipe and the cell have them, since the protocol's may be
    others: ``sampling.guidance.scale=2`` means the recipe's guidance with another scale.

    Args:
        config: the cell's, with all of its overrides.
        sampling: those of ``sampling``.
    """
    stated = _stated(sampling)
    # Where a guidance's own network lies may need what is not to be shown; whoever shows this masks it.
    plain = dump(config.sampling, secrets=True)
    return assignments(plain, [name for name in DRAWING if name in stated])


def _stated(sampling: Sequence[str]) -> list[str]:
    table: dict[str, Any] = {}
    for override in sampling:
        apply_override(table, override)
    stated = table.get(_SAMPLING)
    return list(stated) if isinstance(stated, dict) else []  # which is a fault of the recipe's
