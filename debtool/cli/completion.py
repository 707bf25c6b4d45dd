"""``debtool completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Examples:
      debtool completion bash > ~/.local/share/bash-completion/completions/debtool
      debtool completion zsh > ~/.zfunc/_debtool
      debtool completion fish > ~/.config/fish/completions/debtool.fish
    """
    from debtool.cli.main import debtool

    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(script(debtool, {}, "debtool", "_DEBTOOL_COMPLETE").source())
