"""Which packages of the target have what a package's ELF files need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from debtool.model.errors import InputError, Issue
from debtool.model.relations import Clause, Relation, clause

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from debtool.elf.needs import ElfNeeds
    from debtool.model.target import Target

_MACHINE = {"amd64": ("EM_X86_64", 64)}

_GLIBC = re.compile(
    r"(?:ld-linux-x86-64|lib(?:c|m|mvec|dl|pthread|rt|util|resolv|anl|nsl|BrokenLocale|thread_db|crypt_r))\.so\.[0-9]+"
)
"""Libraries that are glibc's own (package libc6); libcrypt is not."""

_STDCXX_SINCE = {
    "GLIBCXX_3.4.20": "4.9",
    "GLIBCXX_3.4.21": "5.2",
    "GLIBCXX_3.4.22": "6",
    "GLIBCXX_3.4.23": "7",
    "GLIBCXX_3.4.24": "7",
    "GLIBCXX_3.4.25": "8",
    "GLIBCXX_3.4.26": "9",
    "GLIBCXX_3.4.27": "9.2",
    "GLIBCXX_3.4.28": "9.3",
    "GLIBCXX_3.4.29": "11",
    "GLIBCXX_3.4.30": "12",
    "GLIBCXX_3.4.31": "13",
    "GLIBCXX_3.4.32": "13.2",
    "GLIBCXX_3.4.33": "14",
    "GLIBCXX_3.4.34": "15",
    "CXXABI_1.3.8": "4.9",
    "CXXABI_1.3.9": "5",
    "CXXABI_1.3.10": "6",
    "CXXABI_1.3.11": "7",
    "CXXABI_1.3.12": "9",
    "CXXABI_1.3.13": "11",
    "CXXABI_1.3.14": "13",
    "CXXABI_1.3.15": "14",
    "CXXABI_1.3.16": "15",
}
"""The GCC whose libstdc++ was the first with a symbol version (GCC manual "ABI Policy and Guidelines")."""

_OLDEST_STDCXX = "4.8"
"""What every older symbol version needs at most; no target has a libstdc++ as old as that."""


def needed_sonames(files: Mapping[str, ElfNeeds], target: Target) -> dict[str, list[str]]:
    """Return the libraries that ``files`` (by path) need from outside, each with the paths that need it.

    A library that is among the files, by its file name or by its soname, is inside. Files of another architecture than
    the target's are not looked at: wheels carry such, as data.
    """
    native = {
        path: needs for path, needs in files.items() if (needs.machine, needs.bits) == _MACHINE[target.architecture]
    }
    inside = {path.rpartition("/")[2] for path in native} | {needs.soname for needs in native.values()}
    found: dict[str, list[str]] = {}
    for path, needs in sorted(native.items()):
        for soname in needs.needed:
            if soname not in inside:
                found.setdefault(soname, []).append(path)
    return found


def library_clauses(files: Mapping[str, ElfNeeds], target: Target, *, provided: Collection[str] = ()) -> list[Clause]:
    """Return the relations on the target's packages that ``files`` (by path) need.

    ``provided`` are the sonames that come with other packages, on which there is a relation already: those of the
    wheels that this one requires. Raises ``InputError`` with every library that no package is known for, and with the
    line that tells the target file; also if a symbol version is newer than the target's glibc.
    """
    clauses: list[Clause] = []
    issues: list[Issue] = []
    for soname, paths in needed_sonames(files, target).items():
        if soname in provided:
            continue
        versions = {version for path in paths for version in files[path].versions.get(soname, ())}
        if _GLIBC.fullmatch(soname):
            clauses.append(clause("libc6", ">=", _glibc_minimum(versions)))
            issues += _too_new(paths[0], versions, target)
        elif soname == "libstdc++.so.6":
            newest = max((_STDCXX_SINCE.get(version, _OLDEST_STDCXX) for version in versions), default="", key=_order)
            clauses.append(clause("libstdc++6", ">=", newest or _OLDEST_STDCXX))
        elif soname == "libgcc_s.so.1":
            numbers = [version.removeprefix("GCC_") for version in versions if version.startswith("GCC_")]
            clauses.append(clause("libgcc-s1", ">=", max(numbers, default="3.0", key=_order)))
        elif known := target.libraries.get(soname):
            alternatives = [name.strip() for name in known.package.split("|")]
            clauses.append(
                Clause(
                    tuple(
                        Relation(name, ">=", known.minimum) if known.minimum else Relation(name)
                        for name in alternatives
                    )
                )
            )
        else:
            issues.append(_unknown(soname, paths, target))
    if issues:
        raise InputError(*issues)
    return _highest(clauses)


def _glibc_minimum(versions: Iterable[str]) -> str:
    """Return the lowest glibc that has all ``versions``."""
    numbers = [version.removeprefix("GLIBC_") for version in versions if re.fullmatch(r"GLIBC_[0-9.]+", version)]
    if "GLIBC_ABI_DT_RELR" in versions:
        numbers.append("2.36")
    return max(numbers, default="2.2.5", key=_order)


def _too_new(path: str, versions: Iterable[str], target: Target) -> list[Issue]:
    minimum = _glibc_minimum(versions)
    if _order(minimum) <= _order(target.glibc):
        return []
    problem = f"needs glibc {minimum}, and {target.name} has {target.glibc}"
    return [Issue(problem, fix="take a wheel built for an older glibc (manylinux tag), or build it", field=path)]


def _unknown(soname: str, paths: list[str], target: Target) -> Issue:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return Issue(
        f"no package of {target.name} is known to have {soname}, which {paths[0]}{more} needs",
        fix=f'add to the target file: sonames."{soname}" = {{ package = "…", source = "apt-file search {soname}" }}',
        field=soname,
    )


def _highest(clauses: Iterable[Clause]) -> list[Clause]:
    """Return the clauses, of several on the same packages only the one with the highest version."""
    best: dict[tuple[str, ...], Clause] = {}
    for each in clauses:
        names = tuple(relation.package for relation in each.alternatives)
        other = best.get(names)
        if other is None or _order(each.alternatives[0].version) > _order(other.alternatives[0].version):
            best[names] = each
    return sorted(best.values(), key=str)


def _order(version: str | None) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", version or ""))
