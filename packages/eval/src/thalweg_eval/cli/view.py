"""``thalweg view``: a page in the browser on which a trained network is sampled."""

import importlib.util
import os
import threading

import click

from thalweg.cli import console, options, starting
from thalweg.cli.local import Place
from thalweg.errors import PluginError
from thalweg.storage import redacted


@click.command("view")
@click.argument("model", type=Place(), metavar="RUN|MODEL")
@options.settings
@click.option(
    "--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0 for any that is free."
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Of this machine; by another than the default, others reach the page.",
)
@click.option("--no-open", is_flag=True, help="Open no browser.")
@options.device
def command(model: str, settings: tuple[str, ...], port: int, host: str, no_open: bool, device: str) -> None:
    """Serve a page on which RUN or MODEL is sampled, with its EMA weights, until Ctrl-C.

    Guidance, its scale and interval, sampler, steps, seed and classes or a caption are chosen on the page,
    which begins with the run's [sampling]. It says what the images cost, and with which command line
    thalweg sample gives the same ones; a picture can be held beside the next. KEY=VALUE are settings of
    thalweg sample that hold throughout, such as autoencoder=sd-vae. Nothing is loaded from other hosts, and
    nothing is sent to any.

    Needs the extra view: pip install 'thalweg-eval[view]'.
    """
    if importlib.util.find_spec("gradio") is None:
        raise PluginError("'thalweg view' needs the package gradio: pip install 'thalweg-eval[view]'")
    from thalweg_eval.view.page import page
    from thalweg_eval.view.serving import is_here_alone, listening, opened_in_browser, served

    with listening(host, port) as where:
        from thalweg_eval.view.network import ViewedNetwork

        viewed = ViewedNetwork(model, settings, device, console.say)
        if not is_here_alone(host):
            console.warn(f"whoever reaches {host} can use the page; there is no password")
        with served(page(viewed, redacted(model)), where, host) as address:
            console.result(f"{address} shows {redacted(model)}; Ctrl-C ends it")
            console.flush()
            if not no_open and not opened_in_browser(address):
                console.say("no browser can be opened here; open the address in one")
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                console.say("ended")
    if viewed.is_drawing and starting.is_program():
        # A thread that computes would be waited for, however long it takes.
        console.flush()
        os._exit(0)
