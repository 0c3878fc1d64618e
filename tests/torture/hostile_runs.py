"""A stranger's run: data sets, protocols and options that its config names; sizes that its model names."""

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from thalweg.documents import DIGEST, digest_of
from torture.hostile import CANARY, EVALUATE, SAMPLE, SHOW, TRAIN, Trial, quiet_port

SECRET = "torture-secret-4711"
_READS = (SAMPLE, SHOW, EVALUATE)


def data_of_run(table: str) -> Callable[[Path, Path], None]:
    """A run whose config names this data set; VICTIM and CANARY are filled in."""

    def prepare(folder: Path, victim: Path) -> None:
        path = folder / "run" / "config.toml"
        text = path.read_text()
        start, stop = text.index("[data]"), text.index("[backbone]")
        filled = table.replace("VICTIM", str(victim)).replace("CANARY", f"{victim}/{CANARY}")
        text = f"{text[:start]}{filled}\n\n{text[stop:].rpartition('# sha256')[0]}"
        # A stranger writes the digest too.
        digest = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(f'{text}# sha256 = "{digest}"\n')
        # The data set is needed where the run's own statistics are gone.
        (folder / "run" / "passport.json").unlink()

    return prepare


def _images(url: str, options: str, source: str = "folder") -> str:
    return (
        '[data]\ntype = "images"\nsize = 8\nchannels = 1\n\n'
        f'[data.source]\ntype = "{source}"\nurl = "{url}"\n'
        f"storage_options = {{ {options} }}"
    )


_COMMAND = "touch CANARY"
URLS = {
    "zip that cuts a file": ("zip://x", 'fo = "VICTIM/file", mode = "w"'),
    "zip that makes a file": ("zip://x", 'fo = "CANARY", mode = "w"'),
    "zip appending": ("zip://x", 'fo = "VICTIM/file", mode = "a"'),
    "tar that cuts a file": ("tar://x", 'fo = "VICTIM/file", mode = "w"'),
    "zip chained to a file": ("zip://x::file://VICTIM/file", 'mode = "w"'),
    "cache into a folder": (
        "simplecache://x",
        'target_protocol = "file", cache_storage = "VICTIM", same_names = true',
    ),
    "filecache into a folder": (
        "filecache://VICTIM/deep",
        'target_protocol = "file", cache_storage = "VICTIM"',
    ),
    "cache chained": ("simplecache::file://VICTIM/deep", 'simplecache = { cache_storage = "VICTIM" }'),
    "blockcache": ("blockcache::file://VICTIM/deep", 'blockcache = { cache_storage = "VICTIM" }'),
    "reference with a template": (
        "reference://x",
        'fo = "VICTIM/refs.json", target_protocol = "file"',
    ),
    "dir over the root": ("dir://x", 'path = "VICTIM", target_protocol = "file"'),
    "dir chained": ("dir::file://VICTIM/deep", ""),
    "auto_mkdir": ("file://VICTIM/new/deeper", "auto_mkdir = true"),
    "local alias": ("local://VICTIM/new", "auto_mkdir = true"),
    "sftp with a command": ("sftp://127.0.0.1/x", f'sock = "{_COMMAND}", key_filename = "VICTIM/file"'),
    "ssh with a proxy": ("ssh://127.0.0.1/x", f'proxy_command = "{_COMMAND}"'),
    "git": ("git://x", 'path = "VICTIM", repo_url = "ext::sh -c touch% CANARY"'),
    "github": ("github://a:b@main/x", ""),
    "ftp": ("ftp://127.0.0.1/x", ""),
    "smb": ("smb://127.0.0.1/x", ""),
    "hdfs": ("hdfs://127.0.0.1/x", f'extra_conf = {{ command = "{_COMMAND}" }}'),
    "arrow": ("arrow_hdfs://127.0.0.1/x", ""),
    "jupyter": ("jupyter://127.0.0.1/x", ""),
    "lakefs": ("lakefs://x", ""),
    "data in the URL": ("data:image/png;base64,AAAA", ""),
    "libarchive": ("libarchive://x", 'fo = "VICTIM/file"'),
    "generic": (
        "generic://x",
        'default_method = "options", storage_options = { file = { auto_mkdir = true } }',
    ),
    "an unknown protocol": ("nosuch://x", ""),
    "asyncwrapper": ("async_wrapper://x", ""),
    "http with a proxy command": ("http://127.0.0.1:9/x", 'get_client = "os:system"'),
    "s3 with a credential process": (
        "s3://bucket/x",
        f'profile = "evil", config_kwargs = {{ credential_process = "{_COMMAND}" }}, endpoint_url = "http://127.0.0.1:9"',
    ),
    "a fifo": ("VICTIM/fifo", ""),
    "a device": ("/dev/zero", ""),
    "an escape": ("no\\u001b[31mwhere\\u0007\\nnew line", ""),
    "the whole disk": ("/proc/self", ""),
}


