"""What autoencoders, teachers and text encoders keep alike: they have an identity, and never learn."""

import json
from typing import Any

from torch import nn

from thalweg.testing.rules import require
from thalweg.testing.subject import Subject


def plain(identity: Any) -> dict[str, Any] | None:
    """An identity as JSON gives it back; None if JSON cannot hold it."""
    try:
        return dict(json.loads(json.dumps(dict(identity))))
    except TypeError:
        return None


def require_identity(subject: Subject, one: Any) -> None:
    """The identity names the type, is plain, and is that of another one of the same config."""
    require(
        one.identity.get("type") == subject.name,
        f"identity['type'] is not '{subject.name}', as it is registered",
    )
    require(
        plain(one.identity) == dict(subject.build().identity), "identity does not survive JSON, or changes"
    )


def require_frozen(one: Any) -> None:
    """A module has nothing to train, and is in evaluation mode."""
    if isinstance(one, nn.Module):
        require(
            not any(p.requires_grad for p in one.parameters()),
            "it can be trained; call requires_grad_(False)",
        )
        require(not any(module.training for module in one.modules()), "it is in training mode; call eval()")
