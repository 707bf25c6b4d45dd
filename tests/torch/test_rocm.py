from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from debtool.stack.project import open_project
from debtool.torch.rocm import Component, follow, installations, read_rocm, rocm_needs
from debtool.torch.rocm_checks import check_rocm
from debtool.torch.wanted import Wanted
from tests.support.rocm import PACKAGES, make_rocm
from tests.support.tools import make_tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from debtool.build.checks import Check

_PROJECT = open_project(Path(__file__).parents[2] / "repo" / "cheesegrater.toml")

# What LoadHIP.cmake of 2.6.0 gives to find_package with REQUIRED, lines 147 to 165; rccl is required elsewhere.
_REQUIRED = {
    "hip",
    "amd_comgr",
    "rocrand",
    "hiprand",
    "rocblas",
    "hipblas",
    "miopen",
    "hipfft",
    "hipsparse",
    "rocprim",
    "hipcub",
    "rocthrust",
    "hipsolver",
    "hiprtc",
    "hsa-runtime64",
    "hipblaslt",
}


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    folders = (tmp_path / "build", tmp_path / "cache")
    return Wanted(Version("2.6.0"), _PROJECT.target("noble-rocm6.3"), *folders, path="/usr/bin:/bin", gpu=("gfx1030",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with AMD's plain packages of 6.3.4: ``/opt/rocm`` is an alternative, by absolute links."""
    root = tmp_path / "root"
    make_rocm(root / "opt" / "rocm-6.3.4")
    (root / "etc" / "alternatives").mkdir(parents=True)
    (root / "etc" / "alternatives" / "rocm").symlink_to("/opt/rocm-6.3.4")
    (root / "opt" / "rocm").symlink_to("/etc/alternatives/rocm")
    return root


def bad(checks: Sequence[Check], verdict: str = "missing") -> dict[str, Check]:
    return {one.name: one for one in checks if one.verdict == verdict}


@pytest.mark.parametrize("version", ["2.4.0", "2.6.0", "2.7.1"])
def test_a_whole_rocm_is_fit(wanted: Wanted, root: Path, version: str) -> None:
    checks = check_rocm(replace(wanted, version=Version(version)), root)
    assert {one.verdict for one in checks} == {"ok"}, bad(checks) | bad(checks, "warning")
    assert len(checks) > 25
    assert {one.fix for one in checks} == {""}


def test_every_component_that_loadhip_requires_is_looked_for() -> None:
    looked_for = {one.cmake for one in rocm_needs().component}
    assert looked_for >= _REQUIRED
    assert all(one.why and one.source for one in rocm_needs().component)


@pytest.mark.parametrize("package", sorted(set(PACKAGES) - {"rocblas"}))
def test_each_missing_package_is_named(wanted: Wanted, tmp_path: Path, package: str) -> None:
    make_rocm(tmp_path / "root" / "opt" / "rocm", without=[package])
    missing = [one for one in check_rocm(wanted, tmp_path / "root") if one.verdict == "missing"]
    named = {name for one in missing for name in one.packages}
    assert named == {package}
    assert any(one.found.startswith("/opt/rocm has no ") for one in missing)


def test_each_component_has_a_package_of_the_stand_in() -> None:
    assert {one.package for one in rocm_needs().component} == set(PACKAGES) - {"rocblas"}


def test_cmake_finds_what_is_said_to_be_there(tmp_path: Path) -> None:
    """The rule for where a configuration is, held against CMake's own search."""
    folder = make_rocm(tmp_path / "rocm", without=["hipfft-dev", "rccl-dev", "hsa-rocr-dev"])
    other = folder / "lib" / "cmake" / "hsa-runtime64" / "hsa-runtime64Config.cmake"
    other.parent.mkdir()
    other.touch()
    names = sorted({one.cmake for one in rocm_needs().component if one.cmake})
    lines = ["cmake_minimum_required(VERSION 3.18)", f'set(CMAKE_PREFIX_PATH "{folder}")']
    for name in names:
        lines.append(f"find_package({name} CONFIG QUIET NO_CMAKE_SYSTEM_PATH NO_CMAKE_ENVIRONMENT_PATH)")
        lines.append(f'message("{name}=${{{name}_FOUND}}")')
    (tmp_path / "find.cmake").write_text("\n".join(lines))
    done = subprocess.run(["cmake", "-P", tmp_path / "find.cmake"], capture_output=True, text=True, check=True)
    by_cmake = {line.partition("=")[0]: line.partition("=")[2] == "1" for line in done.stderr.splitlines()}
    by_us = {n: not Component(name=n, package=n, cmake=n, why="-", source="-").absent(folder) for n in names}
    assert by_us == by_cmake
    assert {name for name, there in by_us.items() if not there} == {"hipfft", "rccl"}


def test_no_rocm_names_every_component_and_the_archive(wanted: Wanted, tmp_path: Path) -> None:
    checks = check_rocm(wanted, tmp_path)
    missing = bad(checks)
    assert missing["ROCm"].found == "there is no /opt/rocm"
    assert {name for one in missing.values() for name in one.packages} == set(PACKAGES) - {"rocblas"}
    assert "rocm/apt/6.3.4 noble main" in bad(checks, "warning")["AMD's archive"].fix
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    source = tmp_path / "etc/apt/sources.list.d/rocm.sources"
    stanza = f"Types: deb\nURIs: {wanted.target.rocm.source.uri if wanted.target.rocm else ''}/\nSuites: noble\n"
    source.write_text(f"# a comment\nEnabled: no\n{stanza}")
    assert "AMD's archive" in bad(check_rocm(wanted, tmp_path), "warning")
    source.write_text(stanza)
    assert "AMD's archive" not in bad(check_rocm(wanted, tmp_path), "warning")


def test_one_line_sources_are_read_and_comments_are_not(wanted: Wanted, tmp_path: Path) -> None:
    (tmp_path / "etc/apt").mkdir(parents=True)
    sources = tmp_path / "etc/apt/sources.list"
    line = f"deb [arch=amd64] {wanted.target.rocm.source.uri if wanted.target.rocm else ''} noble main\n"
    sources.write_text(f"# {line}")
    assert "AMD's archive" in bad(check_rocm(wanted, tmp_path), "warning")
    sources.write_text(line)
    assert "AMD's archive" not in bad(check_rocm(wanted, tmp_path), "warning")


@pytest.mark.parametrize(
    ("release", "verdict", "words"),
    [("6.2.4", "missing", "too old"), ("6.4.2", "missing", "too new"), ("6.3.3", "warning", "ROCm 6.3.3 at")],
)
def test_another_release_is_named_plainly(
    wanted: Wanted, tmp_path: Path, release: str, verdict: str, words: str
) -> None:
    make_rocm(tmp_path / "opt" / "rocm", release)
    one = next(one for one in check_rocm(wanted, tmp_path) if one.name == "ROCm")
    assert one.verdict == verdict
    assert words in one.found
    assert one.wanted == "ROCm 6.3.4 at /opt/rocm"


def test_a_release_that_stands_beside_is_offered_and_taken(wanted: Wanted, tmp_path: Path) -> None:
    make_rocm(tmp_path / "opt" / "rocm-6.3.4")
    make_rocm(tmp_path / "opt" / "rocm-6.2.4", "6.2.4")
    assert installations(tmp_path) == [Path("/opt/rocm-6.2.4"), Path("/opt/rocm-6.3.4")]
    one = bad(check_rocm(wanted, tmp_path))["ROCm"]
    assert one.found == "there is no /opt/rocm, but /opt/rocm-6.2.4, /opt/rocm-6.3.4"
    assert one.fix == "take the one that is there: --rocm-path /opt/rocm-6.3.4"
    (tmp_path / "opt" / "rocm").symlink_to("/opt/rocm-6.2.4")
    one = bad(check_rocm(wanted, tmp_path))["ROCm"]
    assert (one.found, one.fix[-15:]) == ("ROCm 6.2.4 at /opt/rocm, too old", "/opt/rocm-6.3.4")
    assert not bad(check_rocm(replace(wanted, rocm_path=Path("/opt/rocm-6.3.4")), tmp_path))


def test_side_by_side_packages_have_the_release_in_their_names(wanted: Wanted, tmp_path: Path) -> None:
    make_rocm(tmp_path / "opt" / "rocm-6.3.4", without=["hipfft-dev"])
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/info/rocm-core6.3.4.list").touch()
    checks = check_rocm(replace(wanted, rocm_path=Path("/opt/rocm-6.3.4")), tmp_path)
    assert [one.packages for one in checks if one.verdict == "missing"] == [("hipfft-dev6.3.4",)]


def test_the_header_says_the_release_where_the_version_file_is_lost(root: Path) -> None:
    (root / "opt/rocm-6.3.4/.info/version").unlink()
    assert read_rocm(Path("/opt/rocm"), root).release == Version("6.3.4")
    (root / "opt/rocm-6.3.4/include/rocm-core/rocm_version.h").write_text("#define ROCM_VERSION_MAJOR 6\n")
    assert read_rocm(Path("/opt/rocm"), root).release is None


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/rocm").symlink_to("/opt/rocm")
    assert not follow(Path("/opt/rocm"), tmp_path).exists()
    assert read_rocm(Path("/opt/rocm"), tmp_path).folder is None


def test_what_is_switched_off_is_not_needed(wanted: Wanted, tmp_path: Path) -> None:
    make_rocm(tmp_path / "opt" / "rocm", without=["rccl-dev", "roctracer-dev"])
    (tmp_path / "opt/rocm/lib/libroctx64.so").touch()
    assert set(bad(check_rocm(wanted, tmp_path))) == {"ROCm RCCL", "ROCm roctracer"}
    assert set(bad(check_rocm(replace(wanted, settings={"USE_NCCL": "0"}), tmp_path))) == {"ROCm roctracer"}
    off = {"USE_NCCL": "1", "USE_DISTRIBUTED": "OFF", "USE_KINETO": "0"}
    assert not bad(check_rocm(replace(wanted, settings=off), tmp_path))


def test_hipblas_common_is_a_part_from_6_3_on(wanted: Wanted, tmp_path: Path) -> None:
    make_rocm(tmp_path / "opt" / "rocm", "6.2.4", without=["hipblas-common-dev"])
    checks = check_rocm(replace(wanted, target=_PROJECT.target("noble-rocm6.2")), tmp_path)
    assert not bad(checks)
    assert "F16C" in bad(checks, "warning")["ROCm release"].found


def test_an_old_release_on_noble_is_told(wanted: Wanted, tmp_path: Path) -> None:
    make_rocm(tmp_path / "opt" / "rocm", "6.1.0")
    checks = check_rocm(replace(wanted, target=_PROJECT.target("noble-rocm6.1")), tmp_path)
    told = [one.found for one in checks if one.verdict == "warning"]
    assert len(told) == 2
    assert "supports Ubuntu 24.04 from 6.2 on" in told[0]
    assert "F16C" in told[1]


@pytest.mark.parametrize(
    ("script", "verdict", "words"),
    [
        ("echo 'hipcc: error while loading shared libraries' >&2; exit 127", "missing", "does not run: hipcc: error"),
        ("echo hello", "missing", "does not say its HIP version"),
        ("echo 'HIP version: 5.7.31921-0'", "warning", "it is of HIP 5.7.31921, ROCm is 6.3.4"),
    ],
)
def test_a_hipcc_that_is_broken_or_of_another_release(
    wanted: Wanted, root: Path, script: str, verdict: str, words: str
) -> None:
    make_tool(root / "opt/rocm-6.3.4/bin", "hipcc", script)
    one = next(one for one in check_rocm(wanted, root) if one.name == "hipcc runs")
    assert one.verdict == verdict
    assert words in one.found


def test_clang_needs_the_headers_of_the_newest_gcc(wanted: Wanted, root: Path) -> None:
    for number in ("13", "14"):
        (root / "usr/lib/gcc/x86_64-linux-gnu" / number).mkdir(parents=True)
    (root / "usr/include/c++/13").mkdir(parents=True)
    (root / "usr/lib/gcc/x86_64-linux-gnu/13/crtbegin.o").touch()
    assert not bad(check_rocm(wanted, root))  # a folder alone is no installation to clang
    (root / "usr/lib/gcc/x86_64-linux-gnu/14/crtbegin.o").touch()
    one = bad(check_rocm(wanted, root))["C++ headers for clang"]
    assert one.packages == ("libstdc++-14-dev",)


@pytest.mark.parametrize(
    ("gpu", "verdict", "words"),
    [
        (("gfx1032",), "missing", "gfx1032 without gfx1030: rocBLAS has no kernels"),
        (("gfx1031",), "missing", "rocBLAS has no kernels for gfx1031"),
        (("gfx1030", "gfx1031"), "warning", "rocBLAS has no kernels for gfx1031"),
        (("gfx1030", "gfx1234"), "missing", "device libraries do not know gfx1234"),
        (("navi23",), "missing", "'navi23' is no GPU target"),
        ((), "missing", "no GPU is named"),
        (("gfx1100",), "missing", "machines of noble-rocm6.3 report gfx1030"),
    ],
)
def test_a_gpu_without_code_is_refused(
    wanted: Wanted, root: Path, gpu: tuple[str, ...], verdict: str, words: str
) -> None:
    checks = [one for one in check_rocm(replace(wanted, gpu=gpu), root) if one.verdict == verdict]
    assert any(words in one.found and "--gpu gfx1030" in one.fix for one in checks), checks


def test_gfx1032_beside_gfx1030_is_taken(wanted: Wanted, root: Path) -> None:
    checks = check_rocm(replace(wanted, gpu=("gfx1030", "gfx1032")), root)
    assert {one.verdict for one in checks} == {"ok"}


def test_gfx1032_alone_is_refused_before_rocm_is_there(wanted: Wanted, tmp_path: Path) -> None:
    assert "HSA_OVERRIDE_GFX_VERSION=10.3.0" in bad(check_rocm(replace(wanted, gpu=("gfx1032",)), tmp_path))["GPU"].why


def test_a_target_without_rocm_is_refused(wanted: Wanted, root: Path) -> None:
    (one,) = check_rocm(replace(wanted, target=_PROJECT.target("noble")), root)
    assert (one.verdict, one.found) == ("missing", "target noble has no ROCm")
    assert "--cpu-only" in one.fix
