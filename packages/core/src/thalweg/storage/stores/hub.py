"""The Hugging Face Hub, read by requests of our own: huggingface_hub's file system remembers what it has
listed, and would not notice that a branch has moved. What is written goes through that file system.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from thalweg.storage.hub.address import MAIN, HubAddress, hub_address
from thalweg.storage.hub.client import Token, client, package, utilities
from thalweg.storage.stores.remote import RemoteStore
from thalweg.storage.streams import PIECE, ByteStream, Closed, StoredEntry, answered, range_header

_SILENCE = 30.0
_CONNECT = 10.0
_UNSATISFIABLE = 416


class HubStore(RemoteStore):
    """Repositories by branch, tag or commit; buckets as any other of fsspec's file systems.

    Args:
        files: huggingface_hub's file system.
        options: ``token``, and ``timeout`` in seconds without a byte.
    """

    def __init__(self, files: Any, options: Mapping[str, Any]) -> None:
        super().__init__(files)
        self._token: Token = options.get("token")
        self._silence = float(options.get("timeout", _SILENCE))

    def pinned(self, path: str) -> str:
        """The URL at the commit that its branch or tag has now."""
        there = hub_address(path)
        return path if there.kind == "bucket" else str(there.at(self._commit(there)))

    @contextlib.contextmanager
    def open(self, path: str, start: int, stop: int | None) -> Iterator[ByteStream]:
        """Begin to read; the version is the file's own digest, as the Hub states it."""
        there = hub_address(path)
        if there.kind == "bucket":
            with super().open(path, start, stop) as stream:
                yield stream
            return
        headers = {"Accept-Encoding": "identity", **range_header(start, stop)}
        with self._streamed(there, headers) as response:
            stated, length = (response.headers.get(name) for name in ("Content-Range", "Content-Length"))
            if response.status_code == _UNSATISFIABLE:  # nothing is there, and the size is stated
                total = (stated or "").rpartition("/")[2]
                yield ByteStream(start, int(total) if total.isdigit() else 0, "", iter(()))
                return
            pieces = response.iter_raw(PIECE)
            yield answered(start, stated, None if length is None else int(length), _tag(response), pieces)

    def entry(self, path: str) -> StoredEntry:
        """What is stored there."""
        there = hub_address(path)
        if there.kind == "bucket":
            return super().entry(path)
        if not there.path:
            self._commit(there)
            return StoredEntry(folder=True)
        wanted = {"paths": [there.path], "expand": False}
        found = self._asked("POST", self._api(there, "paths-info", there.revision or MAIN), data=wanted)
        if not found:
            raise FileNotFoundError(path)
        if found[0]["type"] != "file":
            return StoredEntry(folder=True)
        large = found[0].get("lfs") or {}
        return StoredEntry(folder=False, size=found[0]["size"], version=large.get("oid", found[0]["oid"]))

    def children(self, path: str) -> list[str]:
        """Names in a folder."""
        there = hub_address(path)
        if there.kind == "bucket":
            return super().children(path)
        return [one.path.rpartition("/")[2] for one in self._listed(there, recursive=False)]

    def find(self, path: str, closed: Closed) -> list[str]:
        """Files below a folder."""
        there = hub_address(path)
        if there.kind == "bucket":
            return super().find(path, closed)
        above = f"{there.path}/" if there.path else ""
        return [
            one.path.removeprefix(above)
            for one in self._listed(there, recursive=True)
            if hasattr(one, "blob_id")  # which folders have none of
        ]

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, in a commit of its own."""
        self._forget()
        super().write(path, data)

    def upload(self, path: str, source: Path) -> None:
        """Put a local file there, in a commit of its own."""
        self._forget()
        super().upload(path, source)

    def remove(self, path: str) -> None:
        """Take it away, in a commit of its own."""
        self._forget()
        super().remove(path)

    def makedirs(self, path: str) -> None:
        """Nothing: git has no empty folders."""

    def _forget(self) -> None:
        client(self._token)  # says so where nothing may be requested
        self._files.invalidate_cache()

    def _commit(self, there: HubAddress) -> str:
        api = client(self._token)
        found: Any = api.repo_info(
            there.name, revision=there.revision, repo_type=there.kind, timeout=self._silence
        )
        return str(found.sha)

    def _listed(self, there: HubAddress, *, recursive: bool) -> list[Any]:
        tree = client(self._token).list_repo_tree(
            there.name, there.path or None, recursive=recursive, revision=there.revision, repo_type=there.kind
        )
        return [*tree]

    def _api(self, there: HubAddress, what: str, revision: str) -> str:
        api = f"{client(self._token).endpoint}/api/{there.kind}s/{there.name}"
        return f"{api}/{what}/{quote(revision, safe='')}"

    def _asked(self, method: str, url: str, **content: Any) -> Any:
        utils = utilities()
        response = utils.get_session().request(
            method, url, headers=self._headers({}), timeout=self._timeout(), **content
        )
        utils.hf_raise_for_status(response)
        return response.json()

    @contextlib.contextmanager
    def _streamed(self, there: HubAddress, headers: Mapping[str, str]) -> Iterator[Any]:
        utils = utilities()
        api = client(self._token)
        url = package().hf_hub_url(
            there.name, there.path, repo_type=there.kind, revision=there.revision, endpoint=api.endpoint
        )
        # Redirected to another host, the session sends no token along.
        with utils.get_session().stream(
            "GET", url, headers=self._headers(headers), timeout=self._timeout()
        ) as response:
            if response.status_code != _UNSATISFIABLE:
                if response.status_code >= 400:
                    response.read()
                utils.hf_raise_for_status(response)
            yield response

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**utilities().build_hf_headers(token=self._token, library_name="thalweg"), **more}

    def _timeout(self) -> Any:
        import httpx2

        return httpx2.Timeout(self._silence, connect=min(_CONNECT, self._silence))


def _tag(response: Any) -> str:
    """The digest of the file that is answered with: of a large one, its redirect states it."""
    answers = [*response.history, response]
    stated = next((one.headers[name] for name in ("X-Linked-Etag", "ETag") for one in answers
                   if one.headers.get(name)), "")  # fmt: skip
    return str(stated).removeprefix("W/").strip('"')
