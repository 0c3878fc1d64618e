"""Files and folders anywhere, read through fsspec: with retries, a local cache, and secrets kept.

fsspec and its backends are imported when the first remote place is opened, and the modules of this package
when they are requested: the command line's help needs one of them.
"""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg.storage.cache import Cache as Cache
    from thalweg.storage.cache import cache_folder as cache_folder
    from thalweg.storage.cache import default_cache as default_cache
    from thalweg.storage.cache import folder_for as folder_for
    from thalweg.storage.cache import local_copy as local_copy
    from thalweg.storage.failures import MissingError as MissingError
    from thalweg.storage.location import Location as Location
    from thalweg.storage.redaction import redacted as redacted
    from thalweg.storage.redaction import register_secrets as register_secrets
    from thalweg.storage.redaction import register_url as register_url

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "thalweg.storage.cache": "Cache cache_folder default_cache folder_for local_copy",
        "thalweg.storage.failures": "MissingError",
        "thalweg.storage.location": "Location",
        "thalweg.storage.redaction": "redacted register_secrets register_url",
    },
)
