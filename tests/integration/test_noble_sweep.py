"""Every wheel that the index has for Ubuntu 24.04 becomes a package, on whatever machine this is."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from debian.deb822 import Deb822, PkgRelation
from debian.debian_support import Version as DebianVersion

from debtool.deb.reader import iter_data
from debtool.model.errors import OutsideError
from debtool.model.names import wheel_package
from debtool.stack.assemble import wheel_drafts
from debtool.stack.facts import FactCache, WheelFacts
from debtool.stack.lint import Lintian
from debtool.stack.make import make_packages
from debtool.stack.plan import plan_packages
from debtool.stack.project import open_project
from debtool.stack.release import ArchiveHistory
from debtool.stack.wheels import read_lock
from debtool.wheel.bytecode import find_interpreter
from debtool.wheel.fetch import FileCache, fetch
from tests.support.drafts import Notes
from tests.support.noble import noble_store
from tests.support.stacks import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from debtool.wheel.lock import Lock, LockedFile

pytestmark = pytest.mark.full

PROJECT = open_project(REPOSITORY / "repo/cheesegrater.toml")
STACK, TARGET = PROJECT.stack, PROJECT.target("noble")


@pytest.fixture(scope="module")
def lock() -> Lock:
    return read_lock(PROJECT, TARGET)


@pytest.fixture(scope="module")
def wheels(lock: Lock) -> list[LockedFile]:
    """What the index has as wheels."""
    return [entry for entry in lock.files if entry.is_wheel]


@pytest.fixture(scope="module")
def built(lock: Lock, wheels: list[LockedFile]) -> dict[NormalizedName, Version]:
    """What is built from source, by name: such packages are only spoken of here, in relations."""
    names = {entry.name for entry in wheels}
    return {name: version for name, version in lock.versions.items() if name not in names}


@pytest.fixture(scope="module")
def debs(lock: Lock, wheels: list[LockedFile], built: dict[NormalizedName, Version], cache: Path) -> dict[str, Path]:
    """The packages by name."""
    index = replace(lock, files=tuple(wheels), artefacts=())
    paths = fetch(index, TARGET, FileCache(cache / "files"))
    known = FactCache(cache / "facts")
    facts = [known.read(paths[entry.name], entry.sha256, TARGET) for entry in wheels]
    facts += [
        WheelFacts(Path(name), "0" * 64, name, version, pure=False, size=0, requires=(), elf={})
        for name, version in built.items()
    ]
    drafts = wheel_drafts(STACK, TARGET, facts, bytecode=_can_compile(), locked=True)
    real = [draft for draft in drafts if draft.wheel.size]
    store = noble_store(cache)
    plan = plan_packages(real, ArchiveHistory(None, store, "noble-stable"), "noble-stable", STACK.timestamp)
    files = make_packages(plan.packages, store, jobs=2, watcher=Notes())
    return dict(zip((package.name for package in plan.packages), files, strict=True))


@pytest.fixture(scope="module")
def controls(debs: dict[str, Path]) -> dict[str, Deb822]:
    """What dpkg itself reads from each package's control file, by name."""
    return {name: Deb822(_dpkg_deb("--field", deb)) for name, deb in debs.items()}


def test_every_wheel_of_the_index_becomes_a_package(debs: dict[str, Path], wheels: list[LockedFile]) -> None:
    assert set(debs) == {wheel_package(STACK.prefix, entry.name) for entry in wheels}
    assert len(debs) > 120


def test_dpkg_reads_every_package(debs: dict[str, Path], controls: dict[str, Deb822], wheels: list[LockedFile]) -> None:
    for entry in wheels:
        name = wheel_package(STACK.prefix, entry.name)
        fields = controls[name]
        assert fields["Package"] == name
        assert fields["Version"].endswith("-1~u2404")
        assert fields["Architecture"] == ("all" if entry.file.endswith("-any.whl") else "amd64")
        assert fields["Maintainer"] == STACK.maintainer
        assert int(fields["Installed-Size"]) > 0
        synopsis, *more = fields["Description"].splitlines()
        assert 0 < len(synopsis) < 80
        assert more
        assert _dpkg_deb("--info", debs[name])
        listing = _dpkg_deb("--contents", debs[name]).splitlines()
        assert all(" root/root " in line for line in listing)
        assert any("/lib/python3.12/site-packages/" in line for line in listing)


def test_relations_resolve_in_the_set_and_the_target(
    controls: dict[str, Deb822], built: dict[NormalizedName, Version]
) -> None:
    set_versions = {name: DebianVersion(fields["Version"]) for name, fields in controls.items()}
    set_versions |= {
        wheel_package(STACK.prefix, name): DebianVersion(f"{version}-1") for name, version in built.items()
    }
    for fields in controls.values():
        for (provided,) in PkgRelation.parse_relations(fields.get("Provides", "")):
            if provided["version"] is not None:  # only with one does it meet a relation with a version (Policy 7.5)
                set_versions[provided["name"]] = DebianVersion(provided["version"][1])
    system = {part.strip() for soname in TARGET.libraries.values() for part in soname.package.split("|")}
    system.add(STACK.full_name("runtime"))
    unmet = [
        f"{name}: {alternatives}"
        for name, fields in controls.items()
        for alternatives in PkgRelation.parse_relations(fields["Depends"])
        if not any(_meets(one, set_versions, system) for one in alternatives)
    ]
    assert unmet == []


def test_no_file_is_in_two_packages(debs: dict[str, Path]) -> None:
    owners: Counter[str] = Counter()
    for deb in debs.values():
        owners.update(_files(deb))
    assert [path for path, count in owners.items() if count > 1] == []


def test_lintian_finds_no_error(debs: dict[str, Path], cache: Path) -> None:
    lintian = Lintian.find(TARGET.distribution, cache / "lint")
    verdicts = lintian.judge(list(debs.values()), jobs=2, watcher=Notes())
    assert [str(issue) for verdict in verdicts for issue in verdict.errors()] == []
    assert all(finding.reason for verdict in verdicts for finding in verdict.findings if finding.overridden)


def _can_compile() -> bool:
    try:
        find_interpreter(TARGET.python)
    except OutsideError:
        return False
    return True


def _dpkg_deb(action: str, deb: Path) -> str:
    return subprocess.run(["dpkg-deb", action, deb], check=True, capture_output=True, text=True).stdout


def _meets(relation: PkgRelation.ParsedRelation, set_versions: dict[str, DebianVersion], system: set[str]) -> bool:
    name = relation["name"]
    if name not in set_versions:
        return name in system
    if relation["version"] is None:
        return True
    operator, wanted = relation["version"]
    have, want = set_versions[name], DebianVersion(wanted)
    return {"<<": have < want, "<=": have <= want, "=": have == want, ">=": have >= want, ">>": have > want}[operator]


def _files(deb: Path) -> Iterator[str]:
    return (entry.path for entry, _ in iter_data(deb) if entry.kind != "directory")
