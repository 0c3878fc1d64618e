"""As much of a Weights & Biases server as a run talks to, on loopback."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer:
    """The server; a context manager.

    Attributes:
        history: of each run by its id, the lines of its history in the order of their numbers.
        created: ids of runs that were begun, once for each time.
        finished: ids of runs whose end was stated.
        keys: what clients authenticated by.
        arrived: set whenever a line of history came.
    """

    def __init__(self, port: int = 0) -> None:
        self.history: dict[str, dict[int, dict[str, Any]]] = {}
        self.created: list[str] = []
        self.finished: list[str] = []
        self.keys: set[str] = set()
        self.arrived = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "WandbServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, run: str) -> dict[str, Any] | None:
        """What is known of a run."""
        if run not in self.history:
            return None
        lines = self.history[run]
        tail = [json.dumps(lines[max(lines)])] if lines else []
        return {
            "id": f"id-{run}",
            "name": run,
            "displayName": run,
            "description": None,
            "sweepName": None,
            "config": "{}",
            "summaryMetrics": "{}",
            "logLineCount": 0,
            "historyLineCount": len(lines),
            "eventsLineCount": 0,
            "historyTail": json.dumps(tail),
            "eventsTail": "[]",
            "tags": [],
            "notes": None,
            "wandbConfig": '{"t": 1}',
            "project": {"id": "p", "name": "thalweg", "entity": {"id": "e", "name": "me"}},
        }

    def answer(self, query: str, given: dict[str, Any], url: str) -> dict[str, Any]:
        """The data of a query."""
        if "upsertBucket" in query:
            run, new = given["name"], given["name"] not in self.history
            self.created.append(run)
            self.history.setdefault(run, {})
            return {"upsertBucket": {"bucket": self.bucket(run), "inserted": new}}
        if "RunResumeStatus" in query:
            entity = {"id": "e", "name": "me"}
            return {
                "model": {
                    "id": "p",
                    "name": "thalweg",
                    "entity": entity,
                    "bucket": self.bucket(given["name"]),
                }
            }
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{url}/upload/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if "viewer" in query:
            return {
                "viewer": {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
            }
        return {}

    def take(self, run: str, body: dict[str, Any]) -> None:
        """Lines of a run's files."""
        part = (body.get("files") or {}).get("wandb-history.jsonl")
        if part:
            for offset, line in enumerate(part["content"]):
                self.history.setdefault(run, {})[part["offset"] + offset] = json.loads(line)
            self.arrived.set()
        if body.get("complete"):
            self.finished.append(run)


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _answered(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            server.keys.add(self.headers.get("Authorization", ""))
            found: dict[str, Any] = {}
            if self.path == "/graphql":
                asked = json.loads(body)
                found = {"data": server.answer(asked["query"], asked.get("variables") or {}, server.url)}
            elif self.path.endswith("/file_stream"):
                server.take(self.path.split("/")[-2], json.loads(body))
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answered  # noqa: N815 - http.server's names

    return Handler
