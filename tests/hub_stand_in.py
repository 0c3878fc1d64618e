"""A stand-in for the Hugging Face Hub on loopback: what huggingface_hub asks of it to create repositories,
commit, list and read. Accounts, permissions and errors are as there; nothing of it knows Thalweg."""

import base64
import contextlib
import hashlib
import json
import logging
import re
import threading
from urllib.parse import unquote

import attrs
from flask import Flask, Response, request
from werkzeug.serving import make_server

LARGE = (".safetensors", ".bin", ".png")
"""Files that are kept as LFS has them, as a new repository's .gitattributes says."""


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@attrs.define
class Account:
    name: str
    writes: tuple[str, ...]


@attrs.define
class Repository:
    private: bool = False
    gated: bool = False
    commits: dict = attrs.field(factory=dict)  # files by commit
    messages: list = attrs.field(factory=list)
    branches: dict = attrs.field(factory=dict)
    tags: dict = attrs.field(factory=dict)

    def commit(self, branch, files, message):
        text = repr((sorted(files.items()), message, len(self.commits)))
        oid = hashlib.sha1(text.encode()).hexdigest()
        self.commits[oid] = files
        self.branches[branch] = oid
        self.messages.append(message)
        return oid

    def oid(self, revision):
        revision = revision.removeprefix("refs/heads/")
        return (
            self.branches.get(revision) or self.tags.get(revision) or (revision in self.commits and revision)
        )


class RefusedError(Exception):
    def __init__(self, status, code="", message=""):
        self.answer = Response(
            json.dumps({"error": message or code}), status, content_type="application/json"
        )
        if code:
            self.answer.headers["X-Error-Code"] = code
        if message:
            self.answer.headers["X-Error-Message"] = message


