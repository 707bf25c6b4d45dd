"""``debtool target``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from debtool.cli.context import emit_json, json_option, pass_settings

if TYPE_CHECKING:
    from debtool.cli.context import Settings


@click.group()
def target() -> None:
    """Show the systems that packages can be made for.

    \b
    Examples:
      debtool target list
      debtool target show noble-rocm6.3
    """


@target.command("list")
@json_option
@pass_settings
def list_(settings: Settings, as_json: bool) -> None:
    """List the known targets, the stack's own among them.

    \b
    Examples:
      debtool target list
      debtool target list --json
    """
    from debtool.cli.output import print_table

    project = settings.project
    targets = list(project.targets())
    if as_json:
        emit_json(
            "targets",
            {"targets": [t.model_dump(exclude={"sonames": True, "rocm": {"sonames"}}, by_alias=True) for t in targets]},
        )
        return
    rows = [
        (t.name, "yes" if t.name in project.stack.targets else "", t.title, t.python, t.rocm.release if t.rocm else "-")
        for t in targets
    ]
    print_table(["target", f"in {project.stack.name}", "system", "python", "ROCm"], rows)


@target.command()
@click.argument("name")
@json_option
@pass_settings
def show(settings: Settings, name: str, as_json: bool) -> None:
    """Show target NAME: its versions, its notes and its libraries.

    \b
    Examples:
      debtool target show noble-rocm6.1
    """
    from debtool.cli.output import out, print_table

    one = settings.project.target(name)
    if as_json:
        emit_json("target", one.model_dump(by_alias=True))
        return
    facts = {
        "system": one.title,
        "tag in versions": f"~{one.tag}",
        "architecture": one.architecture,
        "python": one.python_full,
        "glibc": one.glibc,
        "dpkg": f"{one.dpkg} (packages are compressed with {one.compression})",
        "ROCm": one.rocm.release if one.rocm else "none",
    }
    print_table([one.name, ""], facts.items())
    for note in one.notes:
        out.print(f"\nnote: {note.strip()}")
    out.print()
    print_table(
        ["library", "package", "at least", "verified", "source"],
        [
            (s, p.package, p.minimum or "", "yes" if p.verified else "no", p.source)
            for s, p in sorted(one.libraries.items())
        ],
    )
