"""The server of the page: on this machine alone unless told otherwise, and nothing from anywhere else."""

import contextlib
import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from typing import Any

from thalweg.errors import ConfigError
from thalweg.suggestions import one_line
from thalweg_eval.view.page import CSS, gradio, theme

# A browser then refuses whatever is of another host, whatever the page asks for.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_PATIENCE = 30.0  # seconds until a server that does not begin is given up
_GRACE = 2  # seconds for what browsers still load when it ends


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens, so that nobody else has the port.

    Args:
        host: an address of this machine, or a name of one.
        port: 0 for any that is free.

    Raises:
        ConfigError: the port is taken, or the address is none of this machine.
    """
    try:
        kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(
            f"--host {host} is no address ({one_line(error)}); give one of this machine"
        ) from error
    found = socket.socket(kind, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError as error:
        found.close()
        raise ConfigError(
            f"port {port} of {host} cannot be used ({one_line(error)}); give another by --port, or --port 0 "
            "for any that is free"
        ) from error
    return found


@contextlib.contextmanager
def served(blocks: Any, where: socket.socket, host: str) -> Iterator[str]:
    """Serve a page from a thread for as long as the context lasts.

    Args:
        blocks: of gradio.
        where: a socket that listens.
        host: under which it was made.

    Yields:
        The page's address.

    Raises:
        ConfigError: it does not begin.
    """
    import uvicorn

    port = where.getsockname()[1]
    config = uvicorn.Config(
        _application(blocks, host, port), log_level="critical", access_log=False, lifespan="on",
        timeout_graceful_shutdown=_GRACE,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [where]}, name="view", daemon=True)
    thread.start()
    try:
        waited = 0.0
        while not server.started:
            thread.join(0.05)
            waited += 0.05
            if not thread.is_alive() or waited > _PATIENCE:
                raise ConfigError(f"the page cannot be served on port {port}; give another by --port")
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    finally:
        server.should_exit = True
        thread.join(_GRACE + 3)
        where.close()


def opened_in_browser(address: str) -> bool:
    """Open the page in a browser of this machine's screen; whether there is one."""
    screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    try:
        # Without a screen, what is found is a browser of the terminal, which would take it over.
        return screen and webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False


def is_here_alone(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _application(blocks: Any, host: str, port: int) -> Any:
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = gradio().mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None), blocks, "/",
        server_name=host, server_port=port, footer_links=[], run_history=False, ssr_mode=False, pwa=False,
        enable_monitoring=False, mcp_server=False, show_error=True, theme=theme(), css_paths=[CSS],
    )  # fmt: skip
    app.add_middleware(_WithHeaders)
    if is_here_alone(host):
        # A page of elsewhere whose name was led to this machine is not answered.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", host])
    return app


class _WithHeaders:
    """Adds headers to every answer."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, sent)
