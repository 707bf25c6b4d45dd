"""``debtool torch build``."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from debtool.cli.context import emit_json, json_option, pass_settings
from debtool.cli.torch.choice import Asked, choice_options, chosen_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from debtool.build.builder import Builder
    from debtool.build.results import Kept
    from debtool.cli.context import Settings
    from debtool.model.stack import Artefact
    from debtool.torch.build import Order
    from debtool.torch.preflight import Check

_LAST_LOOK = 3.0
"""Seconds that the view has to read the end from the journal, which a full disk may have kept out of it."""
_PATH = "/usr/local/bin:/usr/bin:/bin"
"""What the build sees; ROCm's own programs go before it."""


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
    default="/opt/rocm",
    show_default=True,
    help="Where ROCm is.",
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
    rocm_path: Path,
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
    from debtool.torch.preflight import fix_command, preflight
    from debtool.torch.room import jobs_for

    order = _order(
        settings,
        Asked(**asked),
        source=source,
        keyring=tag_keyring,
        patches=patches,
        rocm_path=rocm_path,
        jobs=jobs,
        launcher=launcher,
        companions=not no_companions,
    )
    if dry_run or fix:
        checks = preflight(order.wanted)
        if fix:
            click.echo(fix_command(checks) or "nothing is missing")
            return
        _tell_plan(order, checks, as_json=as_json)
        if any(one.verdict == "missing" for one in checks):
            raise click.exceptions.Exit(3)
        return
    from debtool.build.machine import read_machine

    machine = read_machine()
    kept = _carry_out(
        settings, order, jobs or jobs_for(machine.cpus, machine.memory), emulate=not no_run, plain=plain or as_json
    )
    _tell_result(settings, order, kept, as_json=as_json)


def _order(
    settings: Settings,
    asked: Asked,
    *,
    source: str | None,
    keyring: Path | None,
    patches: Path | None,
    rocm_path: Path,
    jobs: int | None,
    launcher: Any,
    companions: bool,
) -> Order:
    from debtool.audit.baselines import find_baseline
    from debtool.torch.build import Order
    from debtool.torch.origin import TreeOrigin, flavour_of_origin
    from debtool.torch.source import parse_source
    from debtool.torch.wanted import Wanted
    from debtool.wheel.bytecode import find_interpreter

    target, choice, _ = chosen_for(settings, asked)
    origin = parse_source(source, choice.version, keyring=keyring, patches=patches)
    flavour = flavour_of_origin(origin.origin)
    if asked.flavour is not None and asked.flavour != flavour:
        raise click.UsageError(f"the source is of flavour {flavour}, not {asked.flavour}: leave out --flavour")
    target, choice, chosen = chosen_for(settings, replace(asked, flavour=flavour))
    interpreter = find_interpreter(target.python)
    cpu_only = choice.rocm is None
    order = Order(
        target=target,
        choice=choice,
        chosen=chosen,
        source=origin,
        wanted=Wanted(
            version=choice.version,
            target=target,
            folder=Path(),
            cache=settings.cache,
            path=_PATH if cpu_only else f"{rocm_path}/bin:{_PATH}",
            cpu_only=cpu_only,
            gpu=choice.gpu,
            rocm_path=rocm_path,
            jobs=jobs,
            launcher=launcher,
            interpreter=interpreter,
            flavour=flavour,
            source=origin.origin.path if isinstance(origin.origin, TreeOrigin) else None,
            march=choice.march,
            settings={one.name: one.value for one in chosen},
        ),
        interpreter=interpreter,
        baseline=find_baseline(settings.project.stack.baseline or "westmere"),
        cache=settings.cache,
        own=os.environ,
    )
    found = _companions(settings, order) if companions else []
    return replace(
        order, wanted=replace(order.wanted, folder=order.folder), companions=tuple(one.name for one in found)
    )


def _companions(settings: Settings, order: Order) -> list[Artefact]:
    """Return what the stack compiles against exactly this torch."""
    from debtool.stack.companions import companions_of

    if not _expected(settings, order):
        return []
    return companions_of(settings.project, order.target, "torch")


def _expected(settings: Settings, order: Order) -> bool:
    """Return whether the result is what the stack asks for."""
    torch = settings.project.stack.artefacts_for(order.target.name).get("torch")
    return torch is not None and torch.kind == "build" and torch.version == str(order.choice.version)


def _carry_out(settings: Settings, order: Order, jobs: int, *, emulate: bool, plain: bool) -> Kept:
    from debtool.build.builder import Builder, recorded
    from debtool.build.journal import Journal
    from debtool.build.workplace import Workplace
    from debtool.stack.companions import build_against
    from debtool.torch.build import compile_torch, phase
    from debtool.torch.result import audit_wheel, finish, run_wheel

    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    with Workplace.opened(order.folder) as place, Journal(place.journal) as journal:
        builder = Builder(place, journal, jobs)
        with _Shown(builder, plain=plain) as shown, recorded(builder, order.title, command):
            shown.begin()
            compiled = compile_torch(order, builder)
            kept = finish(order, compiled, builder, emulate=emulate)
            for artefact in _companions(settings, order) if order.companions else ():
                phase(order, builder, artefact.name)
                built = build_against(
                    artefact,
                    kept.wheel,
                    settings.project,
                    order.target,
                    cache=settings.cache,
                    journal=journal,
                )
                audit_wheel(built.path, order, builder)
                if emulate:
                    needs = compiled.environment.download(kept.wheel, ["numpy", "pillow"])
                    run_wheel(built.path, order, builder, [kept.wheel, *needs])
    return kept


class _Shown:
    """Shows a build, from its journal, until that says that it has ended; a context manager."""

    def __init__(self, builder: Builder, *, plain: bool) -> None:
        from debtool.cli.torch.view import View

        self._done = threading.Event()
        view = View(builder.workplace.journal, plain=plain)
        self._thread = threading.Thread(target=view.follow, args=(self._done.is_set,))

    def begin(self) -> None:
        """Begin, when the run has begun in the journal: before, the end of an earlier one would count as its own."""
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._thread.join(_LAST_LOOK)
            self._done.set()
            self._thread.join()


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

    size = kept.wheel.stat().st_size
    if as_json:
        emit_json("torch-build", {"wheel": str(kept.wheel), "size": size, "sha256": kept.sha256, **kept.record})
        return
    click.echo(f"{kept.wheel} ({human_bytes(size)})")
    click.echo(f"how it went: {kept.folder / 'summary.html'}")
    click.echo(f"where it comes from: {kept.folder / 'provenance.intoto.json'}")
    if _expected(settings, order):
        click.echo(f"it is where the stack looks for it: debtool release --target {order.target.name}")
    else:
        click.echo(f"no artefact of the stack is torch {order.choice.version} for {order.target.name}: it is not used")
