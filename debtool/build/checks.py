"""Checks of a machine before a long build: what was found, what was wanted, and what mends it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from debtool.model.errors import Issue, OutsideError

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict: TypeAlias = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is, as people call it: ``cmake``, ``ROCm hipblaslt``.
        verdict: ``missing`` stops the build, ``warning`` asks for a look.
        found: What is there, in words.
        wanted: What there should be.
        why: What needs it, with its source.
        packages: The apt packages that mend it.
        fix: The whole line that mends it, or what to do where apt cannot; "" where nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    wanted: str
    why: str
    packages: tuple[str, ...] = ()
    fix: str = ""


def check(
    name: str, verdict: Verdict, found: str, wanted: str, why: str, *, packages: Iterable[str] = (), fix: str = ""
) -> Check:
    """Return a check whose fix follows from its packages unless it is said; one that is ``ok`` needs neither.

    >>> check("git", "missing", "not on PATH", "git", "clones", packages=["git"]).fix
    'apt install git'
    """
    if verdict == "ok":
        return Check(name, verdict, found, wanted, why)
    packages = tuple(packages)
    if packages and not fix:
        fix = f"apt install {' '.join(packages)}"
    return Check(name, verdict, found, wanted, why, packages, fix)


def fix_command(checks: Iterable[Check], *, superuser: bool | None = None) -> str:
    """Return lines for a shell that mend what is not ok; "" where nothing is to be mended.

    What apt cannot mend comes first, as comments: an archive must be known before anything is installed from it. Then
    one ``apt install`` for all packages, sorted, and what other commands of apt do.

    Args:
        checks: The checks.
        superuser: Whether who runs it is root; by default whoever runs this.

    >>> print(fix_command([check("git", "missing", "no", "git", "", packages=["git"])], superuser=False))
    sudo apt install git
    """
    if superuser is None:
        superuser = os.geteuid() == 0
    sudo = "" if superuser else "sudo "
    open_ = [one for one in checks if one.verdict != "ok"]
    others = [one for one in open_ if not one.packages and one.fix]
    lines = [f"# {one.name}: {one.fix}" for one in others if not one.fix.startswith("apt")]
    if packages := sorted({package for one in open_ for package in one.packages}):
        lines.append(f"{sudo}apt install {' '.join(packages)}")
    lines += [f"{sudo}{one.fix}" for one in others if one.fix.startswith("apt")]
    return "\n".join(dict.fromkeys(lines))


def refuse(checks: Iterable[Check]) -> None:
    """Raise ``OutsideError`` with one issue for each check that found something missing, if there is any."""
    issues = [
        Issue(f"{one.found}; wanted: {one.wanted}", fix=one.fix, field=one.name, rule=one.why)
        for one in checks
        if one.verdict == "missing"
    ]
    if issues:
        raise OutsideError(*issues)
