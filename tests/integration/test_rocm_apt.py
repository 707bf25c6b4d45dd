"""What apt's own solver makes of packages that are linked with ROCm, on the recorded Ubuntu 24.04 and AMD archive."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from debian.deb822 import PkgRelation

from debtool.deb.templates import render
from debtool.elf.depends import library_clauses, library_needs
from debtool.elf.needs import ElfNeeds
from debtool.model.shipped import shipped
from debtool.stack.project import open_project
from debtool.stack.recipes.keyring import VendorKey
from tests.support.stacks import debtool
from tests.support.ubuntu import AMD, OURS, UBUNTU, Apt, Entry, Plan, absent, elsewhere, ours, releases, rocm, ubuntu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from debtool.model.target import Target

pytestmark = pytest.mark.slow


STACK = Path(__file__).parent.parent / "data" / "rocm" / "stack.toml"
WHEELS = {
    "jax_rocm60_plugin": "jax_rocm60_plugin-0.5.0-cp312-cp312-manylinux_2_28_x86_64.whl",
    "openmm_hip_6": "openmm_hip_6-8.6.1-py3-none-manylinux_2_34_x86_64.whl",
}
# What the sonames in their NEEDED lists are in (research/torch-and-rocm.md sections 3.4 and 5).
ROCM_PACKAGES = {
    "jax_rocm60_plugin": {
        "comgr",
        "hip-runtime-amd",
        "hipblas",
        "hipsolver",
        "hipsparse",
        "hipsparselt",
        "hsa-rocr",
        "rocm-smi-lib",
        "rocprofiler-register",
    },
    "openmm_hip_6": {"hip-runtime-amd"},
}
SUPPORTED = [release for release in releases() if release >= "6.2"]


def parsed(relations: str) -> list[list[PkgRelation.ParsedRelation]]:
    return PkgRelation.parse_relations(relations) if relations else []


def target(release: str) -> Target:
    minor = release.rpartition(".")[0]
    return open_project(shipped("repo/cheesegrater.toml")).target(f"noble-rocm{minor}")


def pin(release: str) -> str:
    """Return the preferences that the keyring package installs on this target."""
    found = target(release).rocm
    assert found is not None
    vendor = VendorKey("rocm", found.source, b"")
    return render("keyring/vendor.pref.j2", vendor=vendor, keyring="", package="cheesegrater-archive-keyring")


def relations(release: str, sonames: Iterable[str], run_path: str = "/opt/rocm/lib") -> str:
    """Return the relations of a package whose one library needs ``sonames``."""
    needs = ElfNeeds("EM_X86_64", 64, "", tuple(sonames), (), (run_path,), {})
    return ", ".join(map(str, library_clauses(library_needs({"wheel.so": needs}, target(release)))))


def linked(release: str, *sonames: str, run_path: str = "/opt/rocm/lib") -> Entry:
    return Entry("linked", "1", relations(release, sonames, run_path))


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Plan]:
    """Return what apt makes of installing a package of ours on Ubuntu with ROCm."""

    def plan(name: str, *own: Entry, release: str, pinned: bool = True, installed: Sequence[Entry] = ()) -> Plan:
        preferences = pin(release) if pinned else ""
        apt = Apt(tmp_path / "apt", [ubuntu(), rocm(release), ours(*own)], preferences, installed)
        return apt.simulate("install", name)

    return plan


def beside(release: str, *names: str) -> list[Entry]:
    """Return the entries of packages that are installed side by side, with all that they depend on, as if installed."""
    known = {entry.name: entry for source in (ubuntu(), rocm(release)) for entry in source.entries}
    provided = {"libelf1": "libelf1t64"}
    found: dict[str, Entry] = {}
    waiting = [name + release for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = known[name]
        waiting += [provided.get(any_of[-1]["name"], any_of[-1]["name"]) for any_of in parsed(known[name].depends)]
    return list(found.values())


@pytest.mark.parametrize("release", releases())
def test_the_targets_minimums_are_what_amds_archive_has(release: str) -> None:
    found = target(release).rocm
    assert found is not None
    assert found.release == release
    source = rocm(release)
    assert (found.source.suite, found.source.pin_origin) == (source.suite, source.origin)
    versions = {entry.name: entry.version for entry in source.entries}
    for soname, known in found.sonames.items():
        assert versions[known.package].startswith(f"{known.minimum}."), soname


@pytest.mark.parametrize("release", releases())
def test_the_record_is_closed(release: str) -> None:
    entries = [*ubuntu().entries, *rocm(release).entries]
    known = {entry.name for entry in entries} | set(absent()) | set(elsewhere())
    known |= {one["name"] for entry in entries for (one,) in parsed(entry.provides)}
    assert not {one["name"] for entry in entries for any_of in parsed(entry.depends) for one in any_of} - known


class TestThePin:
    @pytest.mark.parametrize("release", releases())
    def test_without_it_amds_runtime_is_not_installable(self, install: Callable[..., Plan], release: str) -> None:
        error = install("rocm-hip-runtime", release=release, pinned=False).error
        assert "rocm-hip-runtime : Depends: rocminfo (= 1.0.0.6" in error
        assert "but 5.7.1-3build1 is to be installed" in error

    def test_without_it_a_package_of_ours_brings_a_part_of_ubuntus_rocm(self, install: Callable[..., Plan]) -> None:
        # AMD's hip-runtime-amd asks for any rocminfo; Ubuntu's, of the higher version, brings Ubuntu's HSA runtime.
        plan = install("linked", linked("6.3.4", "libamdhip64.so.6"), release="6.3.4", pinned=False)
        assert {"rocminfo", "libhsa-runtime64-1"} <= plan.names(UBUNTU)

    @pytest.mark.parametrize("release", releases())
    def test_with_it_it_is(self, install: Callable[..., Plan], release: str) -> None:
        plan = install("rocm-hip-runtime", release=release)
        assert not plan.error
        assert {"rocm-hip-runtime", "rocminfo", "hip-runtime-amd", "comgr", "hsa-rocr"} <= plan.names(AMD)

    @pytest.mark.parametrize("release", SUPPORTED)
    def test_with_it_nothing_of_ubuntus_rocm_comes_with_any_library(
        self, install: Callable[..., Plan], release: str
    ) -> None:
        found = target(release).rocm
        assert found is not None
        # rccl of 6.4 needs AMD's other archive: below.
        sonames = [soname for soname, known in found.sonames.items() if known.package != "rccl"]
        plan = install("linked", linked(release, *sonames), release=release)
        assert not plan.error
        assert {known.package for known in found.sonames.values()} - {"rccl"} <= plan.names(AMD)
        assert all(
            package.version.partition("-")[0].endswith(build(release))
            for package in plan.packages
            if package.origin == AMD
        )
        assert not {name for name in plan.names(UBUNTU) if "hip" in name or "hsa" in name or "comgr" in name}
        assert "rocminfo" not in plan.names(UBUNTU)


def build(release: str) -> str:
    """Return a release as AMD's versions have it: 60304 for 6.3.4."""
    major, minor, patch = map(int, release.split("."))
    return f"{major}{minor:02}{patch:02}"


