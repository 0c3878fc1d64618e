"""Sending a saved network to the Hugging Face Hub."""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from thalweg.arguments import check_path
from thalweg.hub.card import card
from thalweg.hub.clean import check_clean
from thalweg.hub.content import METRICS, Content, content_of
from thalweg.hub.passports import FOLDER
from thalweg.hub.target import Pushed, Target, target_of
from thalweg.network import FlowNetwork
from thalweg.saved_network import save
from thalweg.storage.hub.client import Token, package, register_token, utilities
from thalweg.storage.offline import offline
from thalweg.storage.options import options_for

CARD = "README.md"
_OURS = ("config.toml", METRICS)


def push(
    place: str | Path,
    url: str,
    *,
    private: bool = False,
    average: str | None = None,
    license: str | None = None,
    passports: Iterable[str | Path] = (),
    with_card: bool = True,
    message: str | None = None,
    token: Token = None,
    dry_run: bool = False,
    bars: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Send a saved network to a repository, which is made if it is missing, in one commit.

    What is sent: ``model.json`` and ``model.safetensors``, the run's configuration and metrics, passports of
    these weights, and a card. Never a training state, a path of this machine or a credential.

    Args:
        place: a run, its model or one of its checkpoints, or a saved network: a path or URL.
        url: ``hf://owner/name``, or ``hf://owner/name@branch``; a missing branch is made from the main one.
        private: make the repository private.
        average: the average whose weights are meant; the main one by default.
        license: under which it is published, as the Hub calls it, such as ``apache-2.0``.
        passports: files with more numbers of these weights than those in the run.
        with_card: whether the card is written; else README.md stays as it is.
        message: of the commit.
        token: of the user; by default that of ``THALWEG_STORAGE_OPTIONS``, else the one that the user is
            logged in with.
        dry_run: only say what would be sent. Where requests are ruled out (``THALWEG_OFFLINE``), the Hub is
            not asked whether it would take it.
        bars: whether huggingface_hub shows bars of what it uploads, on stderr.
        say: is told what is left out.

    Raises:
        ConfigError: the URL names no branch of a repository; the network needs what a repository cannot hold;
            or huggingface_hub is not installed.
        DataError: there is no network, a passport is of another one, nobody is logged in, the token may not
            write there, or the Hub cannot be reached. Then there is no commit.
    """
    check_path("place", place, "a run, a checkpoint or a saved network")
    address = target_of(url)
    package()
    if token is None:
        token = options_for("hf", address.name.partition("/")[0], {}, {}).get("token")
    register_token(token)
    with tempfile.TemporaryDirectory() as work:
        content = content_of(place, Path(work), average=average, passports=passports, say=say)
        if with_card:
            text = card(content, str(address), license).encode()
            check_clean(CARD, text)
            content.files[CARD] = text
        sizes = _sizes(content)
        if dry_run and offline():
            return Pushed(str(address), "", "", False, sizes)
        target = Target(address, token)
        removed = tuple(
            one
            for one in target.files
            if (one in _OURS or one.startswith(f"{FOLDER}/")) and one not in content.files
        )
        if dry_run:
            return Pushed(str(address), "", "", not target.exists, sizes, removed)
        created = not target.exists
        with _quiet(bars):
            target.prepare(private=private)
            commit, page = target.commit(content.files, removed, message or f"Push {Path(place).name}")
    return Pushed(str(address), page, commit, created, sizes, removed)


def push_network(network: FlowNetwork, url: str, **options: Any) -> Pushed:
    """Send a network as it is in memory; ``options`` are those of :func:`push`.

    Raises:
        ConfigError: as :func:`push`.
        DataError: as :func:`push`.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        more: dict[str, Any] = {"sampling": dict(network.sampling)} if network.sampling else {}
        save(place, network, **more)
        return push(place, url, **{"message": f"Push {type(network).__name__}", **options})


def _sizes(content: Content) -> dict[str, int]:
    return {
        name: len(one) if isinstance(one, bytes) else one.stat().st_size
        for name, one in sorted(content.files.items())
    }


def _quiet(bars: bool) -> Any:
    return nullcontext() if bars else utilities().disable_progress_bars()
