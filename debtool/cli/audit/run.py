"""``debtool audit run``."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from debtool.cli.context import emit_json, json_option, pass_settings, target_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from debtool.audit.baselines import Baseline
    from debtool.audit.gate import Fault, Verdict
    from debtool.audit.join import Executed
    from debtool.cli.context import Settings
    from debtool.cli.output import ProgressWatcher

_LINES = 12
"""How many lines of a Python stack are told."""


@click.command()
@click.argument("wheels", nargs=-1, type=click.Path(path_type=Path), metavar="[WHEEL...]")
@click.option("--cpu", default="westmere", show_default=True, metavar="NAME", help="The CPU baseline.")
@click.option("--lock", "whole_lock", is_flag=True, help="Every compiled wheel of the stack's lock for the target.")
@target_option
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME=PLACE",
    help="Take a wheel of the lock from elsewhere: torch=WHEEL|URL|INDEX-URL.",
)
@click.option(
    "--with",
    "offered",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="WHEEL|FOLDER",
    help="Wheels that they may need; those that they require are taken.",
)
@click.option(
    "--python",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Try what is installed for this interpreter, and nothing else.",
)
@click.option("--installed", multiple=True, metavar="NAME", help="A distribution that is installed there.")
@click.option("--jobs", "-j", type=click.IntRange(1), help="Processes that work at once.  [default: the processors]")
@click.option("--again", is_flag=True, help="Try what was tried before, too.")
@json_option
@pass_settings
def run(
    settings: Settings,
    wheels: tuple[Path, ...],
    cpu: str,
    whole_lock: bool,
    target_name: str | None,
    sources: tuple[str, ...],
    offered: tuple[Path, ...],
    python: Path | None,
    installed: tuple[str, ...],
    jobs: int | None,
    again: bool,
    as_json: bool,
) -> None:
    """Run wheels on an emulated CPU, and natively, and say what differs.

    Every module is imported, and every probe of the package's probe set is called in a process of its own; nothing of
    the environment is inherited. An instruction that the CPU lacks is told with its bytes, its symbol, its library and
    the Python lines that led there. Before anything is judged, a program that must fail has failed. Verdicts are kept
    by the hashes of all wheels, the probes and the emulator's version.

    What a wheel needs is taken from --with, or from the stack's lock if --target names one. Exits 1 if anything
    differs. Needs the Debian packages qemu-user and gcc.

    \b
    Examples:
      debtool audit run numpy-*.whl
      debtool audit run torch-*.whl --with wheelhouse/
      debtool audit run --lock --target noble
      debtool audit run --python /usr/lib/cheesegrater/venv/bin/python3 --installed torch
    """
    from debtool.audit.baselines import find_baseline
    from debtool.audit.gate_run import Limits, run_installed, run_wheels
    from debtool.cli.output import ProgressWatcher

    _check_usage(wheels, python, installed, whole_lock=whole_lock)
    baseline = find_baseline(cpu)
    limits = Limits(jobs=jobs or len(os.sched_getaffinity(0)))
    with ProgressWatcher() as watcher:
        if python is not None:
            subjects: dict[str, Path] = {}
            progress = _progress(watcher)
            verdicts = run_installed(
                _existing([python])[0], installed, baseline, cache=settings.cache, limits=limits, progress=progress
            )
        else:
            locked = _Locked()
            if whole_lock or target_name is not None:
                locked = _gather(settings, target_name, sources, watcher)
            tried = [*(locked.compiled if whole_lock else ()), *_existing(wheels)]
            verdicts = run_wheels(
                tried,
                baseline,
                offered=[*locked.hashes, *_expanded(offered)],
                python=locked.python,
                cache=settings.cache,
                limits=limits,
                again=again,
                hashes=locked.hashes,
                progress=_progress(watcher),
            )
            subjects = {verdict.subject: path for path, verdict in zip(tried, verdicts, strict=True)}
        joined = {
            verdict.subject: _joined(subjects[verdict.subject], verdict, baseline, settings, limits.jobs, watcher)
            for verdict in verdicts
            if verdict.faults and verdict.subject in subjects
        }
    failed = [verdict for verdict in verdicts if verdict.failed]
    if as_json:
        packages = [_as_json(verdict, joined.get(verdict.subject, ())) for verdict in verdicts]
        emit_json("audit-run", {"baseline": cpu, "failed": bool(failed), "packages": packages})
    else:
        _print(verdicts, joined, baseline)
    if failed:
        raise click.exceptions.Exit(1)


class _Locked:
    """The wheels of a stack's lock: none, until they are gathered."""

    def __init__(self) -> None:
        self.hashes: dict[Path, str] = {}
        self.compiled: list[Path] = []
        self.python: str | None = None


def _check_usage(wheels: Sequence[Path], python: Path | None, installed: Sequence[str], *, whole_lock: bool) -> None:
    if python is not None and (wheels or whole_lock):
        raise click.UsageError("--python tries what is installed: give --installed NAME, and no wheels")
    if (python is None) != (not installed):
        raise click.UsageError("--python and --installed belong together")
    if not (wheels or whole_lock or installed):
        raise click.UsageError("nothing to try: give wheels, --lock, or --python with --installed")


def _existing(wheels: Sequence[Path]) -> Sequence[Path]:
    from debtool.cli.audit.shared import refuse_absent

    refuse_absent(wheels)
    return wheels


def _expanded(paths: Sequence[Path]) -> list[Path]:
    """Return ``paths`` with the wheels in folders in the folders' place."""
    return [wheel for path in _existing(paths) for wheel in (sorted(path.glob("*.whl")) if path.is_dir() else (path,))]


