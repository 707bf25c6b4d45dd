"""Resolving: from a stack's requirements to a lock for one target. uv resolves; this says what it may choose from."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import BuildTag, InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from debtool.model.errors import DebtoolError, InputError, Issue, OutsideError
from debtool.wheel.lock import Lock, LockedArtefact, LockedFile
from debtool.wheel.pylock import CannotResolveError, file_name, resolved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from packaging.tags import Tag

    from debtool.model.stack import Artefact, Source, Stack
    from debtool.model.target import Target


def lock(stack: Stack, target: Target) -> Lock:
    """Resolve the stack's requirements for the target's Python and platform.

    The stack's artefacts take part with the version and requirements that the stack says they have, so that neither
    torch nor what is compiled against it is ever looked for in an index. Of what the stack compiles for a CPU the sdist
    is locked.

    Raises:
        InputError: The requirements contradict each other, a distribution has no wheel for the target and the stack
            does not list it among its sdists, or one that the stack compiles has no sdist or is not needed.
        OutsideError: uv is missing, or an index cannot be reached.
    """
    artefacts = stack.artefacts_for(target.name)
    with tempfile.TemporaryDirectory(prefix="debtool-lock-") as folder:
        stubs = {name: _write_stub(artefact, Path(folder)) for name, artefact in artefacts.items()}
        wanted, held = _requirement_lines(stack, stubs), stack.requirements.constraints
        try:
            packages = resolved(wanted, target, Path(folder), constraints=held)
        except CannotResolveError as error:
            raise _told(error, Path(folder)) from None
    files: list[LockedFile] = []
    issues: list[Issue] = []
    tags = {tag: rank for rank, tag in enumerate(target.tags())}
    sdists = {str(name) for name in stack.requirements.sdists}
    rebuilds = stack.rebuilds_for(target.name)
    for package in packages:
        name = canonicalize_name(package["name"])
        if name in artefacts:
            continue
        try:
            if name in rebuilds:
                files.append(_locked_file(package, _sdist(package), rebuilds[name].cpu))
            else:
                files.append(_choose(package, tags, sdists))
        except ValueError as error:
            fix = "require a version that has a wheel, or list the distribution in requirements.sdists to build it here"
            if name in rebuilds:
                fix = f"require a version that has an sdist, or take the stack's [[rebuild]] of {name} out"
            issues.append(Issue(f"{error} for {target.name}", field=f"requirements: {name}", fix=fix))
    issues += [
        Issue(f"nothing requires {name} for {target.name}", field=f"rebuild {name}", fix="take this [[rebuild]] out")
        for name in sorted(rebuilds.keys() - {canonicalize_name(package["name"]) for package in packages})
    ]
    if issues:
        raise InputError(*issues)
    return Lock(
        stack=stack.name,
        target=target.name,
        inputs=inputs_digest(stack, target),
        files=tuple(sorted(files, key=lambda entry: entry.name)),
        artefacts=tuple(_locked(artefacts[name]) for name in sorted(artefacts)),
    )


def inputs_digest(stack: Stack, target: Target) -> str:
    """Return the hash (SHA-256, hex) of everything that a lock of ``stack`` for ``target`` follows from.

    A lock whose ``inputs`` differ is out of date. What an index offers is no part of it: a lock stays as it is when
    newer versions appear.
    """
    artefacts = stack.artefacts_for(target.name)
    inputs: dict[str, Any] = {
        "requirements": stack.requirements.model_dump(mode="json"),
        "artefacts": [
            [*map(str, artefacts[name].requires), str(_locked(artefacts[name]))] for name in sorted(artefacts)
        ],
        "target": [target.name, target.python_full, target.glibc, target.architecture],
    }
    # Only where there are any: the locks of stacks that rebuild nothing stay as they were made.
    if rebuilds := stack.rebuilds_for(target.name):
        inputs["rebuilds"] = sorted([name, one.cpu] for name, one in rebuilds.items())
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _locked(artefact: Artefact) -> LockedArtefact:
    return LockedArtefact(
        name=canonicalize_name(artefact.name),
        version=Version(artefact.version),
        kind=artefact.kind,
        against=canonicalize_name(artefact.against) if artefact.against else None,
        source=_pinned(artefact.source) if artefact.source else None,
        sha256=artefact.sha256,
    )


def _pinned(source: Source) -> str:
    if source.sha256:
        return f"sha256:{source.sha256}"
    return f"git:{source.commit}" if source.commit else "path"


def _requirement_lines(stack: Stack, stubs: dict[str, Path]) -> list[str]:
    return [*stack.requirements.direct, *(f"{name} @ {stub.as_uri()}" for name, stub in sorted(stubs.items()))]


def _told(error: CannotResolveError, folder: Path) -> DebtoolError:
    text = str(error).replace(f"{folder.as_uri()}/", "")  # the stubs' folder is no news to the user
    if error.unsolvable:
        return InputError(
            Issue(text, field="requirements", fix="change a requirement or constraint of the stack so that they agree")
        )
    fix = "check the network and pip's index settings (`pip config list`); releases need only the committed lock"
    return OutsideError(Issue(f"uv could not resolve the requirements: {text}", fix=fix))


def _choose(package: dict[str, Any], tags: dict[Tag, int], sdists: set[str]) -> LockedFile:
    """Return the one file of a package (PEP 751) that the target uses.

    Raises:
        ValueError: There is none.
    """
    name, version = canonicalize_name(package["name"]), package.get("version")
    best: tuple[int, BuildTag, dict[str, Any]] | None = None
    for wheel in package.get("wheels", ()):
        try:
            _name, _version, build, wheel_tags = parse_wheel_filename(file_name(wheel))
        except InvalidWheelFilename:
            continue  # nothing installs such a file
        rank = min((tags[tag] for tag in wheel_tags if tag in tags), default=None)
        # Of equally fitting wheels the one with the higher build number wins (binary distribution format, "Build tag").
        if rank is not None and (best is None or rank < best[0] or (rank == best[0] and build > best[1])):
            best = (rank, build, wheel)
    if best is None and name not in sdists:
        raise ValueError(f"{name} {version} has no wheel")
    return _locked_file(package, _sdist(package) if best is None else best[2])


def _sdist(package: dict[str, Any]) -> dict[str, Any]:
    if "sdist" not in package:
        raise ValueError(f"{package['name']} {package.get('version')} has no sdist")
    sdist: dict[str, Any] = package["sdist"]
    return sdist


def _locked_file(package: dict[str, Any], file: dict[str, Any], cpu: str | None = None) -> LockedFile:
    digest = file.get("hashes", {}).get("sha256")
    if digest is None:
        raise ValueError(f"the index tells no SHA-256 of {file_name(file)}, so it cannot be locked")
    return LockedFile(
        canonicalize_name(package["name"]), Version(str(package.get("version"))), file_name(file), digest, cpu
    )


def _write_stub(artefact: Artefact, folder: Path) -> Path:
    """Write a wheel that holds nothing but the artefact's name, version and requirements (core metadata 2.1)."""
    info = f"{artefact.name.replace('-', '_')}-{artefact.version}"
    members = {
        "METADATA": _lines(
            ["Metadata-Version: 2.1", f"Name: {artefact.name}", f"Version: {artefact.version}"],
            (f"Requires-Dist: {requirement}" for requirement in artefact.requires),
        ),
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    path = folder / f"{info}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(f"{info}.dist-info/{member}", text)
    return path


def _lines(head: Sequence[str], rest: Iterable[str]) -> str:
    return "\n".join([*head, *rest, ""])
