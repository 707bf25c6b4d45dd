"""``debtool audit env``."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from debtool.cli.context import emit_json, json_option

if TYPE_CHECKING:
    from debtool.audit.environment import Influence

_VERBS = {
    "forces": "forces code for {needs}",
    "stops": "stops programs: there is no {needs}",
    "compiles": "compiles code for {needs}",
    "ignored": "changes nothing",
}


@click.command()
@click.option("--cpu", default="westmere", show_default=True, metavar="NAME", help="The CPU baseline.")
@click.option("--pid", type=click.IntRange(1), metavar="PID", help="Look at this process instead of this session.")
@json_option
def env(cpu: str, pid: int | None, as_json: bool) -> None:
    """Find environment variables that force instructions on libraries that would ask the CPU.

    Looked at are this session, or the process PID, and what the machine's files set for its users and services. Exits
    1 if something forces, stops or compiles what the CPU lacks.

    \b
    Examples:
      debtool audit env
      debtool audit env --pid 4711 --cpu westmere
      debtool audit env --json
    """
    from debtool.audit.baselines import find_baseline
    from debtool.audit.environment import environment_settings, judge, machine_settings, process_settings

    baseline = find_baseline(cpu)
    settings = environment_settings(os.environ, "this session") if pid is None else process_settings(pid)
    settings += machine_settings()
    influences = judge(settings, baseline)
    findings = [one for one in influences if one.effect != "ignored"]
    if as_json:
        emit_json(
            "audit-env",
            {
                "baseline": cpu,
                "settings": len(settings),
                "findings": [asdict(one) for one in findings],
                "notes": [asdict(one) for one in influences if one.effect == "ignored"],
            },
        )
    else:
        _print(influences)
        count = f"{len(findings)} {'setting does' if len(findings) == 1 else 'settings do'} harm"
        click.echo(f"{baseline.title}: {count if findings else 'no setting does harm'} ({len(settings)} looked at)")
    if findings:
        raise click.exceptions.Exit(1)


def _print(influences: tuple[Influence, ...]) -> None:
    from debtool.cli.output import out
    from debtool.model.text import visible

    for one in influences:
        what = _VERBS[one.effect].format(needs=" and ".join(one.needs).replace("native", "the CPU that compiles"))
        value = visible(f"{one.setting.where}: {one.setting.name}={one.setting.value}")
        out.print(f"{value} {what}", markup=False, soft_wrap=True)
        out.print(f"  {one.reason}", markup=False)
        out.print(f"  ({one.source})\n", markup=False)
