"""S3 and what speaks its language: one streamed GET a file, and no redirects of HTTP.

Objects are read by botocore in the thread that wants them. s3fs does the rest; it sends everything through
one event loop, for which many threads that read at once would wait. botocore follows no redirect itself: it
reads the region out of such an answer, and signs a new request to the same endpoint. aiohttp, which sends for
s3fs, would follow, with the token of the session in a header.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession

from thalweg.errors import ConfigError
from thalweg.storage.stores.remote import RemoteStore
from thalweg.storage.streams import PIECE, ByteStream, answered, range_header

if not hasattr(AIOHTTPSession, "_get_session"):
    raise ConfigError("this version of aiobotocore is not known to follow no redirects; take another one")


class S3Store(RemoteStore):
    """Objects of a bucket.

    Args:
        files: the file system of s3fs.
        client: gives botocore's client, such as :func:`client_like` makes.
    """

    def __init__(self, files: Any, client: Callable[[], Any]) -> None:
        super().__init__(files)
        self._client = client

    @contextlib.contextmanager
    def open(self, path: str, start: int, stop: int | None) -> Iterator[ByteStream]:
        """Begin to read; the version is the ETag of the answer itself."""
        bucket, key, version = self._files.split_path(path)
        what = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        answer = self._client().get_object(**what, **range_header(start, stop))
        with contextlib.closing(answer["Body"]) as body:
            yield answered(
                start,
                answer.get("ContentRange"),
                answer.get("ContentLength"),
                answer.get("ETag", ""),
                iter(lambda: body.read(PIECE), b""),
            )

    @staticmethod
    def _version(info: Mapping[str, Any]) -> str:
        return str(info.get("ETag", ""))


def client_like(files: Any) -> Any:
    """A client of botocore's with the settings of an s3fs file system."""
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config

    settings = {**files._prepare_config_kwargs()}
    settings.pop("http_session_cls", None)
    named = {"endpoint_url": files.endpoint_url, **files.client_kwargs}
    if files.anon:
        settings["signature_version"] = UNSIGNED
    else:
        named |= {
            "aws_access_key_id": files.key,
            "aws_secret_access_key": files.secret,
            "aws_session_token": files.token,
        }
    given = {name: value for name, value in named.items() if value is not None}
    return botocore.session.get_session().create_client("s3", config=Config(**settings), **given)


class UnledSession(AIOHTTPSession):  # type: ignore[misc]  # it has no types
    """aiobotocore's session, but that it stays with the host that it is sent to."""

    async def _get_session(self, proxy_url: str | None) -> "_Unled":
        return _Unled(await super()._get_session(proxy_url))


class _Unled:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, method: str, **settings: Any) -> Any:
        return await self._session.request(method, **{**settings, "allow_redirects": False})
