"""huggingface_hub, imported when it is needed, with the user's token kept out of all that is printed."""

import importlib
from typing import TYPE_CHECKING, Any

from thalweg.errors import ConfigError, DataError
from thalweg.storage.offline import offline
from thalweg.storage.redaction import register_secrets

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Token = str | bool | None
"""A token; None for the one that the user is logged in with, False for none at all."""

MISSING = "hf:// needs a package that is not installed: pip install 'thalweg-core[hub]'"


def package() -> Any:
    """The package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError(MISSING) from None
    return huggingface_hub


def utilities() -> Any:
    """What the package sends its own requests with.

    Raises:
        ConfigError: it is not installed.
    """
    package()
    return importlib.import_module("huggingface_hub.utils")


def register_token(token: Token) -> None:
    """Make known, as a secret, the token that requests are sent with."""
    used = package().get_token() if token is None or token is True else token
    if used:
        register_secrets({"token": used})


def client(token: Token = None) -> "HfApi":
    """What requests are sent by.

    Raises:
        ConfigError: the package is not installed.
        DataError: nothing may be downloaded or sent.
    """
    found = package()
    register_token(token)
    if stated := offline():
        raise DataError(f"{stated} is set, so nothing is requested from the Hub; unset it")
    api: HfApi = found.HfApi(token=token)
    return api
