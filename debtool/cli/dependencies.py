"""What a wheel's package depends on, as people and as programs read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from rich.tree import Tree

from debtool.cli.output import out
from debtool.elf.depends import Found, Strength, pinned_run_paths
from debtool.wheel.markers import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from debtool.stack.dependencies import WheelDependencies
    from debtool.stack.facts import WheelFacts


# What everybody expects comes last, and without a reason.
_EXPECTED = {Found.INSIDE, Found.SIBLING}


def print_tree(found: WheelDependencies) -> None:
    """Print requirements, libraries, run paths, device code and the fields that come of them."""
    wheel = found.wheel
    tree = Tree(Text(f"{wheel.name} {wheel.version}", style="bold"))
    python = tree.add(f"Python requirements: {len(found.lines)}")
    for line in sorted(found.lines, key=lambda line: line.verdict is Verdict.EXTRA):
        reasons = [] if line.verdict is Verdict.EXTRA else [line.because]
        _leaf(python, line.text, _joined(line.clauses) or str(line.verdict), *reasons)
    libraries = tree.add(f"Shared libraries: {len(found.libraries)}")
    for need in sorted(found.libraries, key=lambda need: need.found in _EXPECTED):
        result = _joined(need.clauses) or (f"{need.found}: {need.where}" if need.where else str(need.found))
        field = "" if need.strength is Strength.DEPENDS else f"{need.strength}: "
        reasons = [] if need.found in _EXPECTED else [f"needed by {_first(need.paths)}", need.because]
        _leaf(libraries, need.soname, f"{field}{result}", *reasons)
    _add_facts(tree, wheel)
    if found.added:
        _leaf(tree.add("From the stack"), "depends", ", ".join(found.added), found.reason)
    for name, relations in _fields(found).items():
        branch = tree.add(Text(name, style="bold"))
        for relation in relations:
            branch.add(Text(relation))
    out.print(tree)


def _add_facts(tree: Tree, wheel: WheelFacts) -> None:
    """Add what the wheel's files say that becomes no relation."""
    if pinned := pinned_run_paths(wheel.elf):
        paths = tree.add("Absolute run paths")
        for folder, files in pinned.items():
            _leaf(paths, folder, f"in {_first(files)}")
    if wheel.gpu:
        gpu = tree.add("GPU code")
        for path, code in wheel.gpu.items():
            _leaf(gpu, path, ", ".join(code.targets))


def as_data(found: WheelDependencies) -> dict[str, Any]:
    """Return the same as JSON has it."""
    wheel = found.wheel
    return {
        "name": wheel.name,
        "version": str(wheel.version),
        "sha256": wheel.sha256,
        "requirements": [
            {
                "line": line.text,
                "extra": line.extra,
                "marker": line.marker,
                "verdict": str(line.verdict),
                "relations": [str(one) for one in line.clauses],
                "because": line.because,
            }
            for line in found.lines
        ],
        "libraries": [
            {
                "soname": need.soname,
                "needed_by": need.paths,
                "found": str(need.found),
                "where": need.where,
                "field": str(need.strength),
                "relations": [str(one) for one in need.clauses],
                "because": need.because,
            }
            for need in found.libraries
        ],
        "absolute_run_paths": pinned_run_paths(wheel.elf),
        "gpu": {path: code.targets for path, code in wheel.gpu.items()},
        "fields": _fields(found),
        "issues": [str(issue) for issue in found.issues],
    }


def _fields(found: WheelDependencies) -> dict[str, list[str]]:
    fields = {str(strength): found.relations(strength) for strength in Strength}
    fields["Provides"] = list(found.provides)
    return {name: relations for name, relations in fields.items() if relations}


def _leaf(branch: Tree, what: str, result: str, *reasons: str) -> None:
    leaf = branch.add(Text.assemble((what, "cyan"), f"  {result}"))
    for reason in reasons:
        leaf.add(Text(reason, style="dim"))


def _first(paths: Sequence[str]) -> str:
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0]


def _joined(clauses: Iterable[object]) -> str:
    return ", ".join(map(str, clauses))
