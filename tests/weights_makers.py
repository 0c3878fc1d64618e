"""Published weights to fetch: a web server that knows ranges and ETags, and a plugin file with a table."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fault_server import FaultServer
from plugin_makers import plugins_of_one_test
from thalweg.storage import retrying
from thalweg.weights import here

PLUGIN = """
from pathlib import Path

import thalweg


@thalweg.hookimpl
def thalweg_weights(add):
    add(Path(__file__).with_name("{table}"))
"""


class Publisher:
    """A server of files, behind a proxy that spoils answers.

    Attributes:
        files: content by path.
        tags: ETags by path, by default one of the content; empty for no such header.
        ranges: whether ranges are answered.
        gate: a body is held back until it is set.
        proxy: where requests are noted and spoilt.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.ranges = True
        self.gate = threading.Event()
        self.gate.set()
        self.headers: list[Mapping[str, str]] = []
        self.proxy: FaultServer

    @property
    def url(self) -> str:
        """Where it is."""
        return self.proxy.url

    def bodies(self, path: str) -> list[str | None]:
        """Ranges of the requests for more than a file's first byte, in their order."""
        return [one.range for one in self.proxy.requests if path in one.path and one.range != "bytes=0-0"]


@contextlib.contextmanager
def publishing() -> Iterator[Publisher]:
    """A server on loopback."""
    publisher = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            publisher.headers.append(dict(self.headers))
            content = publisher.files.get(path)
            if content is None:
                self.send_error(404)
                return
            tag = publisher.tags.get(path, f'"{hashlib.md5(content).hexdigest()}"')
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start, stop = 0, len(content)
            if asked and publisher.ranges:
                start, stop = int(asked[1]), min(int(asked[2] or len(content) - 1) + 1, len(content))
            if stop - start > 1:
                publisher.gate.wait(30)
            self.send_response(206 if asked and publisher.ranges else 200)
            if asked and publisher.ranges:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
            if tag:
                self.send_header("ETag", tag)
            self.send_header("Content-Length", str(stop - start))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content[start:stop])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        with FaultServer(server.server_port) as publisher.proxy:
            yield publisher
    finally:
        publisher.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def weights_of_one_test(folder: Path, monkeypatch: Any) -> Iterator[Path]:
    """Where weights go, below a folder; with plugins and memories of one test, and no waiting."""
    monkeypatch.setenv("THALWEG_WEIGHTS", str(folder / "weights"))
    for name in ("THALWEG_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(retrying, "sleep", lambda _: None)
    monkeypatch.setattr(here, "_sums", {})
    with plugins_of_one_test():
        yield folder / "weights"


def entry(publisher: Publisher, name: str, files: Mapping[str, bytes], **of_file: Any) -> dict[str, Any]:
    """An entry of a table, whose files the server offers.

    Args:
        publisher: the server.
        name: of the entry.
        files: content by name.
        of_file: more that is said of each file.
    """
    publisher.files |= {f"/{name}/{file}": content for file, content in files.items()}
    return {
        "what": f"the weights {name}",
        "licence": "Apache-2.0",
        "source": "https://example.org/weights",
        "files": [{"name": file, "urls": [f"{publisher.url}/{name}/{file}"], **of_file} for file in files],
    }


def plugin_file(folder: Path, table: Mapping[str, Any], name: str = "zoo") -> Path:
    """A plugin file whose table stands beside it."""
    (folder / f"{name}.toml").write_text(_toml(table))
    path = folder / f"{name}.py"
    path.write_text(PLUGIN.format(table=f"{name}.toml"))
    return path


def sha256(content: bytes) -> str:
    """Of a content."""
    return hashlib.sha256(content).hexdigest()


def _toml(table: Mapping[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(json.loads(json.dumps(table)))
