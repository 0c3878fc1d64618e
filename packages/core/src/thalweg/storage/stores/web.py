"""Web servers: read only, and listed as far as they list."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from thalweg.errors import ConfigError
from thalweg.storage.redaction import redacted
from thalweg.storage.stores.remote import RemoteStore
from thalweg.storage.streams import ByteStream, Closed, StoredEntry, answered, looped, range_header

_UNSATISFIABLE = 416


class WebStore(RemoteStore):
    """Files that a web server offers, by fsspec's HTTPFileSystem, whose session is
    :class:`thalweg.storage.stores.session.WebSession`."""

    @contextlib.contextmanager
    def open(self, path: str, start: int, stop: int | None) -> Iterator[ByteStream]:
        """Begin to read; the version is the answer's ETag, or when it was modified."""
        getting = self._get(path, range_header(start, stop))
        response = asyncio.run_coroutine_threadsafe(getting, self._files.loop).result()
        with looped(self._files.loop, response.content.read, response.close) as pieces:
            headers = response.headers
            stated, length = headers.get("Content-Range", ""), headers.get("Content-Length")
            if response.status == _UNSATISFIABLE:  # nothing is there, and the size is stated
                total = stated.rpartition("/")[2]
                yield ByteStream(start, int(total) if total.isdigit() else 0, "", iter(()))
                return
            version = headers.get("ETag") or headers.get("Last-Modified") or ""
            yield answered(start, stated, None if length is None else int(length), version, pieces)

    def entry(self, path: str) -> StoredEntry:
        """What is stored there, from the headers of a GET: signed URLs often allow no HEAD."""
        with self.open(path, 0, 1) as stream:
            return StoredEntry(folder=False, size=stream.total, version=stream.version)

    def children(self, path: str) -> list[str]:
        """Names that the folder's page links to."""
        return [unquote(name) for name in super().children(f"{path}/") if "?" not in name]

    def find(self, path: str, closed: Closed) -> list[str]:
        """Files that the pages of a folder and of those below it link to."""
        return [unquote(name) for name in super().find(f"{path}/", closed) if "?" not in name]

    def write(self, path: str, *_: object, **__: object) -> None:
        """No.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{redacted(path)} cannot be written: web servers are only read from")

    upload = remove = makedirs = write

    async def _get(self, path: str, headers: dict[str, str]) -> Any:
        session = await self._files.set_session()
        settings = dict(self._files.kwargs)
        # Compressed on the way, its length would not be the file's.
        settings["headers"] = {"Accept-Encoding": "identity", **settings.get("headers", {}), **headers}
        response = await session.get(self._files.encode_url(path), **settings)
        if response.status >= 400 and response.status != _UNSATISFIABLE:
            response.close()
            response.raise_for_status()
        return response
