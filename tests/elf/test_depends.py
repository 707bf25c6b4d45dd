from __future__ import annotations

from pathlib import Path

import pytest

from debtool.elf.depends import library_clauses, needed_sonames
from debtool.elf.needs import ElfNeeds
from debtool.model.errors import InputError
from debtool.model.target import Target, parse_target


@pytest.fixture(scope="session")
def target() -> Target:
    file = Path(__file__).parents[2] / "repo/targets/bookworm.toml"
    return parse_target(file.read_text(), file)


def elf(
    *needed: str, soname: str = "", versions: dict[str, tuple[str, ...]] | None = None, machine: str = "EM_X86_64"
) -> ElfNeeds:
    return ElfNeeds(machine, 64, soname, needed, (), (), versions or {})


def test_libraries_of_the_wheel_are_inside(target: Target) -> None:
    files = {
        "x/_x.so": elf("libfoo-12ab.so.1", "libbar.so.2", "libc.so.6"),
        "x.libs/libfoo-12ab.so.1": elf("libc.so.6"),
        "x/lib/libbar-real.so": elf(soname="libbar.so.2"),
    }
    assert needed_sonames(files, target) == {"libc.so.6": ["x.libs/libfoo-12ab.so.1", "x/_x.so"]}


def test_files_of_other_architectures_are_data(target: Target) -> None:
    assert needed_sonames({"x/arm.so": elf("libodd.so.1", machine="EM_AARCH64")}, target) == {}


def test_the_highest_version_of_each_library_counts(target: Target) -> None:
    files = {
        "a.so": elf(
            "libc.so.6",
            "libm.so.6",
            versions={"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.17"), "libm.so.6": ("GLIBC_2.29",)},
        ),
        "b.so": elf(
            "libstdc++.so.6",
            "libgcc_s.so.1",
            versions={
                "libstdc++.so.6": ("CXXABI_1.3.9", "GLIBCXX_3.4", "GLIBCXX_3.4.29"),
                "libgcc_s.so.1": ("GCC_3.0", "GCC_12.0.0"),
            },
        ),
    }
    assert [str(each) for each in library_clauses(files, target)] == [
        "libc6 (>= 2.29)",
        "libgcc-s1 (>= 12.0.0)",
        "libstdc++6 (>= 11)",
    ]


def test_old_and_unversioned_symbols_need_no_more_than_every_target_has(target: Target) -> None:
    files = {"a.so": elf("libc.so.6", "libstdc++.so.6", versions={"libstdc++.so.6": ("GLIBCXX_3.4.9",)})}
    assert [str(each) for each in library_clauses(files, target)] == ["libc6 (>= 2.2.5)", "libstdc++6 (>= 4.8)"]


def test_a_newer_glibc_than_the_targets_is_refused(target: Target) -> None:
    files = {"a.so": elf("libc.so.6", versions={"libc.so.6": ("GLIBC_2.99",)})}
    with pytest.raises(InputError, match=r"needs glibc 2\.99, and bookworm has 2\.36"):
        library_clauses(files, target)


def test_relative_relocations_need_their_glibc(target: Target) -> None:
    files = {"a.so": elf("libc.so.6", versions={"libc.so.6": ("GLIBC_2.4", "GLIBC_ABI_DT_RELR")})}
    assert [str(each) for each in library_clauses(files, target)] == ["libc6 (>= 2.36)"]


def test_other_libraries_come_from_the_target_file(target: Target) -> None:
    assert [str(each) for each in library_clauses({"a.so": elf("libz.so.1")}, target)] == ["zlib1g"]


def test_what_other_wheels_bring_needs_no_package(target: Target) -> None:
    files = {"a.so": elf("libtorch.so", "libc10.so")}
    assert library_clauses(files, target, provided={"libtorch.so", "libc10.so"}) == []
    with pytest.raises(InputError) as caught:
        library_clauses(files, target)
    assert [issue.field for issue in caught.value.issues] == ["libtorch.so", "libc10.so"]
    assert 'sonames."libtorch.so" = { package' in caught.value.issues[0].fix