def _gather(settings: Settings, target_name: str | None, sources: tuple[str, ...], watcher: ProgressWatcher) -> _Locked:
    """Return the wheels of the stack's lock: from the cache, fetched or built."""
    from debtool.cli.release import make_request
    from debtool.stack.wheels import gather_wheels

    request = make_request(settings, target_name=target_name, channel=None, directory=None, sources=sources, url=None)
    locked = _Locked()
    locked.python = request.target.python
    for facts in gather_wheels(request, watcher):
        locked.hashes[facts.path] = facts.sha256
        if facts.elf:
            locked.compiled.append(facts.path)
    return locked


def _progress(watcher: ProgressWatcher) -> Callable[[str, int, int], None]:
    begun = False

    def tell(what: str, done: int, total: int) -> None:  # noqa: ARG001 -- the watcher counts itself
        nonlocal begun
        if not begun:
            watcher.stage("run", total)
            begun = True
        watcher.step(what)

    return tell


def _joined(
    wheel: Path, verdict: Verdict, baseline: Baseline, settings: Settings, jobs: int, watcher: ProgressWatcher
) -> tuple[Executed, ...]:
    """Return what the static audit of a wheel that faulted says of the places."""
    from debtool.audit.join import join
    from debtool.audit.rules import load_rules
    from debtool.audit.static import audit_paths

    watcher.stage("audit", None)
    hashes = {wheel: verdict.sha256}
    [static] = audit_paths([wheel], baseline, load_rules(), cache=settings.cache, jobs=jobs, hashes=hashes)
    return join(static, verdict)


def _as_json(verdict: Verdict, joined: Sequence[Executed]) -> dict[str, Any]:
    return {
        **asdict(verdict),
        "failed": verdict.failed,
        "tried": verdict.tried,
        "static": [
            {
                "result": one.result.name,
                "address": one.fault.address,
                "blame": one.blame.value,
                "rule": one.finding.rule if one.finding else None,
                "kind": one.finding.kind.value if one.finding else None,
            }
            for one in joined
        ],
    }


def _print(verdicts: Sequence[Verdict], joined: Mapping[str, Sequence[Executed]], baseline: Baseline) -> None:
    from rich.markup import escape

    from debtool.cli.output import out, print_table
    from debtool.model.text import amount, thousands, visible

    print_table(
        ["verdict", "package", "#modules", "compiled", "not here", "probes", "#seconds"],
        [
            (
                _word(verdict),
                escape(visible(verdict.subject)),
                thousands(verdict.modules),
                f"{verdict.loaded} of {verdict.loaded + verdict.unloaded}",
                str(len(verdict.absent) or ""),
                _tally(verdict),
                f"{verdict.seconds:.0f}",
            )
            for verdict in verdicts
        ],
    )
    for verdict in verdicts:
        for result in verdict.findings:
            out.print()
            out.print(
                f"{visible(verdict.subject)}: {result.name}: {result.outcome}: {visible(result.detail)}",
                markup=False,
                soft_wrap=True,
            )
            if result.fault is not None:
                _print_fault(result.fault)
            for one in joined.get(verdict.subject, ()):
                if one.result.name == result.name:
                    out.print(f"  static     {visible(str(one))}", markup=False, soft_wrap=True)
        _print_absent(verdict)
    failed = sum(verdict.failed for verdict in verdicts)
    first = verdicts[0]
    out.print()
    out.print(f"control: {first.control} ({first.emulator} -cpu {first.cpu})", markup=False, soft_wrap=True)
    tried = [verdict for verdict in verdicts if verdict.tried]
    number = amount(len(tried), "package")
    if failed:
        out.print(f"fails on {baseline.title}: {failed} of {number}", markup=False)
    elif tried:
        out.print(f"no instruction that {baseline.title} lacks was executed, nothing differs: {number}", markup=False)
    if len(tried) < len(verdicts):
        number = amount(len(verdicts) - len(tried), "package")
        out.print(f"nothing is known of {number} whose compiled files need what is not here", markup=False)


def _print_absent(verdict: Verdict) -> None:
    """Tell which probes were not tried, and an example of why compiled files were not."""
    from debtool.cli.output import out
    from debtool.model.text import amount, visible

    told = [f"{name.removeprefix('probe ')}: {reason}" for name, reason in verdict.absent if name.startswith("probe ")]
    if verdict.unloaded:
        loading = next((f"{name}: {reason}" for name, reason in verdict.absent if ".so" in reason), "--json says why")
        told.append(f"{amount(verdict.unloaded, 'compiled file')}, such as {loading}")
    for line in told:
        out.print(visible(f"{verdict.subject}: not tried: {line}"), markup=False, soft_wrap=True)


def _word(verdict: Verdict) -> str:
    """Return the verdict in a word: nothing is known of compiled files that cannot be loaded natively either."""
    if verdict.failed:
        return "[red]FAILS[/]"
    if not verdict.tried:
        return "[yellow]not tried[/]"
    return "runs in part" if verdict.unloaded else "runs"


def _tally(verdict: Verdict) -> str:
    from collections import Counter

    counts = Counter(result.outcome for result in verdict.results)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "none: imports only"


def _print_fault(fault: Fault) -> None:
    from debtool.cli.output import out
    from debtool.model.text import visible

    lines = [
        f"  executed   {fault.code}  {fault.text}",
        f"  in         {fault.name or 'no symbol'}",
        f"  library    {fault.library or 'none: code that was made at run time'} at {fault.address:#x}",
        *(f"  {'from' if not number else '    '}       {line}" for number, line in enumerate(fault.python[:_LINES])),
    ]
    for line in lines:
        out.print(visible(line), markup=False, soft_wrap=True)
    if len(fault.python) > _LINES:
        out.print(f"             and {len(fault.python) - _LINES} more lines (--json)", markup=False)
