"""``debtool lint``."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from debtool.cli.context import archive_option, emit_json, json_option, pass_settings
from debtool.cli.repo import suite_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from debtool.cli.context import Settings
    from debtool.stack.lint import Verdict


@click.command()
@click.argument("debs", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[DEB...]")
@suite_options
@archive_option
@click.option("--jobs", "-j", type=click.IntRange(1), help="Lintians that work at once.  [default: the processors]")
@click.option("--warnings", "-w", is_flag=True, help="Print every warning too, not only how many there are.")
@json_option
@pass_settings
def lint(
    settings: Settings,
    debs: tuple[Path, ...],
    target_name: str | None,
    channel: str | None,
    directory: Path | None,
    jobs: int | None,
    warnings: bool,
    as_json: bool,
) -> None:
    """Have lintian check packages against Debian Policy; without DEBs, those of a channel. Exits 1 on errors.

    Verdicts are kept: a package that was judged before by the same lintian is not judged again. A package's overrides
    count, but for tags that must never be overridden.

    \b
    Examples:
      debtool lint --target bookworm
      debtool lint --target noble --channel canary --warnings
      debtool lint debs/*.deb --target noble --json
    """
    from debtool.cli.output import ProgressWatcher, out
    from debtool.stack.lint import Lintian

    target = settings.target(target_name)
    packages = debs or _published(settings, f"{target.name}-{settings.channel(channel)}", directory)
    lintian = Lintian.find(target.distribution, settings.cache / "lint")
    with ProgressWatcher() as watcher:
        verdicts = lintian.judge(packages, jobs=jobs or len(os.sched_getaffinity(0)), watcher=watcher)
    errors = [issue for verdict in verdicts for issue in verdict.errors()]
    if as_json:
        emit_json(
            "lint",
            {
                "lintian": lintian.version,
                "profile": lintian.profile,
                "errors": len(errors),
                "packages": [asdict(verdict) for verdict in verdicts],
            },
        )
    else:
        found = [issue for verdict in verdicts for issue in verdict.warnings()] if warnings else []
        for issue in [*found, *errors]:
            out.print(str(issue), markup=False)
        _print_tags(verdicts)
        click.echo(f"{len(verdicts)} packages, errors: {len(errors)} (lintian {lintian.version}, {lintian.profile})")
    if errors:
        raise click.exceptions.Exit(1)


def _published(settings: Settings, suite: str, directory: Path | None) -> tuple[Path, ...]:
    from debtool.archive.archive import Archive

    archive = Archive.open(settings.archive_directory(directory))
    packages = archive.published(suite)
    if not packages:
        raise click.UsageError(f"{suite} was never published in {archive.public}; publish it, or name DEBs")
    return tuple(archive.pool_path(package) for package in packages)


def _print_tags(verdicts: Sequence[Verdict]) -> None:
    """Print how often each tag was found, and in how many packages."""
    from debtool.cli.output import print_table

    counts: Counter[tuple[str, str]] = Counter()
    packages: Counter[tuple[str, str]] = Counter()
    for verdict in verdicts:
        kinds = [
            ("error" if one.is_error else "overridden" if one.overridden else one.severity, one.tag)
            for one in verdict.findings
        ]
        counts.update(kinds)
        packages.update(set(kinds))
    order = ("error", "warning", "overridden")
    ranked = sorted(counts, key=lambda kind: (order.index(kind[0]), -counts[kind], kind[1]))
    print_table(["", "tag", "#found", "#packages"], [(*kind, counts[kind], packages[kind]) for kind in ranked])
