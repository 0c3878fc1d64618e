"""``thalweg push``: a saved network, with its card and passports, to the Hugging Face Hub."""

import sys
from typing import Any

import attrs
import click

from thalweg.cli import console, options
from thalweg.cli.local import Place
from thalweg.visible import columns


@click.command("push")
@click.argument("model", type=Place())
@click.argument("target", metavar="hf://OWNER/NAME[@BRANCH]")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made.")
@options.average
@click.option("--license", metavar="NAME", help="Licence that the card states, such as apache-2.0.")
@options.passports
@click.option("--no-card", is_flag=True, help="Leave README.md of the repository as it is.")
@click.option("--message", metavar="TEXT", help="Message of the commit.")
@options.dry_run
@options.as_json
def command(model: str, target: str, no_card: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Push MODEL, a run, one of its checkpoints or a saved network, to a repository of the Hugging Face Hub.

    The repository, and a branch, is made if it is missing. One commit holds model.json and model.safetensors,
    the run's config.toml and metrics, the passports of these weights that are in the run, and README.md, the
    card, which is written from them. What a former push had put there and this one has not is removed. No
    training state, path of this machine or credential is sent.

    Afterwards 'thalweg sample hf://OWNER/NAME OUT', thalweg.load('hf://OWNER/NAME') and
    FlowNetwork.from_pretrained('OWNER/NAME') read it. Set HF_TOKEN to a token that may write, or log in by
    'hf auth login'.
    """
    from thalweg.hub.pushing import push
    from thalweg.hub.target import target_of

    target_of(target)
    bars = sys.stderr is not None and sys.stderr.isatty()
    found = push(model, target, with_card=not no_card, dry_run=dry_run, bars=bars, say=console.say, **given)
    if as_json:
        console.result_json({**attrs.asdict(found), "dry_run": dry_run})
        return
    rows = [(name, f"{size:,} bytes") for name, size in found.files.items()]
    rows += [(name, "removed") for name in found.removed]
    console.result(columns(rows, ("file", "would be sent" if dry_run else "sent")))
    if dry_run:
        made = ", which would be made" if found.created else ""
        console.say(f"nothing was sent to {found.url}{made}")
        return
    console.result(f"{found.url}: {found.page}")
