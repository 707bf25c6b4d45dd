"""``debtool init``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from debtool.cli.context import emit_json, json_option, pass_settings, target_option

if TYPE_CHECKING:
    from debtool.cli.context import Settings


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".", metavar="[DIR]")
@click.option("--name", help="The stack's name and the prefix of its packages.  [default: the folder's name]")
@click.option("--maintainer", help="'Name <address>'.  [default: what git knows]")
@target_option
@json_option
@pass_settings
def init(
    settings: Settings,
    folder: Path,
    name: str | None,
    maintainer: str | None,
    target_name: str | None,
    as_json: bool,
) -> None:
    """Make a new stack in DIR: an application, its packages and its archive, ready to edit and to release.

    \b
    Examples:
      debtool init mystack
      debtool init . --name acme --target noble --maintainer "Ada <ada@example.org>"
    """
    from debtool.stack.scaffolding import new_stack

    folder = folder.absolute()
    target = settings.target(target_name)
    files = new_stack(folder, name=name or folder.name, maintainer=maintainer or _git_identity(), target=target)
    if as_json:
        emit_json("init", {"files": [str(file) for file in files]})
        return
    for file in files:
        click.echo(file)
    click.echo("\nNext:")
    if folder != Path.cwd():
        click.echo(f"  cd {folder}")
    click.echo(f"  debtool lock --target {target.name}")
    click.echo(f"  debtool release --target {target.name}")


def _git_identity() -> str:
    said = []
    for key in ("user.name", "user.email"):
        try:
            done = subprocess.run(["git", "config", key], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            break
        said.append(done.stdout.strip())
    if len(said) == 2 and all(said):  # noqa: PLR2004 -- both name and address
        return f"{said[0]} <{said[1]}>"
    raise click.UsageError("git knows no name and address of yours; say --maintainer 'Name <address>'")