class TestSideBySide:
    SONAMES = ("libamdhip64.so.6", "librocblas.so.4", "libhipblas.so.2")
    PACKAGES = ("hip-runtime-amd", "rocblas", "hipblas")
    RUN_PATH = "/opt/rocm-6.3.4/lib"

    def test_the_packages_alone_will_do(self, install: Callable[..., Plan]) -> None:
        ours_ = linked("6.3.4", *self.SONAMES, run_path=self.RUN_PATH)
        plan = install("linked", ours_, release="6.3.4", installed=beside("6.3.4", *self.PACKAGES))
        assert [package.name for package in plan.packages] == ["linked"]

    def test_beside_a_newer_rocm_they_still_do(self, install: Callable[..., Plan]) -> None:
        newer = [Entry(name, "9.0.0.70000-1~24.04") for name in self.PACKAGES]
        ours_ = linked("6.3.4", *self.SONAMES, run_path=self.RUN_PATH)
        plan = install("linked", ours_, release="6.3.4", installed=[*beside("6.3.4", *self.PACKAGES), *newer])
        assert [package.name for package in plan.packages] == ["linked"]

    def test_with_the_alternative_on_one_bound_only_they_do_not(self, install: Callable[..., Plan]) -> None:
        wrong = Entry("linked", "1", "rocblas (>= 4.3.0), rocblas (<< 5) | rocblas6.3.4")
        plan = install("linked", wrong, release="6.3.4", installed=beside("6.3.4", "rocblas"))
        assert "rocblas" in plan.names(AMD)

    def test_a_run_path_that_does_not_lead_there_takes_the_plain_packages(self, install: Callable[..., Plan]) -> None:
        plan = install(
            "linked", linked("6.3.4", *self.SONAMES), release="6.3.4", installed=beside("6.3.4", *self.PACKAGES)
        )
        assert set(self.PACKAGES) <= plan.names(AMD)

    def test_where_there_are_none_the_plain_packages_are_installed(self, install: Callable[..., Plan]) -> None:
        plan = install("linked", linked("6.3.4", *self.SONAMES, run_path=self.RUN_PATH), release="6.3.4")
        assert not {name for name in plan.names(AMD) if name.endswith("6.3.4")}
        assert set(self.PACKAGES) <= plan.names(AMD)

    def test_one_that_is_missing_brings_plain_ones_beside_them(self, install: Callable[..., Plan]) -> None:
        # dpkg will refuse these: they have the files of the others, and AMD declares no conflict. No relation of ours
        # can prevent it; the targets' notes tell of it.
        ours_ = linked("6.3.4", *self.SONAMES, run_path=self.RUN_PATH)
        plan = install("linked", ours_, release="6.3.4", installed=beside("6.3.4", "hip-runtime-amd"))
        assert {"rocblas", "hipblas", "hip-runtime-amd", "rocm-core"} <= plan.names(AMD)


