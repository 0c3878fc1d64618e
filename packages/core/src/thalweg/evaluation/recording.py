"""What passports say of the parts that samples are drawn by."""

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.config import plain
from thalweg.errors import ConfigError
from thalweg.evaluation.fingerprints import state_of
from thalweg.objects import OBJECT, is_object
from thalweg.plugins.recording import with_files


def recorded(stated: Any, part: Any, config: Any = None) -> Any:
    """A part in plain values.

    Args:
        stated: its config in plain values.
        config: its config, whose file of code counts too.
        part: as it is built. What it says of itself by ``identity``, such as the hash of a
            network that it reads, takes the place of what is stated under the same key: where a file is
            decides no sample. One that was made in Python and has no name is told by a digest of its state.
    """
    if not isinstance(stated, Mapping):
        return stated
    identity = getattr(part, "identity", None)
    identity = identity() if callable(identity) else identity
    more = plain(dict(identity)) if isinstance(identity, Mapping) else {}
    if is_object(stated):
        more["state"] = state_of(part)
    return with_files({**stated, **more}, part, config)


def recorded_guidances(stated: Any, parts: Sequence[Any], configs: Sequence[Any] = ()) -> Any:
    """Guidance in plain values: the list that it is, or one, or ``none``; each as :func:`recorded` has it."""
    made = list(configs) or [None] * len(parts)
    if isinstance(stated, list):
        return [recorded(*one) for one in zip(stated, parts, made, strict=True)]
    return recorded(stated, parts[0], made[0]) if parts else stated


def check_named(devices: int, sampling: Mapping[str, Any]) -> None:
    """Make sure that several processes can make what samples are drawn by.

    Args:
        devices: how many processes.
        sampling: how, in plain values.

    Raises:
        ConfigError: a part has no name.
    """
    for key, value in sampling.items():
        made = next((one for one in (value if isinstance(value, list) else [value]) if is_object(one)), None)
        if devices > 1 and made is not None:
            raise ConfigError(
                f"{key} is an object of this process ({made[OBJECT]}), which {devices} processes cannot "
                "share; register its config and name it, or take devices=1"
            )
