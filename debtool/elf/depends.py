"""Which packages of the target have the libraries that a package's ELF files need, and why.

The bounds are those of dpkg-shlibdeps(1): a library that is needed gives its package, and every symbol version or
symbol that is asked of it raises the lowest version that will do (deb-symbols(5)). What they are stands in the target's
tables, so nothing of the target has to be installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from debian.deb822 import PkgRelation

from debtool.elf.search import LibrarySearch
from debtool.model.errors import Issue
from debtool.model.relations import Clause, Relation
from debtool.model.versions import DebianVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from debtool.elf.needs import DlopenNote, ElfNeeds
    from debtool.model.target import Soname, Target

_MACHINE = {"amd64": ("EM_X86_64", 64)}


class Found(StrEnum):
    """Where a library comes from."""

    INSIDE = "inside"
    """A file of the same package, which the run path leads to."""
    SIBLING = "sibling"
    """A file of a package that this one depends on, which the run path leads to."""
    LOADED = "loaded"
    """Such a file that no run path leads to: it serves once something has loaded it."""
    PACKAGE = "package"
    """A package of the target."""
    STACK = "stack"
    """Whatever the stack says."""
    NOWHERE = "nowhere"
    """Nothing is known to have it."""


class Strength(StrEnum):
    """How much a library is missed; the values are the fields that its package belongs into (Policy 7.2)."""

    DEPENDS = "Depends"
    RECOMMENDS = "Recommends"
    SUGGESTS = "Suggests"


_STRENGTHS = {
    "required": Strength.DEPENDS,
    "recommended": Strength.RECOMMENDS,
    "suggested": Strength.SUGGESTS,
}


@dataclass(frozen=True, slots=True)
class LibraryNeed:
    """One library that a package's files need.

    Attributes:
        soname: Its name; for what a note says of dlopen, the names that will do with a bar between them.
        paths: The files that need it.
        found: Where it comes from.
        where: The file that has it, or its package; empty if there is none.
        clauses: The relations for it.
        because: Why they are what they are.
        strength: Which field they belong into.
        issue: What is wrong, if anything is.
    """

    soname: str
    paths: tuple[str, ...]
    found: Found
    where: str
    clauses: tuple[Clause, ...]
    because: str
    strength: Strength = Strength.DEPENDS
    issue: Issue | None = None


def library_needs(
    files: Mapping[str, ElfNeeds],
    target: Target,
    *,
    siblings: Mapping[str, ElfNeeds] | None = None,
    replaced: Mapping[str, str] | None = None,
) -> list[LibraryNeed]:
    """Return every library that ``files`` (by path) need, and what has it on ``target``.

    Files of another architecture than the target's are not looked at: wheels carry such, as data.

    Args:
        files: The package's own.
        target: The system.
        siblings: The files of packages that it depends on, installed in the same folder.
        replaced: Relations for sonames that stand in place of what would be found, an empty text for none.
    """
    machine = _MACHINE[target.architecture]
    own, others = (
        {path: needs for path, needs in some.items() if (needs.machine, needs.bits) == machine}
        for some in (files, siblings or {})
    )
    resolver = _Resolver(own, others, target, replaced or {})
    asked: dict[str, list[str]] = {}
    for path, needs in sorted(own.items()):
        for soname in needs.needed:
            asked.setdefault(soname, []).append(path)
    found = [need for soname, paths in asked.items() for need in resolver.resolve(soname, paths)]
    noted: dict[DlopenNote, list[str]] = {}
    for path, needs in sorted(own.items()):
        for note in needs.dlopen:
            noted.setdefault(note, []).append(path)
    return [*found, *(resolver.resolve_note(note, paths) for note, paths in noted.items())]


def library_clauses(needs: Iterable[LibraryNeed], strength: Strength = Strength.DEPENDS) -> list[Clause]:
    """Return the relations for ``needs`` in one field: of several on the same packages, the narrowest."""
    return _narrowest(chain.from_iterable(need.clauses for need in needs if need.strength == strength))


def library_issues(needs: Iterable[LibraryNeed]) -> list[Issue]:
    """Return what is wrong with ``needs``: libraries that nothing is known to have, or that are too old."""
    return [need.issue for need in needs if need.issue]


def _narrowest(clauses: Iterable[Clause]) -> list[Clause]:
    """Return the clauses sorted, of several on the same packages with the same operators only the narrowest."""
    best: dict[tuple[tuple[str, str | None], ...], Clause] = {}
    for each in clauses:
        key = tuple((relation.package, relation.operator) for relation in each.alternatives)
        other = best.get(key)
        if other is None or _is_narrower(each.alternatives[0], other.alternatives[0]):
            best[key] = each
    bounded = {key[0][0] for key in best if key[0][1] and len(key) == 1}
    wanted = (one for key, one in best.items() if key[0][1] or key[0][0] not in bounded)
    return sorted(wanted, key=lambda one: (one.alternatives[0].package, one.alternatives[0].operator == "<<", str(one)))


def _is_narrower(one: Relation, other: Relation) -> bool:
    if one.version is None or other.version is None:
        return False
    if one.operator == "<<":
        return DebianVersion(one.version) < DebianVersion(other.version)
    return DebianVersion(one.version) > DebianVersion(other.version)


def pinned_run_paths(files: Mapping[str, ElfNeeds]) -> dict[str, list[str]]:
    """Return the absolute folders in run paths, each with the files that have it: they hold on one layout only."""
    found: dict[str, list[str]] = {}
    for path, needs in sorted(files.items()):
        for folder in dict.fromkeys(needs.rpath + needs.runpath):
            if folder.startswith("/"):
                found.setdefault(folder, []).append(path)
    return found


class _Resolver:
    """Finds libraries for the files of one package."""

    def __init__(
        self,
        own: Mapping[str, ElfNeeds],
        siblings: Mapping[str, ElfNeeds],
        target: Target,
        replaced: Mapping[str, str],
    ) -> None:
        self._own = own
        self._target = target
        self._replaced = replaced
        self._search = LibrarySearch({**siblings, **own})

    def resolve(self, soname: str, paths: Sequence[str]) -> Iterable[LibraryNeed]:
        """Yield who has ``soname`` for the files at ``paths``, which may be different ones for different files."""
        waiting: list[str] = []
        bundled: dict[str, list[str]] = {}
        for path in paths:
            if file := self._search.find(path, soname):
                bundled.setdefault(file, []).append(path)
            else:
                waiting.append(path)
        for file, users in bundled.items():
            yield self._inside(soname, users, file, self._place(file), "its run path leads there")
        if waiting:
            yield self._outside(soname, tuple(waiting))

    def resolve_note(self, note: DlopenNote, paths: Sequence[str]) -> LibraryNeed:
        """Return who has any of the libraries of a note."""
        needs = [next(iter(self.resolve(soname, paths))) for soname in note.sonames]
        known = [need for need in needs if need.found is not Found.NOWHERE]
        made = partial(LibraryNeed, " | ".join(note.sonames), tuple(paths), strength=_STRENGTHS[note.priority])
        reason = f"a note says that it is opened at run time{f' for {note.feature}' if note.feature else ''}"
        if not known:
            missing = needs[0].issue if note.priority == "required" else None
            return made(found=Found.NOWHERE, where="", clauses=(), because=reason, issue=missing)
        if bundled := [need for need in known if not need.clauses]:
            return made(found=bundled[0].found, where=bundled[0].where, clauses=(), because=reason)
        # Each library of the note will do: alternatives of the lower bounds; an upper bound cannot be an alternative.
        alternatives = tuple(chain.from_iterable(need.clauses[0].alternatives for need in known))
        where = " | ".join(need.where for need in known)
        return made(found=Found.PACKAGE, where=where, clauses=(Clause(alternatives),), because=reason)

    def _place(self, file: str) -> Found:
        return Found.INSIDE if file in self._own else Found.SIBLING

    def _inside(self, soname: str, paths: Sequence[str], file: str, found: Found, because: str) -> LibraryNeed:
        return LibraryNeed(soname, tuple(paths), found, file, (), because)

    def _outside(self, soname: str, paths: tuple[str, ...]) -> LibraryNeed:
        if (text := self._replaced.get(soname)) is not None:
            clauses = tuple(_parsed(text))
            return LibraryNeed(soname, paths, Found.STACK, text, clauses, "the stack says so")
        rocm = self._target.rocm
        known = self._target.sonames.get(soname)
        loaded = self._search.loaded(soname)
        # Two copies of ROCm in one process do not work, so what is bundled goes before AMD's packages; the system's own
        # libraries are there anyway.
        if known is None and loaded is not None:
            because = "no run path leads there: it must have been loaded before"
            return self._inside(soname, paths, loaded, Found.LOADED, because)
        if known is not None:
            return self._packaged(soname, paths, known, None)
        if rocm is not None and soname in rocm.sonames:
            beside = rocm.release if self._all_reach(paths, f"{rocm.folder}/lib") else None
            return self._packaged(soname, paths, rocm.sonames[soname], beside)
        return LibraryNeed(
            soname, paths, Found.NOWHERE, "", (), "nothing is known to have it", issue=self._unknown(soname, paths)
        )

    def _all_reach(self, paths: Iterable[str], folder: str) -> bool:
        return all(folder in self._search.folders(path) for path in paths)

    def _packaged(self, soname: str, paths: tuple[str, ...], known: Soname, beside: str | None) -> LibraryNeed:
        minimum, because, issue = self._minimum(soname, paths, known)
        names = [name.strip() for name in known.package.split("|")]
        lower = [Relation(name, ">=", minimum) if minimum else Relation(name) for name in names]
        upper = [Relation(name, "<<", known.below) for name in names] if known.below else []
        if known.below:
            because += f"; from {known.below} on it is another library"
        if beside is not None:
            alternatives = [Relation(f"{name}{beside}") for name in names]
            lower, upper = lower + alternatives, [*upper, *alternatives] if upper else []
            because += f"; the run path leads to the packages that are installed side by side as {beside} too"
        if known.hint:
            lower.append(Relation(known.hint))
        if not known.verified:
            because += "; unverified"
        clauses = [Clause(tuple(relations)) for relations in (lower, upper) if relations]
        clauses += _parsed(known.also or "")
        return LibraryNeed(soname, paths, Found.PACKAGE, known.package, tuple(clauses), because, issue=issue)

    def _minimum(self, soname: str, paths: tuple[str, ...], known: Soname) -> tuple[str | None, str, Issue | None]:
        """Return the lowest version that has all that ``paths`` ask of the library, why, and what it cannot have."""
        minimum, because = known.minimum, known.source
        asked = {version: path for path in paths for version in self._own[path].versions.get(soname, ())}
        issue = None
        for version, path in sorted(asked.items()):
            since = known.versions.get(version)
            if since is None and known.versions:
                issue = issue or self._too_new(soname, version, path, known)
            elif since is not None and _is_above(since, minimum):
                minimum, because = since, f"{path} needs {version}, which is in it since {since}"
        for path in paths:
            for symbol in self._own[path].symbols if known.symbols else ():
                since = known.symbols.get(symbol)
                if since and _is_above(since, minimum):
                    minimum, because = since, f"{path} needs {symbol}, which is in it since {since}"
        return minimum, because, issue

    def _too_new(self, soname: str, version: str, path: str, known: Soname) -> Issue:
        return Issue(
            f"needs {version} of {soname}, which {known.package} of {self._target.name} does not have",
            rule=known.source,
            fix="take a wheel built for an older system (manylinux tag), or build it for the target",
            field=path,
        )

    def _unknown(self, soname: str, paths: tuple[str, ...]) -> Issue:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        return Issue(
            f"no package of {self._target.name} is known to have {soname}, which {paths[0]}{more} needs",
            fix=f'add to the target file: sonames."{soname}" = {{ package = "…", source = "apt-file search {soname}" }}'
            f'; or to the stack: [wheel.NAME] libraries = {{ "{soname}" = "PACKAGE" }}',
            field=soname,
        )


def _is_above(version: str, other: str | None) -> bool:
    return other is None or DebianVersion(version) > DebianVersion(other)


def _parsed(text: str) -> Iterable[Clause]:
    """Yield the clauses of a relationship field's text."""
    for alternatives in PkgRelation.parse_relations(text) if text else ():
        yield Clause(tuple(Relation(one["name"], *(one["version"] or ())) for one in alternatives))
