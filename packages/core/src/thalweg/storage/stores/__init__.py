"""What lies behind a location: the local file system, or one of fsspec's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from thalweg.storage.stores.entry import Closed, Entry, opens_all
from thalweg.storage.streams import Stream


@runtime_checkable
class Store(Protocol):
    """Files and folders by path. Errors come as the system or package raises them."""

    def open(self, path: str, start: int, stop: int | None) -> Stream:
        """Begin to read: bytes from start up to stop, or to the end."""

    def entry(self, path: str) -> Entry:
        """What lies there; FileNotFoundError if nothing does."""

    def children(self, path: str) -> list[str]:
        """Names of what lies directly in a folder."""

    def find(self, path: str, closed: Closed = opens_all) -> list[str]:
        """Paths of all files below a folder, relative to it.

        Whatever has a name that is closed need not be looked into: the folder itself stands for all below, or
        all below is listed where one request lists everything.
        """

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, whole or not at all."""

    def upload(self, path: str, source: Path) -> None:
        """Put a local file there, whole or not at all."""

    def remove(self, path: str) -> None:
        """Take away a file, or a folder with all in it; nothing if there is none."""

    def makedirs(self, path: str) -> None:
        """Make a folder, where folders have to be made."""


def store_for(scheme: str, options: Mapping[str, Any]) -> Store:
    """The store of a protocol.

    Raises:
        ConfigError: it is unknown or not installed, or does not take the options.
    """
    from thalweg.storage.stores.local import LocalStore

    if scheme == "file":
        return LocalStore()
    from thalweg.storage.filesystems import filesystem
    from thalweg.storage.stores.remote import RemoteStore

    files = filesystem(scheme, options)
    if scheme == "s3":
        from thalweg.storage.stores.s3 import S3Store

        return S3Store(files)
    if scheme in ("http", "https"):
        from thalweg.storage.stores.web import WebStore

        return WebStore(files)
    return RemoteStore(files)


__all__ = ["Entry", "Store", "store_for"]
