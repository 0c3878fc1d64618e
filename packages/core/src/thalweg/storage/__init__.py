"""Files and folders anywhere, read through fsspec: with retries, a local cache, and secrets kept.

fsspec and its backends are imported when the first remote place is opened.
"""

from thalweg.storage.cache import Cache, cache_folder, default_cache, folder_for
from thalweg.storage.failures import MissingError
from thalweg.storage.location import Location
from thalweg.storage.redaction import redacted, register_secrets, register_url

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
