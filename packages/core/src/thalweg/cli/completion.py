"""``thalweg completion``: what a shell reads to complete commands and options."""

import click
from click.shell_completion import get_completion_class

from thalweg.cli import console
from thalweg.errors import ConfigError

VARIABLE = "_THALWEG_COMPLETE"
"""Set by the shell's script when it asks for completions; click answers it."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes thalweg's commands and options in a SHELL.

    For bash, put `eval "$(thalweg completion bash)"` into ~/.bashrc; for zsh the same with zsh into ~/.zshrc;
    for fish, `thalweg completion fish > ~/.config/fish/completions/thalweg.fish`.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigError(f"click knows no completion for {shell}; upgrade click")
    console.result(kind(ctx.find_root().command, {}, "thalweg", VARIABLE).source().rstrip())
