"""Files and folders anywhere, read through fsspec: with retries, a local cache, and secrets kept.

fsspec and its backends are imported when the first remote place is opened, and the modules of this package
when they are asked for: the command line's help needs one of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.storage.cache import Cache, cache_folder, default_cache, folder_for
    from thalweg.storage.failures import MissingError
    from thalweg.storage.location import Location
    from thalweg.storage.redaction import redacted, register_secrets, register_url

_MODULES = {
    "Cache": "cache",
    "Location": "location",
    "MissingError": "failures",
    "cache_folder": "cache",
    "default_cache": "cache",
    "folder_for": "cache",
    "redacted": "redaction",
    "register_secrets": "redaction",
    "register_url": "redaction",
}

__all__ = [
    "Cache",
    "Location",
    "MissingError",
    "cache_folder",
    "default_cache",
    "folder_for",
    "redacted",
    "register_secrets",
    "register_url",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