class TestWhatCannotBeInstalled:
    def test_jammys_packages_ask_for_libraries_that_noble_has_not(self, install: Callable[..., Plan]) -> None:
        error = install("linked", Entry("linked", "1", "hipsolver"), release="6.1.0").error
        assert "hipsolver : Depends: libcholmod3 but it is not installable" in error
        assert "Depends: libsuitesparseconfig5 but it is not installable" in error

    def test_and_so_does_their_debugger(self, install: Callable[..., Plan]) -> None:
        error = install("rocm-gdb", release="6.1.0").error
        assert {name for name in absent() if f"{name} but it is not installable" in error} == {
            "libtinfo5",
            "libncurses5",
            "libpython3.10",
            "libpython3.8",
        }

    def test_what_does_not_need_them_can_be_installed(self, install: Callable[..., Plan]) -> None:
        assert not install("linked", linked("6.1.0", "libamdhip64.so.6", "libhipblas.so.2"), release="6.1.0").error

    def test_rccl_of_6_4_needs_amds_other_archive(self, install: Callable[..., Plan]) -> None:
        error = install("linked", linked("6.4.2", "librccl.so.1"), release="6.4.2").error
        assert "rccl : Depends: libdrm-amdgpu-amdgpu1 but it is not installable" in error

    def test_without_amds_archive(self, tmp_path: Path) -> None:
        apt = Apt(tmp_path / "apt", [ubuntu(), ours(linked("6.3.4", "libamdhip64.so.6"))])
        error = apt.simulate("install", "linked").error
        assert "linked : Depends: hip-runtime-amd (>= 6.3.42134) but it is not installable" in error


class TestHints:
    """A name that no package has, as the last alternative of a relation, is how apt's own words can say what to do."""

    MISSING = "rocm6.3-is-missing.install-the-archive-keyring.then-apt-update"
    JAMMY = "rocm6.1-is-for-ubuntu-22.04.take-rocm6.3"

    def own(self, text: str) -> list[Entry]:
        """Return a package that is linked with ROCm, what the user asks for, and what both need of ours."""
        return [
            Entry("application", "1", "set, archive-keyring"),
            Entry("set", "1", "linked (= 1)"),
            Entry("linked", "1", text),
            Entry("archive-keyring", "1"),
        ]

    @pytest.mark.parametrize("asked", ["linked", "set", "application"])
    def test_without_amds_archive_the_error_says_what_to_install(self, tmp_path: Path, asked: str) -> None:
        own = self.own(relations("6.3.4", ["libamdhip64.so.6"]))
        apt = Apt(tmp_path / "apt", [ubuntu(), ours(*own)])
        assert f"{self.MISSING} but it is not installable" in apt.simulate("install", asked).error

    def test_with_it_the_hint_changes_nothing(self, install: Callable[..., Plan], tmp_path: Path) -> None:
        text = relations("6.3.4", ["libamdhip64.so.6"])
        assert f" | {self.MISSING}" in text
        plan = install("application", *self.own(text), release="6.3.4")
        assert not plan.error
        bare = self.own(text.replace(f" | {self.MISSING}", ""))
        apt = Apt(tmp_path / "bare", [ubuntu(), rocm("6.3.4"), ours(*bare)], pin("6.3.4"))
        assert apt.simulate("install", "application") == plan

    @pytest.mark.parametrize("asked", ["linked", "application"])
    def test_what_jammys_package_lacks_is_asked_for_with_a_hint(self, install: Callable[..., Plan], asked: str) -> None:
        # hipsolver's own broken relation would hide a hint on itself; one on what it lacks comes into apt's words.
        error = install(asked, *self.own(relations("6.1.0", ["libhipsolver.so.0"])), release="6.1.0").error
        assert "Depends: libcholmod3 but it is not installable or" in error
        assert f"{self.JAMMY} but it is not installable" in error


