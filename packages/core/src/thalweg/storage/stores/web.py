"""Web servers: read only, and listed as far as they list."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from thalweg.errors import ConfigError
from thalweg.storage.redaction import redacted
from thalweg.storage.stores.entry import Closed, Entry, opens_all
from thalweg.storage.stores.remote import children, find
from thalweg.storage.streams import LoopStream, Span, range_header, span_of

_UNSATISFIABLE = 416


class WebStore:
    """Files that a web server offers.

    Args:
        files: an instance of fsspec's HTTPFileSystem, whose session is
            :class:`thalweg.storage.stores.session.Session`.
    """

    def __init__(self, files: Any) -> None:
        self._files = files

    def open(self, path: str, start: int, stop: int | None) -> LoopStream:
        """Begin to read; the version is the answer's ETag, or when it was modified."""
        response = self._call(self._get, path, range_header(start, stop))
        if response.status == _UNSATISFIABLE:
            return LoopStream(
                self._files.loop, response.content.read, response.close, _beyond(response, start)
            )
        headers = response.headers
        length = headers.get("Content-Length")
        version = headers.get("ETag") or headers.get("Last-Modified") or ""
        try:
            span = span_of(
                start, headers.get("Content-Range"), None if length is None else int(length), version
            )
        except Exception:
            self._files.loop.call_soon_threadsafe(response.close)
            raise
        return LoopStream(self._files.loop, response.content.read, response.close, span)

    def entry(self, path: str) -> Entry:
        """What lies there, from the headers of a GET: signed URLs often allow no HEAD."""
        stream = self.open(path, 0, 1)
        stream.close()
        return Entry(folder=False, size=stream.span.total, version=stream.span.version)

    def children(self, path: str) -> list[str]:
        """Names that the folder's page links to."""
        return [unquote(name) for name in children(self._files, f"{path}/") if "?" not in name]

    def find(self, path: str, closed: Closed = opens_all) -> list[str]:  # noqa: ARG002
        """Files that the pages of a folder and of those below it link to."""
        return [unquote(name) for name in find(self._files, f"{path}/") if "?" not in name]

    def write(self, path: str, data: bytes) -> None:  # noqa: ARG002
        """No.

        Raises:
            ConfigError: always.
        """
        raise _read_only(path)

    def upload(self, path: str, source: Path) -> None:  # noqa: ARG002
        """No.

        Raises:
            ConfigError: always.
        """
        raise _read_only(path)

    def remove(self, path: str) -> None:
        """No.

        Raises:
            ConfigError: always.
        """
        raise _read_only(path)

    def makedirs(self, path: str) -> None:
        """No.

        Raises:
            ConfigError: always.
        """
        raise _read_only(path)

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

    def _call(self, coroutine: Any, *arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine(*arguments), self._files.loop).result()


def _beyond(response: Any, start: int) -> Span:
    """What an answer tells that has nothing at the place asked for: the size."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return Span(start, int(total) if total.isdigit() else 0, "")


def _read_only(path: str) -> ConfigError:
    return ConfigError(f"{redacted(path)} cannot be written: web servers are only read from")
