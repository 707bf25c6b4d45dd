"""``debtool lock``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from debtool.cli.context import emit_json, json_option, pass_settings, target_option

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.cli.context import Settings
    from debtool.wheel.lock import Lock


@click.command()
@target_option
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
@json_option
@pass_settings
def lock(settings: Settings, target_name: str | None, dry_run: bool, as_json: bool) -> None:
    """Resolve the stack's requirements for a target's Python and platform into a hashed lock.

    The lock is a file in pip's hashed requirements format beside the stack; commit it. It names no index.

    \b
    Examples:
      debtool lock --target bookworm
      debtool lock --target noble-rocm6.3 --dry-run
    """
    from debtool.deb.files import replace_file
    from debtool.wheel.lock import parse_lock
    from debtool.wheel.resolve import lock as resolve

    project = settings.project
    target = settings.target(target_name)
    path = project.lock_file(target)
    if not dry_run:
        _check_writable(path)
    old = parse_lock(path.read_text(encoding="utf-8"), path) if path.is_file() else None
    new = resolve(project.stack, target)
    changes = _changes(old, new)
    if not dry_run and (old is None or str(old) != str(new)):
        replace_file(path, str(new).encode())
    if as_json:
        emit_json(
            "lock", {"file": str(path), "distributions": len(new.versions), "changes": changes, "written": not dry_run}
        )
        return
    for change in changes:
        click.echo(f"{change['distribution']}: {change['old'] or '-'} -> {change['new'] or '-'}")
    verb = "would have" if dry_run else "has"
    click.echo(f"{path}: {verb} {len(new.versions)} distributions, {len(changes)} changed")


def _changes(old: Lock | None, new: Lock) -> list[dict[str, str | None]]:
    before = {str(name): str(version) for name, version in old.versions.items()} if old else {}
    after = {str(name): str(version) for name, version in new.versions.items()}
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [{"distribution": name, "old": before.get(name), "new": after.get(name)} for name in names]


def _check_writable(path: Path) -> None:
    """Raise ``InputError`` before the work is done if the lock could not be kept."""
    from debtool.model.errors import InputError, Issue
    from debtool.model.shipped import is_installed

    folder = next(folder for folder in path.parents if folder.exists())
    if is_installed(path):
        problem = "belongs to debtool's installation"
    elif not os.access(folder, os.W_OK | os.X_OK):
        problem = "cannot be written"
    else:
        return
    fix = "work on a stack of your own: debtool init DIR, or copy this one; or try --dry-run"
    raise InputError(Issue(problem, file=path, fix=fix))
