"""The pool: .debs read, checked, and put where Packages says they are."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from typing import TYPE_CHECKING

from debtool.archive.index import IndexedPackage
from debtool.archive.values import PublishedPackage
from debtool.deb.files import FILE_MODE, make_directory, sha256_of
from debtool.deb.reader import list_paths, read_deb
from debtool.model.errors import InputError, Issue
from debtool.model.names import debian_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

INPUT_KEY_FIELD = "Debtool-Input-Key"
_OURS = ("Filename", "Size", "SHA256")
"""The fields that the archive adds to a control stanza (Debian Repository Format, "Packages" Indices)."""

_VERSION = re.compile(r"(?:[0-9]+:)?[A-Za-z0-9.+~-]+")


def examine(path: Path, sha256: str, *, component: str, architectures: Collection[str]) -> IndexedPackage:
    """Read the package ``path``, whose contents have the hash ``sha256``.

    Raises:
        InputError: It is not a package, is for an architecture that the archive does not serve, or its control file
            cannot stand in an index.
    """
    info = read_deb(path)
    control = info.control
    text = info.control_text.strip("\n") + "\n"
    issues: list[Issue] = []
    if "\n\n" in text or "\r" in text:
        issues.append(
            Issue(
                "the control file has an empty line or a carriage return",
                file=path,
                rule="deb-control(5)",
                fix="build it again with one stanza",
            )
        )
    issues += [
        Issue(
            "the control file has a field that only an archive writes", file=path, field=field, fix="build it without"
        )
        for field in _OURS
        if field in control
    ]
    architecture = str(control["Architecture"])
    if architecture != "all" and architecture not in architectures:
        issues.append(
            Issue(
                f"the archive serves {', '.join(architectures)} and all, not {architecture}",
                file=path,
                field="Architecture",
                fix="leave it out, or name the architecture in the archive's definition",
            )
        )
    name, version = str(control["Package"]), str(control["Version"])
    source = str(control.get("Source", name)).partition(" ")[0]
    names = {"Package": name} | ({"Source": source} if "Source" in control else {})
    issues += _unsafe_names(path, names, version)
    paths = sorted(set(list_paths(path)))
    if any("\n" in one for one in paths):
        issues.append(Issue("a file's name has a line break", file=path, rule="dpkg refuses it", fix="rename the file"))
    if issues:
        raise InputError(*issues)
    key = control.get(INPUT_KEY_FIELD)
    package = PublishedPackage(
        name=name,
        version=version,
        architecture=architecture,
        filename=pool_filename(component, source, name, version, architecture),
        size=path.stat().st_size,
        sha256=sha256,
        input_key=None if key is None else str(key),
    )
    stanza = f"{text}Filename: {package.filename}\nSize: {package.size}\nSHA256: {sha256}\n"
    return IndexedPackage(package, str(control.get("Section", "")), stanza, tuple(paths))


def _unsafe_names(path: Path, names: Mapping[str, str], version: str) -> list[Issue]:
    """Return what keeps a package from having a place in the pool: it is named by what others wrote."""
    issues = []
    for field, name in names.items():
        try:
            debian_name(name)
        except InputError as error:
            issues += [dataclasses.replace(issue, file=path, field=field) for issue in error.issues]
    if not _VERSION.fullmatch(version):
        rule = "Debian Policy 5.6.12"
        issues.append(Issue(f"{version!r} is no version", file=path, field="Version", rule=rule, fix="build it again"))
    return issues


def pool_filename(component: str, source: str, name: str, version: str, architecture: str) -> str:
    """Return where a package lies, relative to the public directory; an epoch is left out, as dpkg-name(1) does.

    >>> pool_filename("main", "libfoo", "foo-tools", "1:2.0-1", "amd64")
    'pool/main/libf/libfoo/foo-tools_2.0-1_amd64.deb'
    """
    prefix = source[:4] if source.startswith("lib") else source[:1]
    return f"pool/{component}/{prefix}/{source}/{name}_{version.partition(':')[2] or version}_{architecture}.deb"


def place(source: Path, package: PublishedPackage, *, public: Path, incoming: Path, link: bool) -> int:
    """Put ``source`` into the pool, verified and on the disk; return the bytes written.

    The bytes are copied (as a reflink where the file system can), or, with ``link``, hard-linked. A file that is in
    its place is replaced.

    Raises:
        InputError: The file is not what it was when its hash was taken.
    """
    target = public / package.filename
    make_directory(target.parent)
    temporary = incoming / target.name
    written = 0
    if not (link and _hard_link(source, temporary)):
        _copy(source, temporary)
        written = package.size
    if sha256_of(temporary) != package.sha256:
        temporary.unlink()
        raise InputError(Issue("the file changed while it was read", file=source, fix="wait until its writer is done"))
    temporary.replace(target)
    return written


def in_place(package: PublishedPackage, public: Path) -> bool:
    """Return whether the pool has a file of the package's size where the package lies."""
    try:
        return (public / package.filename).stat().st_size == package.size
    except FileNotFoundError:
        return False


def _hard_link(source: Path, target: Path) -> bool:
    """Return False where the two lie on different file systems, or the system forbids it."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        return False
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
    return True


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 2**30):
                pass
        except OSError:
            reader.seek(0)
            writer.seek(0)
            writer.truncate()
            shutil.copyfileobj(reader, writer, 2**20)
        writer.flush()
        os.fchmod(writer.fileno(), FILE_MODE)
        os.fsync(writer.fileno())
