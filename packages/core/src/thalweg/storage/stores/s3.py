"""S3 and what speaks its language: one streamed GET a file."""

from pathlib import Path
from typing import Any

from thalweg.storage.failures import TransientError
from thalweg.storage.stores.entry import Closed, Entry, opens_all
from thalweg.storage.stores.remote import children, find, remove
from thalweg.storage.streams import LoopStream, range_header, span_of


class S3Store:
    """Objects of a bucket.

    Args:
        files: an instance of s3fs.
    """

    def __init__(self, files: Any) -> None:
        self._files = files

    def open(self, path: str, start: int, stop: int | None) -> LoopStream:
        """Begin to read; the version is the ETag of the answer itself."""
        bucket, key, version = self._files.split_path(path)
        what = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        answer = self._files.call_s3("get_object", **what, **range_header(start, stop))
        body = answer["Body"]
        try:
            span = span_of(
                start, answer.get("ContentRange"), answer.get("ContentLength"), answer.get("ETag", "")
            )
        except TransientError:
            self._files.loop.call_soon_threadsafe(body.close)
            raise
        return LoopStream(self._files.loop, body.read, body.close, span)

    def entry(self, path: str) -> Entry:
        """What lies there, by one HEAD for an object."""
        found = self._files.info(path)
        if found["type"] == "directory":
            return Entry(folder=True)
        return Entry(folder=False, size=found["size"], version=found.get("ETag", ""))

    def children(self, path: str) -> list[str]:
        """Names in a folder."""
        return children(self._files, path)

    def find(self, path: str, closed: Closed = opens_all) -> list[str]:  # noqa: ARG002
        """Objects below a folder."""
        return find(self._files, path)

    def write(self, path: str, data: bytes) -> None:
        """Put an object there."""
        self._files.pipe_file(path, data)

    def upload(self, path: str, source: Path) -> None:
        """Put a local file there, in several parts if it is large."""
        self._files.put_file(str(source), path)

    def remove(self, path: str) -> None:
        """Take it away."""
        remove(self._files, path)

    def makedirs(self, path: str) -> None:
        """Nothing: folders are parts of names, and a bucket is not ours to make."""
