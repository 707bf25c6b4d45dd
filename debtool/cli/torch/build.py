"""``debtool torch build``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from debtool.cli.context import emit_json, json_option, pass_settings
from debtool.cli.torch.choice import Asked, choice_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from debtool.build.results import Kept
    from debtool.cli.context import Settings
    from debtool.torch.build import Order
    from debtool.torch.preflight import Check


@click.command()
@choice_options
@click.option(
    "--source",
    metavar="DIR|GIT@TAG|debian:SUITE",
    help="A source tree, a tag or commit of a git repository, or Debian's.  [default: upstream's tag of the version]",
)
@click.option(
    "--tag-keyring",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="OpenPGP keys of which one must have signed the tag.",
)
@click.option(
    "--patches",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="A quilt series to apply.",
)
@click.option(
    "--rocm-path",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where ROCm is.  [default: /opt/rocm-<the target's release>, else /opt/rocm]",
)
@click.option("--jobs", "-j", type=click.IntRange(1), help="Compilers at once.  [default: what the memory allows]")
@click.option(
    "--launcher",
    type=click.Choice(["ccache", "sccache", "distcc", "icecc", "none"]),
    default="ccache",
    show_default=True,
    help="What stands before the compilers: a cache, or other machines that help.",
)
@click.option("--no-run", is_flag=True, help="Do not run the result on the emulated CPU.")
@click.option("--no-companions", is_flag=True, help="Compile nothing of the stack against the result.")
@click.option("--plain", is_flag=True, help="Tell of it in lines, also on a terminal.")
@click.option("--dry-run", is_flag=True, help="Look whether this machine is fit, and print what would be done.")
@click.option("--fix", is_flag=True, help="Print the command that installs what is missing, and nothing else.")
@json_option
@pass_settings
def build(
    settings: Settings,
    /,
    source: str | None,
    tag_keyring: Path | None,
    patches: Path | None,
    rocm_path: Path | None,
    jobs: int | None,
    launcher: str,
    no_run: bool,
    no_companions: bool,
    plain: bool,
    dry_run: bool,
    fix: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Build PyTorch from source for a CPU without AVX, and what the stack compiles against it.

    Whatever is missing on this machine is told before the first minute is spent. Stopped by Ctrl-C, a reboot, a full
    disk or a lack of memory, the same command goes on where it was. `debtool torch watch` shows it in another terminal.
    The wheel is audited, run on an emulated CPU, and put where `debtool release` takes it from.

    \b
    Examples:
      debtool torch build --dry-run                       is this machine fit for it?
      debtool torch build --fix                           what to install, as one command
      debtool torch build --target noble-rocm6.3          hours
      debtool torch build --target trixie --version 2.6.0 --cpu-only --source debian:trixie
    """
    from debtool.cli.torch.order import order_of
    from debtool.torch.preflight import fix_command, preflight, refuse
    from debtool.torch.result import check_emulator

    order = order_of(
        settings,
        Asked(**asked),
        source=source,
        keyring=tag_keyring,
        patches=patches,
        rocm_path=rocm_path,
        jobs=jobs,
        launcher=launcher,
        emulate=not no_run,
        companions=not no_companions,
    )
    checks = [*preflight(order.wanted), *([] if no_run else [check_emulator(order.baseline)])]
    if fix:
        click.echo(fix_command(checks) or "nothing is missing")
        return
    if dry_run:
        _tell_plan(order, checks, as_json=as_json)
        if any(one.verdict == "missing" for one in checks):
            raise click.exceptions.Exit(3)
        return
    from debtool.build.builder import lowered_jobs
    from debtool.build.machine import read_machine
    from debtool.torch.wanted import MEMORY_PER_JOB

    if mend := fix_command(one for one in checks if one.verdict == "missing"):
        click.echo(f"to mend it:\n{mend}", err=True)
    refuse(checks)  # before there is a folder: what cannot begin is no build that went wrong
    machine = read_machine()
    if jobs is None:
        lowered = lowered_jobs(order.folder / "journal.jsonl", machine.memory)
        jobs = lowered or max(1, machine.jobs(MEMORY_PER_JOB))
    kept = _carry_out(settings, order, checks, jobs, plain=plain or as_json)
    _tell_result(settings, order, kept, as_json=as_json)


def _carry_out(settings: Settings, order: Order, checks: Sequence[Check], jobs: int, *, plain: bool) -> Kept:
    from debtool.build.builder import Builder, recorded
    from debtool.build.journal import Journal
    from debtool.build.workplace import Workplace
    from debtool.cli.torch.view import Shown
    from debtool.stack.companions import build_torch

    command = shlex.join(["debtool", *sys.argv[1:]])
    with Workplace.opened(order.folder) as place, Journal(place.journal) as journal:
        builder = Builder(place, journal, jobs)
        with Shown(builder, plain=plain) as shown, recorded(builder, order.title, command):
            shown.begin()
            return build_torch(order, builder, settings.project, checks)


def _tell_plan(order: Order, checks: Sequence[Check], *, as_json: bool) -> None:
    from dataclasses import asdict

    from debtool.cli.output import out, print_table
    from debtool.torch.preflight import fix_command

    if as_json:
        emit_json(
            "torch-build-plan",
            {
                "title": order.title,
                "folder": str(order.folder),
                "steps": [*order.steps],
                "settings": {one.name: one.value for one in order.chosen},
                "checks": [asdict(one) for one in checks],
            },
        )
        return
    colours = {"ok": "green", "warning": "yellow", "missing": "red"}
    print_table(
        ["", "what", "found"],
        [(f"[{colours[one.verdict]}]{one.verdict}[/]", one.name, one.found) for one in checks],
    )
    out.print(f"\nwould build {order.title}\n  in      {order.folder}", markup=False, soft_wrap=True)
    out.print(f"  steps   {', '.join(order.steps)}", markup=False, soft_wrap=True)
    out.print("  what is set, and why: debtool torch settings", markup=False)
    if command := fix_command(checks):
        out.print(f"\nto install what is missing:\n{command}", markup=False, soft_wrap=True)


def _tell_result(settings: Settings, order: Order, kept: Kept, *, as_json: bool) -> None:
    from debtool.model.text import human_bytes
    from debtool.stack.companions import is_expected

    size = kept.wheel.stat().st_size
    if as_json:
        emit_json("torch-build", {**kept.record, "wheel": str(kept.wheel), "size": size, "sha256": kept.sha256})
        return
    click.echo(f"{kept.wheel} ({human_bytes(size)})")
    click.echo(f"how it went: {kept.folder / 'summary.html'}")
    click.echo(f"where it comes from: {kept.folder / 'provenance.intoto.json'}")
    if is_expected(order, settings.project):
        click.echo(f"it is where the stack looks for it: debtool release --target {order.target.name}")
    else:
        click.echo(f"no artefact of the stack is torch {order.choice.version} for {order.target.name}: it is not used")
