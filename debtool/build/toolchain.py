"""What a build was made with: programs and Debian packages, each in the version that is installed here."""

from __future__ import annotations

import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from debtool.build.tools import ask
from debtool.deb.files import sha256_of
from debtool.model.errors import Issue, OutsideError
from debtool.model.text import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_FIELDS = "${Package}\t${Version}\t${Architecture}\t${db:Status-Status}\n"
_NOT_FOUND = 1
"""What dpkg-query(1) exits with where a name or a pattern has no match."""


@dataclass(frozen=True, slots=True, order=True)
class DebianPackage:
    """An installed package.

    Attributes:
        name: Its name.
        version: Its version.
        architecture: ``amd64``, ``all`` …
        distribution: ``ID`` of os-release(5): ``debian``, ``ubuntu`` …
    """

    name: str
    version: str
    architecture: str
    distribution: str

    @property
    def uri(self) -> str:
        """Its package URL (purl: the core specification, and its type ``deb``).

        >>> DebianPackage("g++-12", "1:12.2.0-14+deb12u1", "amd64", "debian").uri
        'pkg:deb/debian/g%2B%2B-12@1:12.2.0-14%2Bdeb12u1?arch=amd64'
        """
        name, version = quote(self.name, safe=""), quote(self.version, safe=":")
        return f"pkg:deb/{quote(self.distribution, safe='')}/{name}@{version}?arch={quote(self.architecture, safe='')}"

    @property
    def descriptor(self) -> dict[str, Any]:
        """It as in-toto's ResourceDescriptor, which has no field for a version: that is an annotation."""
        return {"uri": self.uri, "name": self.name, "annotations": {"version": self.version}}


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a build calls.

    Attributes:
        name: What it is called by.
        path: Its file, links resolved.
        says: The first line that it answers to ``--version``; "" if it answers nothing.
        package: The package that owns the file; None if none does, or there is no dpkg here.
    """

    name: str
    path: Path
    says: str
    package: DebianPackage | None

    @property
    def descriptor(self) -> dict[str, Any]:
        """It as in-toto's ResourceDescriptor: its package, or else the hash of its file."""
        if self.package is not None:
            return self.package.descriptor
        return {"name": self.name, "digest": {"sha256": sha256_of(self.path)}, "annotations": {"version": self.says}}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What a build was made with.

    Attributes:
        programs: Those that are there, in the order asked for.
        packages: The packages that were asked for and are installed, in the order of names.
    """

    programs: tuple[Program, ...]
    packages: tuple[DebianPackage, ...]

    @property
    def versions(self) -> dict[str, str]:
        """What each program says of itself, by name."""
        return {program.name: program.says for program in self.programs}

    @property
    def dependencies(self) -> list[dict[str, Any]]:
        """Everything as ResourceDescriptors, each once: packages in the order of their URLs, then other programs."""
        owned = {program.package for program in self.programs if program.package is not None}
        others = [program.descriptor for program in self.programs if program.package is None]
        packages = sorted({package.uri: package.descriptor for package in {*owned, *self.packages}}.items())
        return [*(descriptor for _, descriptor in packages), *others]


def toolchain(commands: Sequence[str], packages: Sequence[str], *, path: str) -> Toolchain:
    """Return what of ``commands`` and ``packages`` there is here; what is missing is left out.

    Args:
        commands: Names of programs (``g++``, ``ld``, ``cmake``) or their paths, which are called by their last part.
        packages: Names of packages, or patterns of dpkg-query(1): ``rocm*``, ``hip*``.
        path: The PATH that the build sees.

    Raises:
        OutsideError: There is a dpkg, and it cannot read its database.
    """
    found = [(name, where) for name in dict.fromkeys(commands) if (where := shutil.which(name, path=path))]
    real = {name: Path(where).resolve() for name, where in found}
    owners = _owners(real.values(), path)
    programs = [Program(Path(name).name, real[name], _says(at, path), owners.get(real[name])) for name, at in found]
    return Toolchain(tuple(programs), installed_packages(packages, path=path))


def installed_packages(patterns: Collection[str], *, path: str) -> tuple[DebianPackage, ...]:
    """Return the installed packages that have one of these names or match one of these patterns (dpkg-query(1)).

    Raises:
        OutsideError: There is a dpkg, and it cannot read its database.
    """
    if not patterns:
        return ()  # dpkg-query takes no pattern for every package
    lines = _dpkg_query(["--show", f"--showformat={_FIELDS}", "--", *patterns], path)
    distribution = _distribution()
    found = set()
    for name, version, architecture, status in (line.split("\t") for line in lines):
        if status == "installed":
            found.add(DebianPackage(name, version, architecture, distribution))
    return tuple(sorted(found))


def packages_in(folder: Path, *, path: str) -> tuple[DebianPackage, ...]:
    """Return the installed packages that have something in ``folder``, such as ``/opt/rocm``; links are resolved.

    Raises:
        OutsideError: There is a dpkg, and it cannot read its database.
    """
    owners = _search([folder.resolve()], path)
    return installed_packages({name for names in owners.values() for name in names}, path=path)


def _owners(files: Iterable[Path], path: str) -> dict[Path, DebianPackage]:
    """Return the package of each of ``files`` that has one; of a file that several share, the first."""
    owners = {file: names[0] for file, names in _search(files, path).items()}
    known = {name: installed_packages([name], path=path) for name in set(owners.values())}
    return {file: known[name][0] for file, name in owners.items() if known[name]}


def _search(files: Iterable[Path], path: str) -> dict[Path, list[str]]:
    """Return the packages, as dpkg names them (``libc6:amd64``), that have each of ``files``."""
    # Debian 12's packages still have /bin/bash, which is /usr/bin/bash where /bin is a link.
    names = {str(spelled): file for file in files for spelled in (file, _without_usr(file))}
    if not names:
        return {}
    found: dict[Path, list[str]] = {}
    for name, packages in _search_lines(_dpkg_query(["--search", "--", *map(_literal, names)], path)):
        if name in names:
            found.setdefault(names[name], []).extend(packages)
    return found


def _search_lines(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the files that ``dpkg-query --search`` found, each with its packages.

    >>> list(_search_lines(["libc6:amd64, libc6:i386: /usr/share/doc/libc6", "diversion by dash from: /bin/sh"]))
    [('/usr/share/doc/libc6', ['libc6:amd64', 'libc6:i386'])]
    """
    for line in lines:
        packages, separator, file = line.partition(": ")
        if separator and not packages.startswith(("diversion by ", "local diversion ")):
            yield file, packages.split(", ")


