"""``debtool torch status``."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from debtool.cli.context import emit_json, json_option, pass_settings, target_option
from debtool.cli.torch.journals import journal_option, status_of
from debtool.model.text import visible

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.build.progress import Progress
    from debtool.cli.context import Settings
    from debtool.cli.torch.screen import Moment

_WIDTH = 100
"""Columns where there is no terminal to ask."""


@click.command()
@target_option
@journal_option
@json_option
@pass_settings
def status(settings: Settings, target_name: str | None, journal: Path | None, as_json: bool) -> None:
    """Show how far a build is, once: phase, steps, time left, what is at work, and how it is doing.

    Shown is the newest build; where there are several, a table of them all follows. A build that was killed is told
    from one that runs, with the command that goes on with it. The exit code is 0 in both cases.

    \b
    Examples:
      debtool torch status
      debtool torch status --target noble-rocm6.3 --json
      ssh macpro debtool torch status
    """
    from debtool.cli.output import out, print_table
    from debtool.cli.torch.journals import builds
    from debtool.cli.torch.screen import draw
    from debtool.cli.torch.view import View

    found = builds(settings.cache, journal, target_name)
    newest = next(iter(found))
    view = View(newest, console=out)
    view.read()
    moment = view.moment()
    if as_json:
        emit_json("torch-status", {"journal": str(newest), **_as_data(moment), "builds": [*map(str, found)]})
        return
    if moment.status == "waiting":
        click.echo(f"{newest}: no build has begun yet")
    else:
        out.print(draw(moment, out, width=out.width if out.is_terminal else _WIDTH, height=None))
        view.close(moment.status)
    if len(found) > 1:
        click.echo()
        rows = [_row(path, progress, view.boot) for path, progress in found.items()]
        print_table(["build", "status", "#steps", "last heard of"], rows)


def _row(path: Path, progress: Progress, boot: str) -> tuple[str, str, str, str]:
    heard = time.strftime("%Y-%m-%d %H:%M", time.localtime(progress.last)) if progress.runs else ""
    steps = f"{progress.steps.done}/{progress.steps.whole}" if progress.steps.whole else ""
    return visible(progress.title or str(path)), status_of(progress, path, boot), steps, heard


def _as_data(moment: Moment) -> dict[str, Any]:
    progress = moment.progress
    stage, steps, end = progress.stage, progress.steps, progress.ended
    return {
        "title": progress.title,
        "status": moment.status,
        "text": end.text if end else None,
        "go_on": progress.runs[-1].begin.command or None if progress.runs else None,
        "seconds": round(progress.elapsed(moment.now), 1),
        "runs": len(progress.runs),
        "last_heard_of": progress.last,
        "phase": {"name": stage.name, "number": stage.number, "of": stage.of} if stage else None,
        "phase_seconds": round(stage.seconds(moment.now), 1) if stage else None,
        "steps": {"done": steps.done, "total": steps.whole, "left": steps.left},
        "time_left": asdict(moment.estimate) if moment.estimate else None,
        "health": asdict(moment.health) if moment.health else None,
        "jobs_limit": progress.limit,
        "sample": asdict(progress.sample) if progress.sample else None,
        "notes": [{"time": when, **asdict(note)} for when, note in progress.notes],
    }
