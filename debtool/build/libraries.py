"""Which package of a release has a shared library, and since when: read from the release's own archive by apt.

The rule is dpkg-shlibdeps(1)'s: the package's ``symbols`` file, else its ``shlibs`` file; for a library in neither, the
package that Contents names. What is needed is the archive alone: nothing of the release has to be installed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from debian.deb822 import PkgRelation

from debtool.deb.reader import iter_paths, read_deb
from debtool.deb.symbols import BASE, parse_shlibs, parse_symbols, soname_parts
from debtool.model.errors import InputError, Issue
from debtool.model.target import Soname
from debtool.model.versions import DebianVersion

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from debtool.build.apt import AptArchive
    from debtool.deb.reader import DebInfo
    from debtool.deb.symbols import Library

# Where the dynamic linker looks without being told (ld.so(8)), with Debian's folders for several architectures.
_FOLDERS = frozenset(f"{base}{name}" for base in ("", "usr/") for name in ("lib/x86_64-linux-gnu", "lib", "lib64"))
_MINIMUM = "#MINVER#"
_SOURCE = re.compile(r"(?:symbols|shlibs|files) of (\S+) ")


@dataclass(frozen=True, slots=True)
class Guess:
    """That a release whose archive is out of reach has what another one has, at other versions.

    Attributes:
        versions: By package, the version that it is taken to have.
    """

    versions: Mapping[str, str]

    def apply(self, known: Soname, package: str) -> Soname:
        """Return ``known``, of ``package`` in the other release, as a guess."""
        has = self.versions.get(package)
        source = f"{known.source}; no archive of this release was at hand"
        if has:
            source += f", it is taken to have {package} {has}"
        # A shlibs file's bound is often no more than the version that it was compiled as.
        doubtful = known.source.startswith("shlibs") or (has and known.minimum and _is_above(known.minimum, has))
        minimum = None if doubtful else known.minimum
        return known.model_copy(update={"source": source, "verified": False, "minimum": minimum})


def find_libraries(
    asked: Mapping[str, str | None], archive: AptArchive, codename: str, guess: Guess | None = None
) -> dict[str, Soname]:
    """Return what ``archive``, that of release ``codename``, says of each library.

    Args:
        asked: By soname, the package that is known to have it; None where that has to be looked for in Contents.
        archive: Where to look.
        codename: Its release, which is named as the source.
        guess: What is known of the release that is asked for, if it is another.

    Raises:
        InputError: Libraries that no package has, or that several have; all of them.
        OutsideError: The archive cannot be read.
    """
    found: dict[str, Soname] = {}
    issues: list[Issue] = []
    hinted = {soname: {package} for soname, package in asked.items() if package}
    missing = hinted.keys() - _read_packages(hinted, archive, codename, found, issues, guess)
    looked_for = {soname for soname in asked if soname not in hinted} | missing
    candidates = _holders(looked_for, archive) if looked_for else {}
    _read_packages(candidates, archive, codename, found, issues, guess)
    issues += (
        Issue(
            f"no package of {codename} has this library where the dynamic linker looks",
            field=soname,
            fix="correct the name; or name the package: SONAME=PACKAGE",
        )
        for soname in sorted(looked_for - candidates.keys())
    )
    if issues:
        raise InputError(*issues)
    return dict(sorted(found.items()))


def _read_packages(
    holders: Mapping[str, Iterable[str]],
    archive: AptArchive,
    codename: str,
    found: dict[str, Soname],
    issues: list[Issue],
    guess: Guess | None,
) -> set[str]:
    """Add to ``found`` what the packages say of the sonames in ``holders``; return the sonames that they have."""
    told: dict[str, dict[str, Soname]] = {}
    for package, file in archive.download({name for names in holders.values() for name in names}).items():
        info = read_deb(file)
        names, links = _public_names(file)
        for soname in (one for one, packages in holders.items() if package in packages):
            try:
                known = soname_of(soname, info, links, codename, guess.versions.get(package) if guess else None)
            except InputError as error:
                issues += error.issues
                told.setdefault(soname, {})
                continue
            if known is None and soname in names:
                source = f"files of {_release_of(info)} ({codename})"
                known = Soname(package=package, source=source)
            if known is not None and guess is not None:
                known = guess.apply(known, package)
            if known is not None:
                told.setdefault(soname, {})[package] = known
    for soname, by_package in told.items():
        rules = {(one.package, one.minimum) for one in by_package.values()}
        if len(rules) > 1:
            several = ", ".join(sorted(by_package))
            fix = "choose one, SONAME=PACKAGE; or write the library into the target file"
            issues.append(Issue(f"several packages have it: {several}", field=soname, fix=fix))
        elif by_package:
            found[soname] = by_package[min(by_package)]
    return set(told)


def _public_names(file: Path) -> tuple[set[str], dict[str, str]]:
    """Return the names in the linker's folders that ``file`` has, and where those lead that are links to another."""
    names: set[str] = set()
    links: dict[str, str] = {}
    for entry in iter_paths(file):
        path = PurePosixPath(entry.path)
        if str(path.parent).removeprefix("/") in _FOLDERS and entry.kind in ("file", "symlink"):
            names.add(path.name)
            if entry.kind == "symlink" and "/" not in entry.target:
                links[path.name] = entry.target
    return names, links


