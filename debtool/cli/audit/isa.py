"""``debtool audit isa``."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from debtool.cli.context import emit_json, json_option, pass_settings
from debtool.model.text import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from debtool.audit.baselines import Baseline
    from debtool.audit.findings import FileAudit, Finding, Level, PackageAudit
    from debtool.audit.rules import Rules
    from debtool.audit.summary import Group
    from debtool.cli.context import Settings
    from debtool.cli.output import ProgressWatcher

_TOLD = 5
"""How many findings of one rule are told without --all."""

_FEATURES = 4
"""How many CPUID features are told in a file's line without --all."""

_LONGEST = 160
"""How many characters of a name are told without --all."""

_SHOWN = 40
"""How many characters of a file's name are shown beside the progress bar."""

_COLOURS = {"free": "green", "dispatch-safe": "cyan", "unproven": "red"}


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--cpu", default="westmere", show_default=True, metavar="NAME", help="The CPU baseline.")
@click.option(
    "--require",
    type=click.Choice(["dispatch-safe", "free"]),
    default="dispatch-safe",
    show_default=True,
    help="The level that every file must reach.",
)
@click.option("--all", "whole", is_flag=True, help="Tell every finding, the safe ones too, and every file.")
@click.option("--sarif", "sarif_file", type=click.Path(dir_okay=False, path_type=Path), help="Write SARIF 2.1.0 there.")
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page there.")
@click.option(
    "--rules",
    "rules_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What code is dispatched, and why.  [default: the rules that debtool brings]",
)
@click.option("--jobs", "-j", type=click.IntRange(1), help="Processes that work at once.  [default: the processors]")
@json_option
@pass_settings
def isa(
    settings: Settings,
    paths: tuple[Path, ...],
    cpu: str,
    require: str,
    whole: bool,
    sarif_file: Path | None,
    html_file: Path | None,
    rules_file: Path | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Find instructions that a CPU lacks in wheels, packages, folders and files.

    A file is free if it contains none; dispatch-safe if it contains some, but only where a recorded rule says that the
    CPU is asked first; else unproven. Reading code cannot prove that it is executed: debtool audit run tries it.

    Exits 1 if a file does not reach the level that is required.

    \b
    Examples:
      debtool audit isa numpy-*.whl
      debtool audit isa torch-*.whl --html torch.html --sarif torch.sarif
      debtool audit isa /opt/rocm/lib /usr/lib/cheesegrater/venv --cpu westmere
      debtool audit isa libfoo.so --require free --json
    """
    from debtool.audit.baselines import find_baseline
    from debtool.audit.findings import Level
    from debtool.audit.rules import load_rules
    from debtool.audit.static import audit_paths
    from debtool.audit.summary import document
    from debtool.cli.audit.shared import refuse_absent
    from debtool.cli.output import ProgressWatcher
    from debtool.deb.files import outside_errors, replace_file

    refuse_absent(paths)
    baseline = find_baseline(cpu)
    rules = load_rules(rules_file)
    with ProgressWatcher() as watcher:
        audits = audit_paths(
            paths,
            baseline,
            rules,
            cache=settings.cache,
            jobs=jobs or len(os.sched_getaffinity(0)),
            progress=_progress(watcher),
        )
    order = list(Level)
    level = max((audit.level for audit in audits), key=order.index)
    reached = order.index(level) <= order.index(Level(require))
    with outside_errors("writing the report"):
        if sarif_file is not None:
            from debtool.audit.sarif import sarif

            replace_file(sarif_file.absolute(), json.dumps(sarif(audits, rules), indent=1).encode())
        if html_file is not None:
            from debtool.audit.page import audit_page

            replace_file(html_file.absolute(), audit_page(audits, baseline, rules))
    if as_json:
        packages = [document(audit, rules, whole=whole) for audit in audits]
        emit_json(
            "audit-isa",
            {"baseline": cpu, "level": level.value, "required": require, "reached": reached, "packages": packages},
        )
    else:
        for audit in audits:
            # Of several, what is free is told in the table of all alone.
            if whole or len(audits) == 1 or audit.level is not Level.FREE:
                _print_package(audit, rules, whole=whole)
        if len(audits) > 1:
            _print_all(audits)
        click.echo("\n".join(_conclusion(audits, level, baseline)))
    if not reached:
        raise click.exceptions.Exit(1)


def _progress(watcher: ProgressWatcher) -> Callable[[str, int, int], None]:
    """Return what tells the watcher how far the audit is: in megabytes, of which more may be found."""
    from debtool.model.text import visible

    watcher.stage("audit, MB", None)
    return lambda what, done, total: watcher.reach(
        done // 1_000_000, -(-total // 1_000_000), _cut(visible(Path(what).name), _SHOWN)
    )


def _print_package(audit: PackageAudit, rules: Rules, *, whole: bool) -> None:
    from rich.markup import escape

    from debtool.audit.findings import SAFE
    from debtool.audit.summary import groups
    from debtool.cli.output import out, print_table
    from debtool.model.text import amount, visible

    code = sum(file.code for file in audit.files)
    instructions = sum(file.instructions for file in audit.files)
    files = amount(len(audit.files), "ELF file")
    out.print(
        f"{escape(visible(audit.subject))}: [bold {_COLOURS[audit.level]}]{audit.level}[/] for {audit.baseline}",
        soft_wrap=True,
    )
    if not audit.files:
        out.print("  no ELF file: there is nothing to audit\n")
        return
    out.print(f"  {files}, {human_bytes(code)} of code, {short(instructions)} instructions", markup=False)
    listed = [file for file in audit.files if whole or file.note or file.findings]
    if listed:
        out.print()
        print_table(
            ["level", "file", "#code", "#instr.", "functions beyond it", "instructions beyond it"],
            [_row(file, whole=whole) for file in listed],
        )
    if rest := len(audit.files) - len(listed):
        verb = "is" if rest == 1 else "are"
        what = amount(rest, "more file" if listed else "file")
        out.print(f"{what} {verb} free" + ("" if len(audit.files) == 1 else " (--all names them)"), markup=False)
    if not whole:
        for line in _safe(audit, rules):
            out.print(line, markup=False, soft_wrap=True)
    for file in audit.files:
        for group in groups(file.findings):
            if whole or group.kind not in SAFE:
                out.print()
                for line in _group(file, group, rules, told=None if whole else _TOLD):
                    out.print(line, markup=False, soft_wrap=True)
    out.print()


def _safe(audit: PackageAudit, rules: Rules) -> Iterator[str]:
    """Yield which rules call what safe, and why."""
    from debtool.audit.findings import SAFE
    from debtool.audit.rules import explain
    from debtool.audit.summary import groups
    from debtool.model.text import amount

    findings = (finding for file in audit.files for finding in file.findings if finding.kind in SAFE)
    for group in groups(findings):
        why = explain(group.rule, rules)
        yield f"\n{group.kind} by {group.rule}: {amount(len(group.findings), 'function')}"
        yield f"  {why.reason} ({why.source})"


def _row(file: FileAudit, *, whole: bool) -> tuple[str, ...]:
    from rich.markup import escape

    from debtool.audit.summary import by_feature, by_kind, verdict
    from debtool.model.text import thousands, visible

    path = escape(visible(file.path))
    if file.note:
        return verdict(file) or "-", path, "", "", f"not audited: {escape(visible(file.note))}", ""
    kinds = ", ".join(f"{thousands(tally.functions)} {kind}" for kind, tally in by_kind(file.findings).items())
    features = by_feature(file.findings)
    told = [f"{name} {short(tally.instructions)}" for name, tally in features.items()]
    if not whole and len(told) > _FEATURES:
        told[_FEATURES:] = [f"{len(told) - _FEATURES} more"]
    return (
        f"[{_COLOURS[file.level]}]{file.level}[/]",
        path,
        human_bytes(file.code),
        short(file.instructions),
        kinds,
        ", ".join(told),
    )


def _group(file: FileAudit, group: Group, rules: Rules, *, told: int | None) -> Iterator[str]:
    """Yield the lines that tell what one rule found in a file."""
    from debtool.audit.rules import explain
    from debtool.model.text import amount, visible

    why = explain(group.rule, rules)
    yield f"{visible(file.path)}: {group.kind} by {group.rule}: {amount(len(group.findings), 'function')}"
    yield f"  {why.reason} ({why.source})"
    if told is not None and len(group.findings) > told:
        yield f"  {_origins(group)}"
    # What is known to be reached says most.
    for finding in sorted(group.findings, key=lambda one: not one.path)[:told]:
        yield from _finding(finding, longest=None if told is None else _LONGEST)
    if told is not None and len(group.findings) > told:
        yield f"  and {amount(len(group.findings) - told, 'more function')} (--all tells them)"


def _origins(group: Group) -> str:
    """Return which units most of a group comes from, or which namespaces where the units are unknown."""
    from debtool.audit.summary import origin
    from debtool.model.text import thousands, visible

    counts = Counter(origin(finding) for finding in group.findings)
    told = [f"{visible(name)} {thousands(number)}" for name, number in counts.most_common(_TOLD)]
    if len(counts) > _TOLD:
        told.append(f"{thousands(len(counts) - _TOLD)} more")
    return f"most of them in: {', '.join(told)}"


def _finding(finding: Finding, *, longest: int | None) -> Iterator[str]:
    from debtool.audit.summary import by_feature, title
    from debtool.model.text import visible

    first = finding.features[0]
    features = ", ".join(f"{name} {tally.instructions}" for name, tally in by_feature([finding]).items())
    binding = [finding.binding, *(["exported"] if finding.exported else [])]
    where = [visible(finding.unit), visible(finding.section), " ".join(filter(None, binding)), features]
    yield f"  {_cut(title(finding), longest)}"
    yield f"      {', '.join(filter(None, where))}"
    yield f"      {first.address:#x}: {first.code}  {first.text}"
    if len(finding.path) == 1:
        yield f"      entered {'from other files: it is exported' if finding.exported else 'by its address'}"
    for number, step in enumerate(finding.path if len(finding.path) > 1 else ()):
        yield f"      {'-> ' if number else 'reached from '}{_cut(visible(step), longest)}"


def _cut(text: str, longest: int | None) -> str:
    """Return ``text`` without its middle if it is longer than ``longest``: templates make names of pages.

    >>> _cut("std::vector<int, std::allocator<int>>::push_back(int)", 30)
    'std::vector<in … :push_back(int)'
    """
    if longest is None or len(text) <= longest:
        return text
    half = longest // 2 - 1
    return f"{text[:half]} … {text[-half - 1 :]}"


def _print_all(audits: Sequence[PackageAudit]) -> None:
    """Print a line for each subject."""
    from rich.markup import escape

    from debtool.audit.summary import by_kind
    from debtool.cli.output import out, print_table
    from debtool.model.text import thousands, visible

    rows = []
    for audit in audits:
        kinds = by_kind(finding for file in audit.files for finding in file.findings)
        told = ", ".join(f"{thousands(tally.functions)} {kind}" for kind, tally in kinds.items())
        level = f"[{_COLOURS[audit.level]}]{audit.level}[/]"
        if not audit.files:
            told = "no native code"
        rows.append((level, escape(visible(audit.subject)), len(audit.files), told))
    print_table(["level", "audited", "#files", "functions beyond it"], rows)
    out.print()


def _conclusion(audits: Sequence[PackageAudit], level: Level, baseline: Baseline) -> Iterator[str]:
    """Yield the level of the whole, and what the levels mean."""
    from debtool.audit.summary import LEVELS

    if len(audits) > 1:
        yield f"all {len(audits)}: {level} for {baseline.name}"
    for one, promise in LEVELS.items():
        yield f"{one}: {promise}"


def short(number: int) -> str:
    """Return a number in three digits.

    >>> short(72), short(31376), short(3_170_000)
    ('72', '31.4 k', '3.17 M')
    """
    value, unit = float(number), ""
    for larger in (" k", " M"):
        if value >= 999.5:  # noqa: PLR2004 -- prefixes are powers of a thousand
            value, unit = value / 1000, larger
    return f"{value:.3g}{unit}"