def _without_usr(file: Path) -> Path:
    merged = len(file.parts) > 2 and file.parts[1] == "usr" and file.parts[2] in {"bin", "sbin", "lib", "lib64"}  # noqa: PLR2004 -- "/", "usr" and one more
    return Path("/", *file.parts[2:]) if merged else file


def _literal(name: str) -> str:
    r"""Return the pattern that only ``name`` matches.

    >>> print(_literal("/usr/bin/["))
    /usr/bin/\[
    """
    return re.sub(r"([\\*?\[\]])", r"\\\1", name)


def _says(program: str, path: str) -> str:
    answer = ask([program, "--version"], path=path)
    lines = [line.strip() for line in (answer.output or answer.errors).splitlines() if line.strip()]
    return visible(lines[0]) if lines and answer.code == 0 else ""


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["ID"]
    except OSError:
        return "linux"  # as os-release(5) says where there is no such file


def _dpkg_query(arguments: Sequence[str], path: str) -> list[str]:
    if shutil.which("dpkg-query", path=path) is None:
        return []
    answer = ask(["dpkg-query", *arguments], path=path)
    if answer.code not in {0, _NOT_FOUND}:
        raise OutsideError(Issue(f"dpkg-query: {answer.trouble}", fix="mend dpkg's database (dpkg --audit)"))
    return answer.output.splitlines()