@pytest.fixture(scope="session")
def wheels(cache: Path) -> dict[str, Path]:
    """The two real wheels, downloaded once."""
    folder = cache / "rocm-wheels"
    missing = [name for name, file in WHEELS.items() if not (folder / file).is_file()]
    platforms = [f"--platform={file[:-4].rpartition('-')[2]}" for file in WHEELS.values()]
    for name in missing:
        version = WHEELS[name].split("-")[1]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version=3.12", *platforms, f"--dest={folder}", f"{name}=={version}"]
        subprocess.run(command, check=True, capture_output=True)
    return {name: folder / file for name, file in WHEELS.items()}


@pytest.fixture(scope="session")
def depends(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], str]:
    """Return the Depends of the package that debtool makes of a wheel for a release."""

    @cache
    def made(name: str, release: str) -> str:
        out = tmp_path_factory.mktemp("debs")
        options = ["--target", target(release).name, "--out", str(out), "--no-bytecode"]
        debtool("--config", str(STACK), "wheel", "deb", str(wheels[name]), *options)
        (deb,) = out.glob("*.deb")
        done = subprocess.run(["dpkg-deb", "--field", deb, "Depends"], text=True, capture_output=True, check=True)
        return done.stdout.strip()

    return made


class TestRealWheels:
    @pytest.mark.parametrize("release", ["6.1.0", "6.3.4"])
    @pytest.mark.parametrize("name", WHEELS)
    def test_they_get_exactly_the_packages_that_they_need(
        self, depends: Callable[[str, str], str], name: str, release: str
    ) -> None:
        versions = {entry.name: entry.version for entry in rocm(release).entries}
        clauses = parsed(depends(name, release))
        single = {(one["name"], *(one["version"] or ())) for (one, *_) in clauses if one["name"] in versions}
        assert {package for package, *_ in single} == ROCM_PACKAGES[name]
        lower = {package: version for package, operator, version in single if operator == ">="}
        upper = {package: version for package, operator, version in single if operator == "<<"}
        assert set(lower) == set(upper) == ROCM_PACKAGES[name]
        for package in ROCM_PACKAGES[name]:
            assert versions[package].startswith(f"{lower[package]}.")
            assert upper[package] == str(int(lower[package].split(".")[0]) + 1)

    @pytest.mark.parametrize("name", WHEELS)
    def test_apt_installs_them_with_amds_packages_only(
        self, depends: Callable[[str, str], str], install: Callable[..., Plan], name: str
    ) -> None:
        plan = install("linked", *with_siblings(depends(name, "6.3.4")), release="6.3.4")
        assert not plan.error
        assert ROCM_PACKAGES[name] <= plan.names(AMD)
        assert not {"rocminfo", "libhsa-runtime64-1", "libamd-comgr2"} & plan.names(UBUNTU)
        assert "linked" in plan.names(OURS)

    def test_on_6_1_what_needs_no_solver_can_be_installed(
        self, depends: Callable[[str, str], str], install: Callable[..., Plan]
    ) -> None:
        assert not install("linked", *with_siblings(depends("openmm_hip_6", "6.1.0")), release="6.1.0").error

    def test_on_6_1_what_needs_it_cannot(
        self, depends: Callable[[str, str], str], install: Callable[..., Plan]
    ) -> None:
        error = install("linked", *with_siblings(depends("jax_rocm60_plugin", "6.1.0")), release="6.1.0").error
        assert "libcholmod3 but it is not installable" in error

    @pytest.mark.parametrize(("release", "lacking"), [("6.0.2", "librocm_smi64.so.7"), ("6.4.2", "libamd_comgr.so.2")])
    def test_a_release_without_one_of_the_sonames_is_an_error(
        self, depends: Callable[[str, str], str], release: str, lacking: str
    ) -> None:
        with pytest.raises(AssertionError, match=f"is known to have {lacking}"):
            depends("jax_rocm60_plugin", release)


def with_siblings(depends: str) -> list[Entry]:
    """Return a package with these relations under the name "linked", and empty ones for what else of ours it needs."""
    names = {one["name"] for any_of in parsed(depends) for one in any_of}
    others = [Entry(name, "0.5.0-1") for name in sorted(names) if name.startswith("cheesegrater-")]
    return [Entry("linked", "1", depends), *others]
