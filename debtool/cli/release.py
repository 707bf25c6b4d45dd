"""``debtool plan``, ``build`` and ``release``."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from debtool.cli.context import archive_option, emit_json, json_option, pass_settings, target_option
from debtool.model.text import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from debtool.cli.context import Settings
    from debtool.stack.plan import Plan
    from debtool.stack.release import Request


def _release_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        target_option,
        click.option("--channel", "-C", metavar="C", help="Where to publish.  [default: the archive's last channel]"),
        archive_option,
        click.option(
            "--url", help="Where machines reach the archive.  [default: archive.toml's, else the folder itself]"
        ),
        click.option(
            "--source",
            "sources",
            multiple=True,
            metavar="NAME=PLACE",
            help="Take NAME from elsewhere: torch=WHEEL|URL|INDEX-URL, a tree's PATH or URL@COMMIT, rocm-key=FILE.",
        ),
        click.option("--jobs", "-j", type=click.IntRange(1), help="Packages built at once.  [default: the processors]"),
        click.option("--no-bytecode", is_flag=True, help="Ship no .pyc files (they need the target's Python here)."),
        json_option,
    ]
    for option in reversed(options):
        command = option(command)
    return pass_settings(command)


def make_request(settings: Settings, *, jobs: int | None = None, no_bytecode: bool = False, **given: Any) -> Request:
    """Return the request that the options of a command make."""
    from debtool.stack.release import Request

    stack = settings.project.stack
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return Request(
        project=settings.project,
        target=settings.target(given["target_name"]),
        channel=settings.channel(given["channel"]),
        directory=settings.archive_directory(given["directory"]),
        cache=settings.cache,
        url=given["url"],
        sources=_sources(given["sources"]),
        jobs=jobs or len(os.sched_getaffinity(0)),
        bytecode=not no_bytecode,
        date=int(epoch) if epoch else stack.timestamp,
    )


def _sources(pairs: tuple[str, ...]) -> dict[str, str]:
    sources = {}
    for pair in pairs:
        name, equals, place = pair.partition("=")
        if not (name and equals and place):
            raise click.BadParameter(f"{pair!r} is not NAME=PLACE", param_hint="--source")
        # A path is meant from here, wherever the stack file is; a repository at a path may be followed by @COMMIT.
        path, at, commit = place.rpartition("@")
        if at and "://" not in place and Path(path).exists():
            place = f"{Path(path).absolute()}@{commit}"
        elif "://" not in place:
            place = str(Path(place).absolute())
        sources[name] = place
    return sources


@click.command()
@_release_options
def plan(settings: Settings, as_json: bool, **given: Any) -> None:
    """Show what a release would build, and why. Inputs are fetched into the cache; nothing else is written.

    Of a stack that names a baseline the wheels are audited. Exit code 1 if a release would refuse one.

    \b
    Examples:
      debtool plan --target bookworm
      debtool plan --target bookworm --json
      debtool --config repo/demo.toml plan
    """
    from debtool.cli.output import ProgressWatcher
    from debtool.stack.release import plan_release

    with ProgressWatcher() as watcher:
        planned = plan_release(make_request(settings, **given), watcher)
    _show_plan(planned, as_json)


@click.command()
@_release_options
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Copy the packages there.")
def build(settings: Settings, as_json: bool, out: Path | None, **given: Any) -> None:
    """Build the packages that a release needs, without publishing them.

    \b
    Examples:
      debtool build --target bookworm --out debs
    """
    import shutil

    from debtool.cli.output import ProgressWatcher
    from debtool.stack.release import build_release

    with ProgressWatcher() as watcher:
        planned, debs = build_release(make_request(settings, **given), watcher)
    _warn(planned)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        debs = [Path(shutil.copy2(deb, out)) for deb in debs]
    if as_json:
        emit_json("build", {**plan_json(planned), "files": [str(deb) for deb in debs]})
        return
    for deb in debs:
        click.echo(deb)
    if not debs:
        click.echo("nothing to build: every package is published or was built before")


@click.command()
@_release_options
@click.option("--dry-run", is_flag=True, help="Print the plan, and publish nothing.")
def release(settings: Settings, as_json: bool, dry_run: bool, **given: Any) -> None:
    """Build what changed and publish it to a channel in one step.

    A package whose inputs are those of a published one is not built again; a release that changes nothing writes
    nothing. Machines see the whole new set or the whole old one.

    Of a stack that names a baseline the wheels are audited first. A wheel that may execute what the baseline lacks is
    refused, with the ways out, before anything is built: exit code 1.

    \b
    Examples:
      debtool release --target bookworm
      debtool release --target noble-rocm6.3 --channel canary --url http://apt.example.net/
      debtool --config repo/demo.toml release --source torch=torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl
      debtool release --target bookworm --dry-run
    """
    from debtool.cli.output import ProgressWatcher
    from debtool.stack.release import make_release, plan_release

    request = make_request(settings, **given)
    began = time.monotonic()
    with ProgressWatcher() as watcher:
        if dry_run:
            planned = plan_release(request, watcher)
        else:
            done = make_release(request, watcher)
            planned = done.plan
    if dry_run:
        _show_plan(planned, as_json)
        return
    _warn(planned)
    seconds = time.monotonic() - began
    publication = done.publication
    size = sum(package.size for package in done.archive.published(request.suite))
    if as_json:
        emit_json(
            "release",
            {**plan_json(planned), "publication": asdict(publication), "bytes": size, "seconds": round(seconds, 3)},
        )
        return
    if not publication.switched:
        click.echo(
            f"{request.suite}: nothing changed, nothing built, nothing written "
            f"({len(planned.packages)} packages, generation {publication.generation}, {seconds:.2f} s)"
        )
        return
    print_plan(planned, only_changes=True)
    click.echo(
        f"{request.suite}: generation {publication.generation}, {len(planned.packages)} packages, {human_bytes(size)}; "
        f"{len(planned.of('build'))} built, {len(planned.of('reuse'))} reused, {len(planned.of('keep'))} unchanged, "
        f"{len(planned.removed)} removed, in {seconds:.1f} s"
    )
    _print_audit(planned)


def _show_plan(planned: Plan, as_json: bool) -> None:
    from debtool.model.errors import FindingsError

    if as_json:
        emit_json("plan", plan_json(planned))
    else:
        print_plan(planned)
    _warn(planned)
    if planned.refusals:
        raise FindingsError(*planned.refusals)


def _warn(planned: Plan) -> None:
    for issue in planned.warnings:
        click.echo(f"debtool: warning: {issue}", err=True)


def plan_json(planned: Plan) -> dict[str, Any]:
    """Return a plan as JSON has it."""
    return {
        "suite": planned.suite,
        "packages": [
            {
                "package": package.name,
                "version": str(package.build.version),
                "published": str(package.previous) if package.previous else None,
                "action": package.action,
                "why": package.why,
                "key": package.build.key,
            }
            for package in planned.packages
        ],
        "removed": list(planned.removed),
        "audit": _audit_json(planned),
    }


def _audit_json(planned: Plan) -> dict[str, Any] | None:
    """Return what the audit of the wheels came to; None if the stack names no baseline."""
    if planned.gate is None:
        return None
    return {
        "baseline": planned.gate.baseline.name,
        "wheels": [
            {
                "wheel": wheel.name,
                "version": str(wheel.version),
                "standing": wheel.standing,
                "findings": len(wheel.findings),
                "excepted": sum(len(one.findings) for one in wheel.applied),
                "emulated": None if wheel.verdict is None else not wheel.verdict.failed,
            }
            for wheel in planned.gate.wheels.values()
        ],
        "refusals": [asdict(issue) for issue in planned.refusals],
        "warnings": [asdict(issue) for issue in planned.warnings],
    }


def print_plan(planned: Plan, *, only_changes: bool = False) -> None:
    """Print a plan as a table and a summary."""
    from debtool.cli.output import print_table

    shown = [package for package in planned.packages if not only_changes or package.action != "keep"]
    rows = [
        (str(package.action), package.name, str(package.previous or "-"), str(package.build.version), package.why)
        for package in shown
    ]
    rows += [("remove", name, "", "", "not in the release any more") for name in planned.removed]
    if rows:
        print_table(["", "package", "published", "version", "why"], rows)
    if not only_changes:
        click.echo(
            f"{planned.suite}: {len(planned.of('build'))} to build, {len(planned.of('reuse'))} to reuse, "
            f"{len(planned.of('keep'))} unchanged, {len(planned.removed)} to remove"
        )
        _print_audit(planned)


def _print_audit(planned: Plan) -> None:
    from debtool.model.text import amount
    from debtool.stack.audit import Standing

    if planned.gate is None or not planned.gate.wheels:
        return
    counts = [f"{len(wheels)} {standing}" for standing in Standing if (wheels := planned.gate.of(standing))]
    run = sum(wheel.verdict is not None for wheel in planned.gate.wheels.values())
    title = planned.gate.baseline.title
    audited = amount(len(planned.gate.wheels), "wheel")
    click.echo(f"{audited} audited for {title}: {', '.join(counts)}; {run} run emulated")
    for wheel in planned.gate.of(Standing.EXCEPTED):
        for one in wheel.applied:
            if one.covers:
                click.echo(f"  {wheel.name} until {one.exception.expires}: {one.exception.reason}")
