"""``debtool torch settings``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from debtool.cli.context import emit_json, json_option, pass_settings
from debtool.cli.torch.choice import Asked, choice_for, choice_options, chosen_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from debtool.cli.context import Settings
    from debtool.torch.guide import Flag
    from debtool.torch.settings import Choice, Chosen
    from debtool.torch.table import Release

_PLACES = 3
_LEFT = 34
"""Columns of a terminal for the settings themselves."""
_GOES = {"environment": "", "plain": "", "cache": " (in CMake's cache)"}
_LEVELS = {"free": "no unit is compiled for AVX", "dispatch-safe": "no AVX runs before the CPU was asked"}
_CHECKED = {
    "configured": "its sources were read, and configured with these settings",
    "read": "its sources were read",
    "assumed": "its sources were not at hand",
}


@click.command()
@choice_options
@click.option("--explain", is_flag=True, help="Name the sources, and say of a known guide's flags what each does.")
@click.option(
    "--source",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="A source tree of PyTorch: say where it reads each setting.",
)
@json_option
@pass_settings
def settings(settings: Settings, /, *, explain: bool, source: Path | None, as_json: bool, **asked: Any) -> None:
    """Show what is set for a build of PyTorch, why, and where PyTorch reads it.

    After configure, every one of them is held against what CMake made of it: a setting that did not take stops the
    build. With --source, the tree is searched for each; what nothing reads changes nothing.

    \b
    Examples:
      debtool torch settings --explain
      debtool torch settings --target noble-rocm6.3 --level dispatch-safe --gpu gfx1030
      debtool torch settings --version 2.6.0 --cpu-only --source pytorch --json
    """
    from debtool.torch.guide import load_guide
    from debtool.torch.settings import load_settings

    options = Asked(**asked)
    target, choice = choice_for(settings, options)
    chosen = chosen_for(choice, options)
    flags = load_guide().flag if explain else ()
    found = _found(source, chosen, flags)
    release = load_settings().release_of(choice.version)
    if as_json:
        about: dict[str, Any] = {"target": target.name, "version": str(choice.version), "level": choice.level.value}
        about |= {"rocm": choice.rocm, "gpu": choice.gpu, "march": choice.march, "flavour": choice.flavour}
        tree = None if source is None else str(source)
        rows = [_data(one, found) for one in chosen]
        guide = [flag.model_dump() | {"found": _lines(found, flag.names)} for flag in flags]
        emit_json(
            "torch-settings",
            {**about, "release": release.model_dump(), "source": tree, "settings": rows, "guide": guide},
        )
        return
    _print(choice, chosen, release, found, explain=explain)
    if flags:
        _print_guide(flags, found)


def _found(source: Path | None, chosen: Sequence[Chosen], flags: Sequence[Flag]) -> dict[str, list[str]] | None:
    """Return where the tree reads each setting, by its name; None without a tree."""
    from debtool.torch.reads import reads, reads_settings

    if source is None:
        return None
    found = reads_settings(source, chosen)
    others = [name for flag in flags for name in flag.names if name not in found]
    found |= reads(source, others, third_party=others)
    return {name: [str(place) for place in places] for name, places in found.items()}


def _lines(found: Mapping[str, list[str]] | None, names: Sequence[str]) -> dict[str, list[str]] | None:
    return None if found is None else {name: found[name] for name in names}


def _data(one: Chosen, found: Mapping[str, list[str]] | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "value": one.value,
        "goes": one.goes,
        "reason": one.reason,
        "source": one.source,
        "by_user": one.by_user,
        "read_in_2.6.0": list(one.read),
        "read": None if found is None else found[one.name],
    }


def _print(
    choice: Choice, chosen: Sequence[Chosen], release: Release, found: Mapping[str, list[str]] | None, *, explain: bool
) -> None:
    from debtool.cli.output import out

    for_what = f"ROCm {choice.rocm} for {' and '.join(choice.gpu)}" if choice.rocm else "the CPU only"
    out.print(f"[bold]PyTorch {choice.version}[/bold]: {for_what}, -march={choice.march}, {choice.flavour} source")
    out.print(f"level {choice.level.value}: {_LEVELS[choice.level.value]}\n")
    rows = []
    for one in chosen:
        told = [_read_by(one, found), *([f"source: {one.source}"] if explain else [])]
        rows.append((_setting(one), one.reason, told))
    _print_pairs("setting", "why, and where it is read", rows)
    if found is None:
        out.print(
            f"Lines are those of 2.6.0. PyTorch {release.series}: {_CHECKED[release.checked]} ({release.source})."
        )
    elif idle := [one.name for one in chosen if not found[one.name] and not _is_cmake(one)]:
        out.print(f"This tree reads nothing of: {', '.join(idle)}", style="yellow")


def _setting(one: Chosen) -> str:
    """Return ``NAME=VALUE``; on a terminal, what is long goes on in further lines."""
    from debtool.cli.output import out

    whole = f"{one.name}={one.value}"
    if not out.is_terminal or len(whole) <= _LEFT:
        return whole
    name = one.name
    if len(name) >= _LEFT:
        end = name.rindex("_", 0, _LEFT) + 1
        name = f"{name[:end]}\n{name[end:]}"
    return f"{name}=\n  {one.value}"


def _print_pairs(left: str, right: str, rows: Iterable[tuple[str, str, Sequence[str]]]) -> None:
    """Print what is set at the left, and at the right a text with notes; readable in 80 columns."""
    from rich.table import Table
    from rich.text import Text

    from debtool.cli.output import out

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(left, overflow="fold", max_width=_LEFT if out.is_terminal else None)
    table.add_column(right, overflow="fold")
    for setting, text, notes in rows:
        told = Text(text)
        for note in notes:
            told.append(f"\n{note}", "dim")
        # A terminal breaks the lines: an empty one keeps the settings apart.
        gap = "\n" if out.is_terminal else ""
        table.add_row(Text(setting + gap), told.append(gap))
    out.print(table)


def _read_by(one: Chosen, found: Mapping[str, list[str]] | None) -> str:
    where = _GOES[one.goes]
    if _is_cmake(one):
        return f"read by CMake itself{where}"
    if found is None:
        return f"read by {', '.join(one.read) if one.read else 'whom is not known here'}{where}"
    return f"read by {_places(found[one.name])}{where}"


def _is_cmake(one: Chosen) -> bool:
    return one.name.startswith("CMAKE_")


def _print_guide(flags: Sequence[Flag], found: Mapping[str, list[str]] | None) -> None:
    from debtool.cli.output import out

    out.print("\n[bold]What a widespread guide for the Mac Pro 5,1 sets[/bold]\n")
    rows = []
    for flag in flags:
        here = _lines(found, flag.names) or {}
        notes = [f"meant: {flag.meant}", f"instead: {flag.instead}", f"source: {flag.source}"]
        notes += [f"{name} is read by {_places(places)}" for name, places in here.items()]
        rows.append((flag.wrote, flag.does, notes))
    _print_pairs("the guide", "what it does", rows)


def _places(places: Sequence[str]) -> str:
    more = f" and {len(places) - _PLACES} more" if len(places) > _PLACES else ""
    return f"{', '.join(places[:_PLACES]) or 'nothing in this tree'}{more}"
