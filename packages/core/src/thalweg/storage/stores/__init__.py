"""What is behind a location: the local file system, or one of fsspec's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from thalweg.storage.stores.local import LocalStore
    from thalweg.storage.stores.remote import RemoteStore

    Store: TypeAlias = LocalStore | RemoteStore


def store_for(scheme: str, options: Mapping[str, Any]) -> "Store":
    """The store of a protocol.

    Raises:
        ConfigError: it is unknown or not installed, or does not take the options.
    """
    from thalweg.storage.stores.local import LocalStore

    if scheme == "file":
        return LocalStore()
    from thalweg.storage.stores.filesystems import filesystem
    from thalweg.storage.stores.remote import RemoteStore

    files = filesystem(scheme, options)
    if scheme == "s3":
        from thalweg.storage.stores.s3 import S3Store

        return S3Store(files)
    if scheme == "hf":
        from thalweg.storage.stores.hub import HubStore

        return HubStore(files, options)
    if scheme in ("http", "https"):
        from thalweg.storage.stores.web import WebStore

        return WebStore(files)
    return RemoteStore(files)
