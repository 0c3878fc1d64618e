"""Requests to S3 that follow no redirects of HTTP.

botocore follows none itself: it reads the region out of such an answer, and signs a new request to the same
endpoint. aiohttp, which sends for it, would follow, with the token of the session in a header.
"""

from typing import Any

from aiobotocore.httpsession import AIOHTTPSession

from thalweg.errors import ConfigError

if not hasattr(AIOHTTPSession, "_get_session"):
    raise ConfigError("this version of aiobotocore is not known to follow no redirects; take another one")


class UnledSession(AIOHTTPSession):  # type: ignore[misc]  # it has no types
    """aiobotocore's session, but that it stays with the host that it is sent to."""

    async def _get_session(self, proxy_url: str | None) -> "_Unled":
        return _Unled(await super()._get_session(proxy_url))


class _Unled:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **settings: Any) -> Any:
        return await self._session.request(method, **{**settings, "allow_redirects": False})
