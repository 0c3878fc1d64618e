"""S3 and what speaks its language: one streamed GET a file, and no redirects of HTTP.

botocore follows none itself: it reads the region out of such an answer, and signs a new request to the same
endpoint. aiohttp, which sends for it, would follow, with the token of the session in a header.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession

from thalweg.errors import ConfigError
from thalweg.storage.stores.remote import RemoteStore
from thalweg.storage.streams import ByteStream, answered, looped, range_header

if not hasattr(AIOHTTPSession, "_get_session"):
    raise ConfigError("this version of aiobotocore is not known to follow no redirects; take another one")


class S3Store(RemoteStore):
    """Objects of a bucket."""

    @contextlib.contextmanager
    def open(self, path: str, start: int, stop: int | None) -> Iterator[ByteStream]:
        """Begin to read; the version is the ETag of the answer itself."""
        bucket, key, version = self._files.split_path(path)
        what = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        answer = self._files.call_s3("get_object", **what, **range_header(start, stop))
        body = answer["Body"]
        with looped(self._files.loop, body.read, body.close) as pieces:
            yield answered(
                start, answer.get("ContentRange"), answer.get("ContentLength"), answer.get("ETag", ""), pieces
            )

    @staticmethod
    def _version(info: Mapping[str, Any]) -> str:
        return str(info.get("ETag", ""))


class UnledSession(AIOHTTPSession):  # type: ignore[misc]  # it has no types
    """aiobotocore's session, but that it stays with the host that it is sent to."""

    async def _get_session(self, proxy_url: str | None) -> "_Unled":
        return _Unled(await super()._get_session(proxy_url))


class _Unled:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **settings: Any) -> Any:
        return await self._session.request(method, **{**settings, "allow_redirects": False})