class StandIn:
    """What is stored, and what was asked."""

    def __init__(self):
        self.accounts = {}
        self.repositories = {}
        self.large = {}  # by SHA-256
        self.requests = []
        self.faults = []  # (pattern of "METHOD path", what answers instead)
        self.port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def repository(self, name, files=None, **how):
        made = self.repositories[name] = Repository(**how)
        made.commit(
            "main", {".gitattributes": b"*.safetensors filter=lfs\n", **(files or {})}, "initial commit"
        )
        return made

    def files(self, name, revision="main"):
        repository = self.repositories[name]
        return repository.commits[repository.oid(revision)]

    def spoil(self, pattern, answer):
        self.faults.append((re.compile(pattern), answer))

    def answer(self):
        path = request.environ["REQUEST_URI"].partition("?")[0]
        path = path if path.startswith("/") else "/" + path.split("/", 3)[3]
        self.requests.append((request.method, path, request.headers.get("Authorization", "")))
        for pattern, answer in self.faults:
            if pattern.search(f"{request.method} {path}"):
                found = answer()
                if found is not None:
                    return found
        try:
            return self._answer([unquote(part) for part in path.strip("/").split("/")])
        except RefusedError as refused:
            return refused.answer

    def _account(self):
        stated = request.headers.get("Authorization", "")
        if not stated:
            return None
        account = self.accounts.get(stated.removeprefix("Bearer "))
        if account is None:
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        return account

    def _readable(self, name):
        account = self._account()
        repository = self.repositories.get(name)
        if repository is None or (repository.private and (account is None or not self._may(account, name))):
            raise RefusedError(401 if account is None else 404, "RepoNotFound", "Repository not found")
        if repository.gated and account is None:
            raise RefusedError(401, "GatedRepo", "Access to model is restricted")
        return repository

    def _writable(self, name):
        account = self._account()
        if account is None:
            raise RefusedError(401, "", "Invalid username or password.")
        repository = self._readable(name)
        if not self._may(account, name):
            raise RefusedError(403, "", f"You don't have the rights to write to {name}")
        return repository

    @staticmethod
    def _may(account, name):
        return name.partition("/")[0] in account.writes

    def _answer(self, parts):
        match parts:
            case ["cdn", oid]:
                assert not request.headers.get("Authorization"), "a token was sent to another host"
                return self._content(self.large[oid], oid)
            case ["lfs", oid]:
                content = request.get_data()
                assert sha256(content) == oid
                self.large[oid] = content
                return ""
            case ["api", "whoami-v2"]:
                account = self._account()
                if account is None:
                    raise RefusedError(401, "", "Invalid username or password.")
                return {"type": "user", "name": account.name, "orgs": []}
            case ["api", "validate-yaml"]:
                return {"errors": [], "warnings": []}
            case ["api", "repos", "create"]:
                return self._create(request.get_json())
            case ["api", "models", owner, name]:
                return self._info(f"{owner}/{name}", "main")
            case ["api", "models", owner, name, "revision", revision]:
                return self._info(f"{owner}/{name}", revision)
            case ["api", "models", owner, name, "refs"]:
                repository = self._readable(f"{owner}/{name}")
                return {
                    "branches": _refs("heads", repository.branches),
                    "tags": _refs("tags", repository.tags),
                    "converts": [],
                }
            case ["api", "models", owner, name, "paths-info", revision]:
                files = self._at(f"{owner}/{name}", revision)
                asked = request.form.getlist("paths")
                return [one for one in _tree(files, "", True) if one["path"] in asked]
            case ["api", "models", owner, name, "tree", revision, *path]:
                files = self._at(f"{owner}/{name}", revision)
                found = _tree(files, "/".join(path), request.args.get("recursive", "").lower() == "true")
                if path and not found:
                    raise RefusedError(404, "EntryNotFound", "no such path")
                return found
            case ["api", "models", owner, name, "branch", branch]:
                repository = self._writable(f"{owner}/{name}")
                if branch in repository.branches:
                    raise RefusedError(409, "", "Reference already exists")
                start = (request.get_json() or {}).get("startingPoint", "main")
                repository.branches[branch] = repository.oid(start)
                return {}
            case ["api", "models", owner, name, "preupload", revision]:
                files = self._at(f"{owner}/{name}", revision, self._writable)
                return {"files": [_mode(files, one["path"]) for one in request.get_json()["files"]]}
            case ["api", "models", owner, name, "commit", revision]:
                return self._commit(f"{owner}/{name}", revision)
            case [owner, git, "info", "lfs", "objects", "batch"]:
                self._writable(f"{owner}/{git.removesuffix('.git')}")
                return {
                    "transfer": "basic",
                    "objects": [self._upload(one) for one in request.get_json()["objects"]],
                }
            case [owner, name, "resolve", revision, *path]:
                return self._resolve(f"{owner}/{name}", revision, "/".join(path))
        raise RefusedError(404, "", f"no such address: {request.path}")

    def _at(self, name, revision, allowed=None):
        repository = (allowed or self._readable)(name)
        oid = repository.oid(revision)
        if not oid:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository.commits[oid]

    def _info(self, name, revision):
        self._at(name, revision)
        repository = self.repositories[name]
        return {"id": name, "sha": repository.oid(revision), "private": repository.private, "siblings": []}

    def _create(self, asked):
        account = self._account()
        if account is None:
            raise RefusedError(401, "", "Invalid username or password.")
        owner = asked["organization"] or account.name
        name = f"{owner}/{asked['name']}"
        if not self._may(account, name):
            raise RefusedError(
                403, "", f"You don't have the rights to create a model under the namespace {owner!r}"
            )
        if name in self.repositories:
            raise RefusedError(409, "", "You already created this model repo")
        self.repository(name, private=asked.get("visibility") == "private" or bool(asked.get("private")))
        return {"url": f"{self.url}/{name}"}

    def _upload(self, one):
        found = {"oid": one["oid"], "size": one["size"]}
        if one["oid"] in self.large:
            return found
        return {**found, "actions": {"upload": {"href": f"{self.url}/lfs/{one['oid']}", "header": {}}}}

    def _commit(self, name, revision):
        repository = self._writable(name)
        if revision not in repository.branches:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        lines = [json.loads(line) for line in request.get_data().splitlines()]
        header = next(one["value"] for one in lines if one["key"] == "header")
        parent = header.get("parentCommit")
        if parent and parent != repository.branches[revision]:
            raise RefusedError(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[repository.branches[revision]])
        for one in lines:
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            elif one["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.commit(revision, files, header["summary"])
        return {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/{name}/commit/{oid}"}

    def _resolve(self, name, revision, path):
        files = self._at(name, revision)
        if path not in files:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        content = files[path]
        if not path.endswith(LARGE):
            return self._content(content, blob(content))
        oid = sha256(content)
        self.large[oid] = content
        # To another host, as the Hub sends to where large files are.
        there = Response("", 302, {"Location": f"http://localhost:{self.port}/cdn/{oid}"})
        there.headers.update({"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content))})
        return there

    @staticmethod
    def _content(content, tag):
        answer = Response(content, 200, content_type="application/octet-stream")
        answer.headers["ETag"] = f'"{tag}"'
        return answer.make_conditional(request.environ, accept_ranges=True, complete_length=len(content))


def _refs(kind, found):
    return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid} for name, oid in found.items()]


def _tree(files, below, recursive):
    prefix = f"{below}/" if below else ""
    found, folders = [], set()
    for path, content in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        inner = path.removeprefix(prefix)
        parts = inner.split("/")
        folders |= {
            prefix + "/".join(parts[:depth])
            for depth in range(1, len(parts) if recursive else min(2, len(parts)))
        }
        if recursive or len(parts) == 1:
            large = {"lfs": {"oid": sha256(content), "size": len(content), "pointerSize": 130}}
            found.append(
                {
                    "type": "file", "path": path, "size": len(content), "oid": blob(content),
                    **(large if path.endswith(LARGE) else {}),
                }
            )  # fmt: skip
    return [
        *found,
        *({"type": "directory", "path": one, "size": 0, "oid": blob(one.encode())} for one in folders),
    ]


def _mode(files, path):
    large = path.endswith(LARGE)
    there = files.get(path)
    oid = None if there is None else (sha256(there) if large else blob(there))
    return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


@contextlib.contextmanager
def hub_stand_in():
    """The server, running."""
    stand_in, app = StandIn(), Flask("hub")
    app.add_url_rule("/", view_func=stand_in.answer, methods=["GET", "HEAD", "POST", "PUT"], defaults={})
    app.add_url_rule("/<path:_>", "any", lambda _: stand_in.answer(), methods=["GET", "HEAD", "POST", "PUT"])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    stand_in.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