def _holders(sonames: Collection[str], archive: AptArchive) -> dict[str, set[str]]:
    """Return the packages that have each library: in the linker's folders, else one below them (alternatives)."""
    public: dict[str, set[str]] = {}
    below: dict[str, set[str]] = {}
    for path, packages in archive.files():
        folder, _, name = path.rpartition("/")
        if name in sonames:
            place = public if folder in _FOLDERS else below if folder.rpartition("/")[0] in _FOLDERS else None
            if place is not None:
                place.setdefault(name, set()).update(packages)
    return below | public


def format_libraries(libraries: Mapping[str, Soname]) -> str:
    """Return the text of a ``<target>.libraries.json``: one library after another, sorted, so that changes show.

    Symbol versions and symbols have a line each, in the order of the package versions.
    """
    table = {}
    for soname, known in sorted(libraries.items()):
        values = known.model_dump(exclude_defaults=True)
        for key in ("versions", "symbols"):
            if key in values:
                values[key] = dict(sorted(values[key].items(), key=lambda item: (DebianVersion(item[1]), item[0])))
        table[soname] = values
    return json.dumps({"sonames": table}, indent=1) + "\n"


def _is_above(version: str, other: str) -> bool:
    return DebianVersion(version) > DebianVersion(other)


def soname_of(
    soname: str, info: DebInfo, links: Mapping[str, str], codename: str, until: str | None = None
) -> Soname | None:
    """Return what users of ``soname`` depend on, by a package that has it; None if it says nothing of it.

    Args:
        soname: The library.
        info: The package, which is of release ``codename``.
        links: Symbolic links in the library's folder, by name, with what they lead to: a library that is asked for by
            the name of its file is looked up by the names that lead to it.
        codename: The release.
        until: Leave symbols out that have a version and are younger than this version of the package.

    Raises:
        InputError: What the package says is not one package (or alternatives) within bounds.
    """
    names = [soname, *sorted(name for name, end in links.items() if end == soname)]
    libraries = parse_symbols(_control_text(info, "symbols"))
    for name in names:
        if name in libraries:
            return _from_symbols(name, libraries, f"symbols of {_release_of(info)} ({codename})", until)
    relations = parse_shlibs(_control_text(info, "shlibs"))
    for name in names:
        if text := relations.get(soname_parts(name) or ("", "")):
            package, minimum, below = _bounds(text, soname)
            source = f"shlibs of {_release_of(info)} ({codename})"
            return Soname(package=package, minimum=minimum, below=below, source=source)
    return None


def _control_text(info: DebInfo, name: str) -> str:
    return info.control_files.get(name, b"").decode("utf-8")


def _release_of(info: DebInfo) -> str:
    return f"{info.control['Package']} {info.control['Version']}"


def _from_symbols(soname: str, libraries: Mapping[str, Library], source: str, until: str | None) -> Soname:
    library = libraries[soname]
    package, fixed, below = _bounds(library.templates[0].replace(_MINIMUM, ""), soname)
    if _MINIMUM not in library.templates[0]:
        return Soname(package=package, minimum=fixed, below=below, source=source)
    lowest = min((one.minimum for one in library.symbols if one.template == 0), key=DebianVersion, default="0")
    # A library whose content went into another of its package (libpthread.so.0): dpkg-shlibdeps looks for a symbol in
    # every library that a file needs, and so finds there what is asked of this one.
    owners = [library] if library.symbols else libraries.values()
    # Other templates are for private symbols: a wheel that asks for one of their versions is refused.
    listed = [
        symbol
        for owner in owners
        for symbol in owner.symbols
        if not symbol.gone and symbol.template == 0
        if symbol.version == BASE or not until or not _is_above(symbol.minimum, until)
    ]
    versions: dict[str, str] = {}
    for symbol in listed:
        if symbol.version != BASE and _is_above(versions.get(symbol.version, symbol.minimum + "+"), symbol.minimum):
            versions[symbol.version] = symbol.minimum
    symbols: dict[str, str] = {}
    for symbol in listed:
        key = symbol.name if symbol.version == BASE else f"{symbol.name}@{symbol.version}"
        if _is_above(symbol.minimum, symbols.get(key, versions.get(symbol.version, lowest))):
            symbols[key] = symbol.minimum
    return Soname(
        package=package,
        minimum=None if lowest == "0" else lowest,
        below=below,
        versions=versions,
        symbols=symbols,
        source=source,
    )


def _bounds(text: str, soname: str) -> tuple[str, str | None, str | None]:
    """Return the package or alternatives of a relationship field, its lower bound and its upper one."""
    packages: set[str] = set()
    bounds: dict[str, str] = {}
    for alternatives in PkgRelation.parse_relations(text):
        packages.add(" | ".join(one["name"] for one in alternatives))
        bounds |= dict(one["version"] for one in alternatives if one["version"])
    if above := bounds.pop(">>", None):
        bounds[">="] = f"{above}+" if "-" in above else f"{above}-0+"  # The lowest one above it in practice.
    if len(packages) != 1 or not bounds.keys() <= {">=", "<<"}:
        problem = f"its users depend on more than one package between two versions: {text}"
        raise InputError(Issue(problem, field=soname, fix="write the library into the target file"))
    return packages.pop(), bounds.get(">="), bounds.get("<<")


def holder(known: Soname) -> str | None:
    """Return the package that ``known`` was read from, which may be another than users depend on; None if from none."""
    match = _SOURCE.match(known.source)
    return match[1] if match else None
