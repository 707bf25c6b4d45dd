"""``debtool wheel``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from debtool.cli.context import emit_json, json_option, pass_settings, target_option
from debtool.model.text import human_bytes

if TYPE_CHECKING:
    from debtool.cli.context import Settings


@click.group()
def wheel() -> None:
    """Turn single wheels into packages; compile one of the lock for a CPU.

    \b
    Examples:
      debtool wheel depends numpy-*.whl --target bookworm
      debtool wheel deb numpy-*.whl --target bookworm --out debs
      debtool wheel rebuild markupsafe --cpu westmere --target bookworm
    """


@wheel.command()
@click.argument("wheels", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="WHEEL...")
@target_option
@json_option
@pass_settings
def depends(settings: Settings, wheels: tuple[Path, ...], target_name: str | None, as_json: bool) -> None:
    """Show what the package of every WHEEL depends on, and why.

    Each requirement with its marker's verdict and its Debian translation; each shared library with who needs it, who
    has it and where its bound comes from; the GPUs that it has code for. Several wheels are looked at as one set: what
    one of them brings, another need not have. Exit code 2 if anything cannot be mapped.

    \b
    Examples:
      debtool wheel depends numpy-*.whl --target bookworm
      debtool wheel depends jax_rocm60_plugin-*.whl --target noble-rocm6.3 --json
    """
    from debtool.cli.dependencies import as_data, print_tree
    from debtool.stack.singles import read_dependencies

    found = read_dependencies(settings.project.stack, settings.target(target_name), wheels)
    if as_json:
        emit_json("wheel-depends", {"wheels": [as_data(one) for one in found]})
    else:
        for one in found:
            print_tree(one)
    if issues := [issue for one in found for issue in one.issues]:
        from debtool.model.errors import InputError

        raise InputError(*issues)


@wheel.command()
@click.argument("wheels", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="WHEEL...")
@target_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="Where the packages go.",
)
@click.option("--no-bytecode", is_flag=True, help="Ship no .pyc files (they need the target's Python here).")
@click.option("--revision", type=click.IntRange(1), default=1, show_default=True, help="N of the version's -N~TAG.")
@click.option("--jobs", "-j", type=click.IntRange(1), help="Packages built at once.  [default: the processors]")
@click.option("--dry-run", is_flag=True, help="Check the wheels and print what would be written.")
@json_option
@pass_settings
def deb(
    settings: Settings,
    wheels: tuple[Path, ...],
    target_name: str | None,
    out: Path,
    no_bytecode: bool,
    revision: int,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write a .deb for every WHEEL into a folder.

    A wheel's files pass through once, from its zip into the package; nothing is unpacked to disk. The package name's
    prefix, the install prefix and the date come from the stack file (--config).

    \b
    Examples:
      debtool wheel deb torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl --target bookworm --out debs
      debtool wheel deb dist/*.whl --target noble --out debs --no-bytecode
      debtool --config mystack/stack.toml wheel deb dist/*.whl --target trixie
    """
    from debtool.cli.output import ProgressWatcher, print_table
    from debtool.stack.singles import plan_wheels

    stack = settings.project.stack
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    planned = plan_wheels(
        stack,
        settings.target(target_name),
        wheels,
        revision=revision,
        bytecode=not no_bytecode,
        date=int(epoch) if epoch else stack.timestamp,
    )
    if dry_run:
        if as_json:
            emit_json("wheel-deb-plan", {"files": [str(out / package.filename) for package in planned]})
        for package in planned if not as_json else ():
            click.echo(f"would write {out / package.filename}")
        return
    began = time.monotonic()
    from debtool.stack.make import build_packages

    with ProgressWatcher() as watcher:
        built = build_packages(planned, out, jobs=jobs or len(os.sched_getaffinity(0)), watcher=watcher)
    if as_json:
        emit_json(
            "wheel-deb",
            {"packages": [{"file": str(one.path), "size": one.size, "sha256": one.sha256} for one in built.values()]},
        )
        return
    print_table(["package", "#size"], [(one.path, human_bytes(one.size)) for one in built.values()])
    click.echo(f"{len(built)} packages in {time.monotonic() - began:.1f} s")


@wheel.command()
@click.argument("name")
@click.option("--cpu", metavar="CPU", help="The CPU that it is compiled for.  [default: the stack's baseline]")
@target_option
@click.option(
    "--config-setting",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of its build backend (PEP 517); may be given several times.",
)
@click.option("--reason", metavar="TEXT", help="Why, for the stack's file.")
@click.option("--jobs", "-j", type=click.IntRange(1), help="Processes of the audit.  [default: the processors]")
@click.option("--dry-run", is_flag=True, help="Fetch the sdist and print what would be written; build nothing.")
@json_option
@pass_settings
def rebuild(
    settings: Settings,
    name: str,
    cpu: str | None,
    target_name: str | None,
    pairs: tuple[str, ...],
    reason: str | None,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compile a wheel of the lock from its sdist for a CPU, audit it, and put it in the stack's place.

    It is compiled in isolation, in the version that is locked. If the result executes nothing that the CPU lacks, the
    stack's file gets a [[rebuild]] table at its end and the lock the sdist's hash: every later release builds the same,
    or takes what was built before. Otherwise what is left is told, nothing is changed, and the exit code is 1.

    \b
    Examples:
      debtool wheel rebuild markupsafe --cpu westmere --target bookworm
      debtool wheel rebuild kiwisolver --cpu westmere --dry-run
      debtool wheel rebuild numpy --cpu westmere --config-setting setup-args=-Dcpu-dispatch=none
    """
    from debtool.audit.baselines import find_baseline
    from debtool.cli.output import ProgressWatcher
    from debtool.stack.rebuild import carry_out, plan_rebuild

    cpu = cpu or settings.project.stack.baseline
    if cpu is None:
        raise click.UsageError("the stack names no baseline; say which CPU is meant: --cpu westmere")
    planned = plan_rebuild(
        settings.project,
        settings.target(target_name),
        name,
        find_baseline(cpu),
        cache=settings.cache,
        settings=dict(_setting(pair) for pair in pairs),
        reason=reason,
    )
    plan = {
        "wheel": planned.old.name,
        "version": str(planned.old.version),
        "cpu": planned.baseline.name,
        "from": planned.old.file,
        "sdist": planned.new.file,
        "sha256": planned.new.sha256,
        "table": planned.table,
        "files": [str(path) for path in planned.changes],
    }
    if not as_json:
        click.echo(f"{planned.old.file} -> {planned.new.file}, compiled for {planned.baseline.title}")
    if dry_run:
        if as_json:
            emit_json("wheel-rebuild-plan", plan)
            return
        for path in planned.changes:
            click.echo(f"would change {path}")
        if planned.table:
            click.echo(f"\n{planned.table}", nl=False)
        return
    with ProgressWatcher() as watcher:
        jobs = jobs or len(os.sched_getaffinity(0))
        done = carry_out(planned, cache=settings.cache, jobs=jobs, watcher=watcher)
    if as_json:
        built = {"file": str(done.wheel.path), "sha256": done.wheel.sha256, "reused": done.wheel.reused}
        emit_json("wheel-rebuild", {**plan, "built": built, "level": done.audit.level})
        return
    click.echo(f"{done.wheel.path.name}: {done.audit.level} on {planned.baseline.title}")
    for path in done.written:
        click.echo(f"changed {path}")
    if not done.written:
        click.echo("the stack and its lock say so already")


def _setting(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--config-setting")
    return name, value
