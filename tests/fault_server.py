"""A proxy on loopback that stands before a server and spoils answers, and an S3 server to stand before."""

import contextlib
import http.client
import logging
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import attrs

from thalweg.storage.stores import filesystems

_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@attrs.define
class Fault:
    """What befalls the next requests that match.

    Attributes:
        mode: a status that is answered instead (400 and above); ``silent``: no answer; ``stall``: half of
            the body and then nothing; ``cut``: half of the body, then the connection closes; ``shifted``:
            another range than asked for, truly stated; ``whole``: the range is ignored.
        times: how many requests; -1 for all.
        path: what the path must contain.
        method: what the method must be.
        after: called once the spoilt answer is out, such as to replace the object.
    """

    mode: int | Literal["silent", "stall", "cut", "shifted", "whole"]
    times: int = 1
    path: str = ""
    method: str = "GET"
    after: Callable[[], object] | None = None


@attrs.frozen
class Request:
    """A request that came."""

    method: str
    path: str
    range: str | None


class FaultServer:
    """The proxy; a context manager.

    Attributes:
        requests: all that came, in order.
    """

    def __init__(self, upstream: int) -> None:
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self, upstream))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "FaultServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def spoil(self, *faults: Fault) -> None:
        """Forget requests and faults, and spoil what comes."""
        with self._lock:
            self.requests.clear()
            self._faults = list(faults)

    def count(self, path: str = "", method: str = "GET") -> int:
        """Requests that came since the last :meth:`spoil`."""
        return sum(path in one.path and one.method == method for one in self.requests)

    def wait(self) -> None:
        """Until the server is shut down, for no longer than a test takes."""
        self._closing.wait(20)

    def arrived(self, request: Request) -> Fault | None:
        """Note a request, and say what befalls it."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.times and fault.path in request.path and fault.method == request.method:
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that go away are part of the game."""


def _handler(proxy: FaultServer, upstream: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            asked = self.headers.get("Range")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.arrived(Request(self.command, self.path, asked))
            mode = fault.mode if fault else None
            if mode == "silent":
                proxy.wait()
                self.close_connection = True
                return
            if isinstance(mode, int):
                self._send(mode, {}, b"")
            else:
                self._forward(mode, asked, body)
            if fault and fault.after:
                fault.after()

        def _forward(self, mode: str | None, asked: str | None, body: bytes) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            if mode == "whole":
                headers.pop("Range", None)
            elif mode == "shifted":
                first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
                headers["Range"] = f"bytes={int(first) + 7}-{last}"
            connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=20)
            with contextlib.closing(connection):
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            if mode not in ("cut", "stall"):
                self._send(answer.status, kept, content)
                return
            self._send(answer.status, kept, content[: len(content) // 2], len(content))
            if mode == "stall":
                proxy.wait()
            self.close_connection = True

        def _send(self, status: int, headers: dict[str, str], sent: bytes, length: int | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            stated = len(sent) if length is None else length
            if self.command == "HEAD":
                stated = int(headers.get("Content-Length", headers.get("content-length", 0)))
            self.send_header("Content-Length", str(stated))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)
                self.wfile.flush()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

    return Handler


@contextlib.contextmanager
def s3_server():
    """An S3 server on loopback, by its port."""
    from moto.server import ThreadedMotoServer

    # What was opened with the same options may know another server, from the environment of then.
    filesystems._open.clear()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would tell of every request
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


def make_bucket(server: str, name: str = "") -> str:
    """A new bucket of the server at this URL, by its name."""
    name = name or f"bucket-{uuid.uuid4().hex[:12]}"
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=20)
    with contextlib.closing(connection):
        # Signed by nobody and checked by nobody.
        connection.request(
            "PUT",
            f"/{name}",
            headers={"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/us-east-1/s3/aws4_request"},
        )
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
    return name
