"""Requests over the web that follow redirects without taking anybody's secrets along."""

import urllib.request
from collections.abc import Generator
from typing import Any

from thalweg.errors import DataError
from thalweg.storage.redaction import redacted

_REDIRECTS = frozenset([301, 302, 303, 307, 308])
_MOST = 10
_KEPT = frozenset(["accept-encoding", "range"])
"""Headers that say which bytes are wanted; they go to whichever server stores them."""


async def opener(**settings: Any) -> "WebSession":
    """What fsspec's file system of the web opens its session with."""
    import aiohttp

    return WebSession(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), **settings))


class WebSession:
    """A session of aiohttp that only gets.

    What the options state, headers first of all, is for the scheme, host and port of the URL that is asked
    for. A redirect to another one is followed without it, and none leads from https to http or to what is
    neither. Proxies are those of the environment; credentials of ``~/.netrc`` are for nobody here.

    Args:
        session: aiohttp's.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._connector = session._connector  # which fsspec closes once its loop has ended

    def get(self, url: Any, **settings: Any) -> "_Getting":
        """A request; to be awaited, or entered for as long as the answer is read."""
        return _Getting(self._got(url, settings))

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _got(self, url: Any, settings: dict[str, Any]) -> Any:
        import yarl

        here = url if isinstance(url, yarl.URL) else yarl.URL(url)
        settings = {name: value for name, value in settings.items() if name != "allow_redirects"}
        for _ in range(_MOST + 1):
            response = await self._session.get(
                here, allow_redirects=False, **{"proxy": _proxy(here), **settings}
            )
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            response.release()
            there = _target(here, location)
            if there.origin() != here.origin():
                headers = settings.get("headers") or {}
                kept = {name: one for name, one in headers.items() if name.lower() in _KEPT}
                settings = {"headers": kept}
            here = there
        raise DataError(f"{redacted(str(url))} is redirected more than {_MOST} times; give the file's own")


class _Getting:
    """An answer to come."""

    def __init__(self, coming: Any) -> None:
        self._coming, self._response = coming, None

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coming.__await__()  # type: ignore[no-any-return]

    async def __aenter__(self) -> Any:
        self._response = await self._coming
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.release()
            await self._response.wait_for_close()


def _target(here: Any, location: str) -> Any:
    import yarl

    try:
        there = here.join(yarl.URL(location))
        host = there.host
    except ValueError:
        host = None
    if not host or there.scheme not in ("http", "https") or (here.scheme, there.scheme) == ("https", "http"):
        raise DataError(
            f"{redacted(str(here))} is redirected to what is no URL of http or https, or from https to http, "
            "and that is not followed; give the file's own URL"
        )
    return there.with_user(None).with_fragment(None)


def _proxy(url: Any) -> str | None:
    """The environment's proxy for a URL, as curl has it."""
    if urllib.request.proxy_bypass(f"{url.host}:{url.port}"):
        return None
    found = urllib.request.getproxies()
    return found.get(url.scheme) or found.get("all")
