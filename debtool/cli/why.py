"""``debtool why``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from debtool.cli.context import archive_option, emit_json, json_option, pass_settings, target_option

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.cli.context import Settings


@click.command()
@click.argument("package")
@click.argument("dependency")
@target_option
@click.option("--channel", "-C", metavar="C", help="The channel to look at.  [default: the archive's last one]")
@archive_option
@click.option("--source", "sources", multiple=True, metavar="NAME=PLACE", help="As `debtool release` was given.")
@json_option
@pass_settings
def why(
    settings: Settings,
    package: str,
    dependency: str,
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    sources: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say why PACKAGE of a published release depends on DEPENDENCY.

    The shortest way from one to the other, each step with the line, the library or the definition that it comes from.
    Names may be written without the stack's prefix. Exit code 1 if there is no way.

    \b
    Examples:
      debtool why forge libgl1
      debtool why torch libstdc++6 --target bookworm
      debtool --config repo/demo.toml why forge numpy --json
    """
    from debtool.cli.output import ProgressWatcher, out
    from debtool.cli.release import make_request
    from debtool.stack.why import why as find

    request = make_request(
        settings, target_name=target_name, channel=channel, directory=directory, sources=sources, url=None
    )
    with ProgressWatcher() as watcher:
        answer = find(request, package, dependency, watcher)
    if as_json:
        emit_json("why", asdict(answer))
    elif not answer.steps:
        out.print(f"{package} does not depend on {dependency}, not even by way of others", markup=False)
    else:
        for step in answer.steps:
            out.print(f"{step.package} -> {step.on}", style="bold", markup=False)
            for relation in step.relations:
                out.print(f"    {step.field}: {relation}", markup=False)
            for reason in step.reasons:
                out.print(f"    {reason}", markup=False)
        if answer.others:
            names = ", ".join(answer.others)
            out.print(
                f"\n{len(answer.others)} others depend on {answer.steps[-1].on} themselves: {names}", markup=False
            )
    if not answer.steps:
        raise SystemExit(1)
