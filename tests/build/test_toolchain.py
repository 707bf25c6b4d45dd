"""What a build was made with: programs and packages of this machine, and a dpkg-query that says what it is told."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debtool.build.toolchain import DebianPackage, _search_lines, installed_packages, packages_in, toolchain
from debtool.deb.files import sha256_of
from debtool.model.errors import OutsideError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATH = "/usr/local/bin:/usr/bin:/bin"


def asked(*arguments: str) -> str:
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def programs(tmp_path: Path) -> Callable[[Mapping[str, str]], str]:
    """Write shell scripts and return a PATH that has them alone; they know no PATH but the machine's own."""

    def write(scripts: Mapping[str, str]) -> str:
        for name, script in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\nPATH={PATH}\n{script}")
            (tmp_path / name).chmod(0o755)
        return str(tmp_path)

    return write


def test_programs_are_told_with_their_files_versions_and_packages() -> None:
    made = toolchain(["gcc", "ld", "no-such-program", "gcc"], ["dpkg", "no-such-package"], path=PATH)
    assert [program.name for program in made.programs] == ["gcc", "ld"]
    gcc, ld = made.programs
    assert gcc.path == Path("/usr/bin/gcc").resolve()
    assert (
        gcc.says
        == subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    )
    assert gcc.package is not None
    assert asked("-S", str(gcc.path)).startswith(f"{gcc.package.name}:")
    assert gcc.package.version == asked("-W", "-f", "${Version}", gcc.package.name)
    assert gcc.package.distribution == platform.freedesktop_os_release()["ID"]
    assert ld.package is not None
    assert ld.package.name.startswith("binutils-")
    assert made.versions == {"gcc": gcc.says, "ld": ld.says}
    [dpkg] = made.packages
    assert (dpkg.name, dpkg.version) == ("dpkg", asked("-W", "-f", "${Version}", "dpkg"))
    # Each package once, as a provenance statement takes it.
    names = [one["name"] for one in made.dependencies]
    assert sorted(names) == sorted({gcc.package.name, ld.package.name, "dpkg"})
    assert {"uri": dpkg.uri, "name": "dpkg", "annotations": {"version": dpkg.version}} in made.dependencies


def test_files_that_dpkg_knows_without_usr_or_as_a_pattern_have_their_package() -> None:
    made = toolchain(["bash", "["], [], path=PATH)
    assert [program.package and program.package.name for program in made.programs] == ["bash", "coreutils"]


def test_packages_are_found_by_patterns() -> None:
    found = [package.name for package in installed_packages(["gcc-*-base", "dpkg"], path=PATH)]
    assert found == sorted(found)
    assert "dpkg" in found
    assert any(name.startswith("gcc-") and name.endswith("-base") for name in found)
    assert installed_packages([], path=PATH) == ()
    assert installed_packages(["no-such-package"], path=PATH) == ()


def test_the_packages_of_a_folder_are_found(tmp_path: Path) -> None:
    compiler = toolchain(["gcc"], [], path=PATH).programs[0].package
    assert compiler in packages_in(Path("/usr/lib/gcc"), path=PATH)
    link = tmp_path / "rocm"
    link.symlink_to("/usr/lib/gcc")
    assert packages_in(link, path=PATH) == packages_in(Path("/usr/lib/gcc"), path=PATH)
    assert packages_in(tmp_path, path=PATH) == ()


def test_a_machine_without_dpkg_has_programs_by_their_hash(programs: Callable[[Mapping[str, str]], str]) -> None:
    path = programs({"cc": "echo my compiler 1.0; echo more", "broken": "echo 1.0; exit 1"})
    made = toolchain(["cc", "broken"], ["dpkg"], path=path)
    assert made.packages == ()
    assert made.versions == {"cc": "my compiler 1.0", "broken": ""}
    digest = {"sha256": sha256_of(Path(path, "cc"))}
    assert made.dependencies[0] == {"name": "cc", "digest": digest, "annotations": {"version": "my compiler 1.0"}}
    assert toolchain([f"{path}/cc"], [], path=PATH).programs[0].name == "cc"
    assert packages_in(Path("/usr/lib/gcc"), path=path) == ()


def test_what_a_program_says_is_shown_as_text(programs: Callable[[Mapping[str, str]], str]) -> None:
    path = programs({"cc": r"printf '\n  \033[31mcc 2\377 \n'"})
    assert toolchain(["cc"], [], path=path).programs[0].says == "\\x1b[31mcc 2�"


def test_only_installed_packages_count(programs: Callable[[Mapping[str, str]], str]) -> None:
    rows = [
        r"rocm-core\t6.3.4.60304-76~24.04\tamd64\tinstalled\n",
        r"rocm-old\t5\tamd64\tconfig-files\n",
        r"rocm-new\t\t\tnot-installed\n",
    ]
    path = programs({"dpkg-query": f"printf '{''.join(rows)}'; exit 1"})
    [package] = installed_packages(["rocm*"], path=path)
    assert (package.name, package.version, package.architecture) == ("rocm-core", "6.3.4.60304-76~24.04", "amd64")


def test_a_dpkg_that_fails_is_told(programs: Callable[[Mapping[str, str]], str]) -> None:
    path = programs({"dpkg-query": "echo 'dpkg-query: error: parsing file' >&2; exit 2"})
    with pytest.raises(OutsideError, match=r"dpkg-query: .*error: parsing file; fix: mend dpkg's database"):
        installed_packages(["dpkg"], path=path)


def test_without_a_name_the_distribution_is_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    [dpkg] = installed_packages(["dpkg"], path=PATH)
    assert dpkg.uri.startswith("pkg:deb/linux/dpkg@")


@pytest.mark.parametrize(
    ("package", "uri"),
    [
        # The purl specification's own examples for the type deb.
        (("dpkg", "1.19.0.4", "amd64", "ubuntu"), "pkg:deb/ubuntu/dpkg@1.19.0.4?arch=amd64"),
        (("attr", "1:2.4.47-2", "source", "debian"), "pkg:deb/debian/attr@1:2.4.47-2?arch=source"),
        (("attr", "1:2.4.47-2+b1", "amd64", "debian"), "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64"),
    ],
)
def test_package_urls_are_those_of_the_specification(package: tuple[str, str, str, str], uri: str) -> None:
    assert DebianPackage(*package).uri == uri


WORD = st.text("abcxyz0189+.-", min_size=1)


@settings(deadline=None)
@given(st.lists(st.tuples(WORD, st.sampled_from(["", ":amd64", ":i386"])), min_size=1), st.text())
def test_every_package_of_a_file_is_read(packages: list[tuple[str, str]], file: str) -> None:
    names = [name + architecture for name, architecture in packages]
    assert list(_search_lines([f"{', '.join(names)}: /{file}"])) == [(f"/{file}", names)]


@settings(deadline=None)
@given(st.lists(st.text()))
def test_no_line_breaks_the_reader(lines: list[str]) -> None:
    assert all(packages for _, packages in _search_lines(lines))
