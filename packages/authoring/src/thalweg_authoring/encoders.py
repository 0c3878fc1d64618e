"""What autoencoders, vision encoders and text encoders keep alike: they have an identity, and never learn."""

import json
from typing import Any

from torch import nn

from thalweg_authoring.rules import require
from thalweg_authoring.subject import Subject


def plain(identity: Any) -> dict[str, Any] | None:
    """An identity as JSON gives it back; None if JSON cannot hold it."""
    try:
        return dict(json.loads(json.dumps(dict(identity))))
    except TypeError:
        return None


def require_identity(subject: Subject, one: Any, another: Any = None, attribute: str = "identity") -> None:
    """The identity names the type, is plain, and is that of another one of the same config.

    Args:
        subject: the component.
        one: what was built of it.
        another: what was built of it again; by default it is built here.
        attribute: where the identity is.
    """
    identity = getattr(one, attribute)
    # Of what is stored under a name, that may be the type.
    types = (subject.name, one.name) if attribute == "patch_identity" else (subject.name,)
    require(
        identity.get("type") in types, f"{attribute}['type'] is not '{subject.name}', as it is registered"
    )
    again = getattr(subject.build() if another is None else another, attribute)
    require(plain(identity) == dict(again), f"{attribute} does not survive JSON, or changes")


def require_frozen(one: Any) -> None:
    """A module has nothing to train, and is in evaluation mode."""
    if isinstance(one, nn.Module):
        require(
            not any(p.requires_grad for p in one.parameters()),
            "it can be trained; call requires_grad_(False)",
        )
        require(not any(module.training for module in one.modules()), "it is in training mode; call eval()")