def _reference_file(prepare: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def both(folder: Path, victim: Path) -> None:
        prepare(folder, victim)
        template = "{{ cycler.__init__.__globals__.os.system('touch " + f"{victim}/{CANARY}" + "') }}"
        (victim / "refs.json").write_text(
            json.dumps(
                {"version": 1, "templates": {"u": template}, "gen": [], "refs": {"a": ["{{u}}", 0, 1]}}
            )
        )

    return both


def model_of_run(change: Callable[[dict[str, Any]], object]) -> Callable[[Path, Path], None]:
    """A run whose model.json, of the model and of its checkpoints, says something else."""

    def prepare(folder: Path, _: Path) -> None:
        for path in [*folder.glob("run/**/model.json")]:
            data = json.loads(path.read_text())
            sealed = data.pop(DIGEST, None) is not None
            change(data)
            path.write_text(json.dumps({**data, DIGEST: digest_of(data)} if sealed else data))

    return prepare


def _part(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


def _composed(*keys: str) -> tuple[str, ...]:
    return ("composition", *keys)


MODELS = {
    **{
        f"depth {size:,}": _part(*_composed("backbone", "depth"), value=size)
        for size in (10**6, 10**9, 10**30)
    },
    **{
        f"width {size:,}": _part(*_composed("backbone", "width"), value=size)
        for size in (10**6, 10**9, 10**30)
    },
    **{
        f"branches {size:,}": _part(*_composed("branches"), value=size)
        for size in (10**4, 10**6, 10**9, 10**30)
    },
    **{f"classes {size:,}": _part("facts", "classes", value=size) for size in (10**9, 10**12, 10**30)},
    "a large shape": _part("facts", "shape", value=[1, 10**5, 10**5]),
    "a huge shape": _part("facts", "shape", value=[10**9, 10**9, 10**9]),
    "a negative shape": _part("facts", "shape", value=[1, -8, 8]),
    "a shape of text": _part("facts", "shape", value=["a", None, {}]),
    "large texts": _part("facts", "text", value=[10**9, 10**9]),
    "heads 0": _part(*_composed("backbone", "heads"), value=0),
    "patch 0": _part(*_composed("backbone", "patch"), value=0),
    "many channels": _part(*_composed("refiner", "channels"), value=[10**6] * 1000),
    "many layers": _part(*_composed("refiner", "channels"), value=[16] * 10**6),
    "a module as type": _part(*_composed("backbone", "type"), value="os:system"),
    "a path as type": _part(*_composed("backbone", "type"), value="../../VICTIM/file"),
    "a type with escapes": _part(*_composed("backbone", "type"), value="\x1b[31mred\x07\nline"),
    "a list as composition": _part("composition", value=[1, 2]),
    "null facts": _part("facts", value=None),
    "another format": _part("format", value=10**30),
    "depth as text": _part(*_composed("backbone", "depth"), value="9" * 10**5),
    "depth true": _part(*_composed("backbone", "depth"), value=True),
    "depth negative": _part(*_composed("backbone", "depth"), value=-1),
    "depth a fraction": _part(*_composed("backbone", "depth"), value=1.5),
}


class _Heard:
    """A server that notes the headers of all requests."""

    def __init__(self, redirect: str = "") -> None:
        self.headers: list[str] = []
        heard = self.headers

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(f"{self.path} {self.headers}")
                self.send_response(302 if redirect else 404)
                if redirect:
                    self.send_header("Location", redirect)
                self.end_headers()

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def said(self) -> str:
        """What was heard of the secret."""
        hits = [one for one in self.headers if SECRET in one]
        return f"the secret was sent: {hits[0][:300]}" if hits else ""


def _sent(name: str, redirects: bool) -> Trial:
    """A run that names a host of its own; the environment holds a secret for hosts of the user."""
    servers: list[_Heard] = []

    def prepare(folder: Path, victim: Path) -> None:
        stranger = _Heard()
        servers[:] = [stranger]
        address = f"http://127.0.0.1:{stranger.port}/x"
        if redirects:
            friend = _Heard(redirect=address.replace("127.0.0.1", "localhost"))
            servers.append(friend)
            address = f"http://127.0.0.1:{friend.port}/x"
        data_of_run(_images(address, "", "idx"))(folder, victim)

    def afterwards(_: Path) -> str:
        return servers[0].said()

    options = json.dumps({"http": {"headers": {"Authorization": f"Bearer {SECRET}"}}})
    return Trial(
        name,
        prepare,
        (SAMPLE, EVALUATE),
        environment={"THALWEG_STORAGE_OPTIONS": options},
        afterwards=afterwards,
        seconds=40,
    )


def trials(_: int) -> list[Trial]:
    """All of them."""
    made = []
    for name, (url, options) in URLS.items():
        for source in ("folder", "tar"):
            told = options.replace("127.0.0.1:9", f"127.0.0.1:{quiet_port()}")
            prepare = data_of_run(_images(url.replace(":9/", f":{quiet_port()}/"), told, source))
            if "reference" in name:
                prepare = _reference_file(prepare)
            commands = _READS if source == "folder" else (EVALUATE,)
            made.append(Trial(f"run's data, {source}, {name}", prepare, commands, seconds=40))
    shards = '[data]\ntype = "shards"\nurl = "zip://x"\nstorage_options = { fo = "VICTIM/file", mode = "w" }'
    made.append(Trial("run's data, shards in a zip", data_of_run(shards), _READS))
    weights = (
        '[data]\ntype = "shards"\nurl = "shards"\nautoencoder = { type = "sd-vae", weights = "zip://x", '
        'storage_options = { fo = "VICTIM/file", mode = "w" } }'
    )
    made.append(Trial("run's autoencoder in a zip", data_of_run(weights), _READS))
    made += [
        Trial(f"model.json, {name}", model_of_run(change), (SAMPLE, TRAIN), refused=False)
        for name, change in MODELS.items()
    ]
    made += [_sent("secrets to a stranger's host", False), _sent("secrets over a redirect", True)]
    return made
