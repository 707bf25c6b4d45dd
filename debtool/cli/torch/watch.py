"""``debtool torch watch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from debtool.cli.context import pass_settings, target_option
from debtool.cli.torch.journals import journal_option

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.cli.context import Settings


@click.command()
@target_option
@journal_option
@click.option("--plain", is_flag=True, help="Print a line now and then, as without a terminal.")
@pass_settings
def watch(settings: Settings, target_name: str | None, journal: Path | None, plain: bool) -> None:
    """Follow a build that runs elsewhere: in another terminal, or on another machine over ssh.

    Ctrl-C ends the watch and not the build. A watch of a FILE that is not there yet waits for it. The watch ends with
    the build.

    \b
    Examples:
      debtool torch watch
      debtool torch watch --plain
      ssh -t macpro debtool torch watch
    """
    from debtool.cli.output import out
    from debtool.cli.torch.journals import builds
    from debtool.cli.torch.view import View

    view = View(journal or next(iter(builds(settings.cache, None, target_name))), plain=plain, console=out)
    try:
        view.follow(lambda: False)
    except KeyboardInterrupt:
        going = view.progress.runs and view.moment().status == "running"
        click.echo("the watch has ended" + ("; the build goes on" if going else ""), err=True)
