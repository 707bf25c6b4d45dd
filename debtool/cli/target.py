"""``debtool target``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from debtool.cli.context import emit_json, json_option, pass_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from debtool.cli.context import Settings
    from debtool.model.target import Target
    from debtool.stack.project import Project


@click.group()
def target() -> None:
    """Show the systems that packages can be made for.

    \b
    Examples:
      debtool target list
      debtool target show noble-rocm6.3
      debtool target libraries bookworm
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


@target.command()
@click.argument("name")
@click.argument("sonames", nargs=-1, metavar="[SONAME[=PACKAGE]]...")
@click.option("--update", is_flag=True, help="Look the libraries up and write them beside the target's file.")
@click.option(
    "--mirror", metavar="URL", help="The archive to look in.  [default: where this machine's apt gets its own]"
)
@click.option(
    "--from", "origin", metavar="T", help="Guess: read the archive of target T, where NAME's own is out of reach."
)
@click.option(
    "--has", multiple=True, metavar="PACKAGE=VERSION", help="With --from: the version that NAME is taken to have."
)
@json_option
@pass_settings
def libraries(
    settings: Settings,
    name: str,
    sonames: tuple[str, ...],
    update: bool,
    mirror: str | None,
    origin: str | None,
    has: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show which packages of target NAME have which libraries, and since when.

    With --update, those already listed and every SONAME are looked up in the release's archive, as dpkg-shlibdeps
    does: in the symbols and shlibs of the package that has the library. SONAME=PACKAGE says which one that is; else
    it is looked for in the archive's Contents. What the target's file says itself is left alone.

    \b
    Examples:
      debtool target libraries bookworm libz.so.1
      debtool target libraries bookworm --update libsndfile.so.1
      debtool target libraries noble --update --from trixie --has libc6=2.39-0ubuntu8
    """
    from debtool.cli.output import print_table

    if not update and (mirror or origin or has):
        raise click.UsageError("--mirror, --from and --has say where --update looks")
    if has and not origin:
        raise click.UsageError("--has says what NAME has where --from says whose archive is read")
    asked = {soname: package or None for soname, _, package in (one.partition("=") for one in sonames)}
    if update:
        _update(settings.project, name, asked, mirror, origin, dict(_pairs(has)))
    known = settings.project.target(name).sonames
    rows = {soname: one for soname, one in sorted(known.items()) if update or not asked or soname in asked}
    if as_json:
        emit_json("libraries", {"sonames": {soname: one.model_dump() for soname, one in rows.items()}})
        return
    print_table(
        ["library", "package", "at least", "versions", "symbols", "verified", "source"],
        [
            (s, p.package, p.minimum or "", len(p.versions), len(p.symbols), "yes" if p.verified else "no", p.source)
            for s, p in rows.items()
        ],
    )


def _pairs(given: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in given:
        package, separator, version = text.partition("=")
        if not separator or not package or not version:
            raise click.UsageError(f"--has {text}: write PACKAGE=VERSION")
        yield package, version


def _update(
    project: Project,
    name: str,
    asked: Mapping[str, str | None],
    mirror: str | None,
    origin: str | None,
    has: Mapping[str, str],
) -> None:
    """Write what is found of ``asked`` and of what was there before."""
    from debtool.build.apt import opened, release_sources
    from debtool.build.libraries import Guess, find_libraries, format_libraries, holder
    from debtool.deb.files import write_if_changed

    one = project.target(name)
    file, own = _own_libraries(project, one, asked)
    before = {soname: known for soname, known in one.sonames.items() if soname not in own}
    wanted = {soname: holder(known) for soname, known in before.items()} | dict(asked)
    other = one
    if origin is not None:
        other = project.target(origin)
        there = {soname: holder(known) for soname, known in other.sonames.items() if soname not in own}
        wanted = {soname: wanted.get(soname) or there.get(soname) for soname in wanted or there}
    with opened(release_sources(other.distribution, other.codename, mirror), other.architecture) as archive:
        found = find_libraries(wanted, archive, other.codename, None if other is one else Guess(has))
    write_if_changed(file, format_libraries(found).encode())


def _own_libraries(project: Project, one: Target, asked: Iterable[str]) -> tuple[Path, set[str]]:
    """Return the file that a target's libraries are written to, and those that the target's own file tells."""
    from debtool.model.errors import InputError, Issue
    from debtool.model.shipped import is_installed, shipped
    from debtool.model.target import parse_target

    own_file = project.resolve(f"targets/{one.name}.toml")
    file = own_file if own_file.is_file() else shipped("repo/targets") / f"{one.name}.toml"
    if one.extends is not None:
        fix = f"debtool target libraries {one.extends} --update"
        raise InputError(Issue(f"its libraries are those of {one.extends}", file=file, field="extends", fix=fix))
    if is_installed(file):
        fix = f"copy it to {own_file} and run this again"
        raise InputError(Issue("an installed debtool's own data is not changed", file=file, fix=fix))
    own = set(parse_target(file.read_text(encoding="utf-8"), file).sonames)
    if told := sorted(own.intersection(asked)):
        fix = "remove the line to have it looked up"
        raise InputError(*(Issue("is told here", file=file, field=f"sonames.{soname}", fix=fix) for soname in told))
    return file.with_suffix(".libraries.json"), own
