from __future__ import annotations

from pathlib import Path

import pytest

from debtool.elf.depends import (
    Found,
    LibraryNeed,
    Strength,
    library_clauses,
    library_issues,
    library_needs,
    pinned_run_paths,
)
from debtool.elf.needs import DlopenNote, ElfNeeds
from debtool.model.target import Target, parse_target

TEXT = """\
schema = 1
name = "here"
title = "A system"
tag = "here1"
distribution = "debian"
codename = "here"
architecture = "amd64"
python = "3.11"
python_full = "3.11.2"
glibc = "2.36"
dpkg = "1.21.23"

[sonames]
"libm.so.6" = { package = "libc6", minimum = "2.2.5", source = "s", versions = { "GLIBC_2.29" = "2.29" } }
"libgthread-2.0.so.0" = { package = "libglib2.0-0", minimum = "2.40.0", source = "s" }
"libGL.so.1" = { package = "libgl1 | libgl1-mesa-glx", source = "s", verified = false }
"libz.so.1" = { package = "zlib1g", source = "s" }
"libjpeg.so.62" = { package = "libjpeg62-turbo", minimum = "1:1.3.1", source = "s" }
"libgomp.so.1" = { package = "libgomp1", source = "s" }

[sonames."libc.so.6"]
package = "libc6"
minimum = "2.2.5"
source = "s"
versions = { "GLIBC_2.2.5" = "2.2.5", "GLIBC_2.17" = "2.17", "GLIBC_2.34" = "2.34" }

[sonames."libstdc++.so.6"]
package = "libstdc++6"
minimum = "4.1.1"
source = "s"
versions = { "GLIBCXX_3.4" = "4.1.1", "GLIBCXX_3.4.29" = "11" }

[sonames."libglib-2.0.so.0"]
package = "libglib2.0-0"
minimum = "2.12.0"
source = "s"
symbols = { "g_new_thing" = "2.56.0" }

[rocm]
release = "6.3.4"
gpu = "gfx1030"

[rocm.source]
uri = "https://vendor.example.org/apt"
suite = "here"
fingerprint = "CA8BB4727A47B4D09B4EE8969386B48A1A693C5C"
key_uri = "https://vendor.example.org/key"
pin = 600
pin_origin = "vendor"

[rocm.sonames]
"librocblas.so.4" = { package = "rocblas", minimum = "4.3.0", below = "5", source = "s" }
"libamdhip64.so.6" = { package = "hip-runtime-amd", minimum = "6.3", source = "s" }
"""


@pytest.fixture(scope="session")
def target() -> Target:
    return parse_target(TEXT, Path("here.toml"))


def elf(
    *needed: str,
    soname: str = "",
    versions: dict[str, tuple[str, ...]] | None = None,
    symbols: tuple[str, ...] = (),
    rpath: tuple[str, ...] = (),
    runpath: tuple[str, ...] = (),
    machine: str = "EM_X86_64",
    dlopen: tuple[DlopenNote, ...] = (),
) -> ElfNeeds:
    return ElfNeeds(machine, 64, soname, needed, rpath, runpath, versions or {}, symbols, dlopen)


def relations(needs: list[LibraryNeed], strength: Strength = Strength.DEPENDS) -> list[str]:
    return [str(one) for one in library_clauses(needs, strength)]


def places(needs: list[LibraryNeed]) -> dict[str, tuple[Found, str]]:
    return {need.soname: (need.found, need.where) for need in needs}


@pytest.mark.parametrize(
    ("runpath", "file"),
    [
        (("$ORIGIN/../x.libs",), "x.libs/libfoo.so.1"),
        (("${ORIGIN}/../x.libs/",), "x.libs/libfoo.so.1"),
        (("/nowhere", "$ORIGIN", "$ORIGIN/../x.libs"), "x.libs/libfoo.so.1"),
        (("$ORIGIN/lib", "$ORIGIN/../x.libs"), "x/lib/libfoo.so.1"),
    ],
)
def test_a_run_path_leads_to_the_first_folder_that_has_it(target: Target, runpath: tuple[str, ...], file: str) -> None:
    files = {"x/_x.so": elf("libfoo.so.1", runpath=runpath), "x.libs/libfoo.so.1": elf()}
    if file.startswith("x/lib"):
        files[file] = elf()
    assert places(library_needs(files, target)) == {"libfoo.so.1": (Found.INSIDE, file)}


def test_a_library_that_no_run_path_reaches_must_have_been_loaded(target: Target) -> None:
    files = {"x/_x.so": elf("libfoo.so.1"), "x.libs/libfoo-1.so": elf(soname="libfoo.so.1")}
    [need] = library_needs(files, target)
    assert (need.found, need.where, need.clauses) == (Found.LOADED, "x.libs/libfoo-1.so", ())


def test_the_system_goes_before_a_bundled_library_that_no_run_path_reaches(target: Target) -> None:
    files = {"x/_x.so": elf("libgomp.so.1"), "x/lib/libgomp.so.1": elf()}
    assert relations(library_needs(files, target)) == ["libgomp1"]
    files["x/_x.so"] = elf("libgomp.so.1", runpath=("$ORIGIN/lib",))
    assert relations(library_needs(files, target)) == []


def test_bundled_rocm_goes_before_the_vendors(target: Target) -> None:
    files = {"x/_x.so": elf("libamdhip64.so.6"), "x/lib/libamdhip64.so": elf(soname="libamdhip64.so.6")}
    assert relations(library_needs(files, target)) == []


def test_a_library_is_found_by_its_file_name_and_not_by_its_soname(target: Target) -> None:
    files = {
        "x/_x.so": elf("libfoo.so.1", runpath=("$ORIGIN/lib",)),
        "x/lib/other.so": elf(soname="libfoo.so.1"),
    }
    assert [need.found for need in library_needs(files, target)] == [Found.LOADED]


def test_the_rpath_of_whoever_loads_it_counts_unless_it_has_a_runpath(target: Target) -> None:
    files = {
        "x/_x.so": elf("libfoo.so.1", rpath=("$ORIGIN/lib",)),
        "x/lib/libfoo.so.1": elf("libbar.so.1"),
        "x/lib/libbar.so.1": elf(),
    }
    assert {need.found for need in library_needs(files, target)} == {Found.INSIDE}
    files["x/lib/libfoo.so.1"] = elf("libbar.so.1", runpath=("/elsewhere",))
    assert places(library_needs(files, target))["libbar.so.1"][0] is Found.LOADED


def test_files_that_load_each_other_are_no_endless_search(target: Target) -> None:
    files = {
        "a.so": elf("b.so", rpath=("$ORIGIN",)),
        "b.so": elf("a.so", "libnone.so", rpath=("$ORIGIN",)),
    }
    assert places(library_needs(files, target))["libnone.so"][0] is Found.NOWHERE


def test_siblings_are_reached_across_packages(target: Target) -> None:
    files = {"torch/lib/libtorch.so": elf("libcublas.so.12", runpath=("$ORIGIN/../../nvidia/cublas/lib",))}
    siblings = {"nvidia/cublas/lib/libcublas.so.12": elf()}
    [need] = library_needs(files, target, siblings=siblings)
    assert (need.found, need.where) == (Found.SIBLING, "nvidia/cublas/lib/libcublas.so.12")


def test_different_files_may_get_it_from_different_places(target: Target) -> None:
    files = {
        "x/a.so": elf("libz.so.1", runpath=("$ORIGIN/lib",)),
        "x/b.so": elf("libz.so.1"),
        "x/lib/libz.so.1": elf(),
    }
    assert [(need.found, need.paths) for need in library_needs(files, target)] == [
        (Found.INSIDE, ("x/a.so",)),
        (Found.PACKAGE, ("x/b.so",)),
    ]


def test_files_of_other_architectures_are_data(target: Target) -> None:
    assert library_needs({"x/arm.so": elf("libodd.so.1", machine="EM_AARCH64")}, target) == []


def test_the_highest_bound_of_each_package_counts(target: Target) -> None:
    files = {
        "a.so": elf(
            "libc.so.6",
            "libm.so.6",
            "libglib-2.0.so.0",
            "libgthread-2.0.so.0",
            versions={"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.17"), "libm.so.6": ("GLIBC_2.29",)},
        ),
        "b.so": elf("libstdc++.so.6", versions={"libstdc++.so.6": ("GLIBCXX_3.4", "GLIBCXX_3.4.29")}),
    }
    assert relations(library_needs(files, target)) == [
        "libc6 (>= 2.29)",
        "libglib2.0-0 (>= 2.40.0)",
        "libstdc++6 (>= 11)",
    ]


def test_a_symbol_without_a_version_raises_the_bound(target: Target) -> None:
    files = {"a.so": elf("libglib-2.0.so.0", symbols=("g_free", "g_new_thing"))}
    [need] = library_needs(files, target)
    assert [str(one) for one in need.clauses] == ["libglib2.0-0 (>= 2.56.0)"]
    assert need.because == "a.so needs g_new_thing, which is in it since 2.56.0"


def test_bounds_are_compared_as_dpkg_does(target: Target) -> None:
    files = {"a.so": elf("libjpeg.so.62")}
    assert relations(library_needs(files, target)) == ["libjpeg62-turbo (>= 1:1.3.1)"]


def test_a_symbol_version_that_the_target_lacks_is_refused(target: Target) -> None:
    files = {"a.so": elf("libc.so.6", versions={"libc.so.6": ("GLIBC_2.99",)})}
    [issue] = library_issues(library_needs(files, target))
    assert str(issue).startswith("a.so: needs GLIBC_2.99 of libc.so.6, which libc6 of here does not have")


def test_alternatives_and_what_is_unverified_are_told(target: Target) -> None:
    [need] = library_needs({"a.so": elf("libGL.so.1")}, target)
    assert [str(one) for one in need.clauses] == ["libgl1 | libgl1-mesa-glx"]
    assert need.because.endswith("unverified")


@pytest.mark.parametrize(
    ("runpath", "expected"),
    [
        ((), ["rocblas (>= 4.3.0)", "rocblas (<< 5)"]),
        (("/opt/rocm/lib",), ["rocblas (>= 4.3.0)", "rocblas (<< 5)"]),
        (("/opt/rocm-6.2.0/lib",), ["rocblas (>= 4.3.0)", "rocblas (<< 5)"]),
        (("/opt/rocm-6.3.4/lib/",), ["rocblas (>= 4.3.0) | rocblas6.3.4", "rocblas (<< 5) | rocblas6.3.4"]),
    ],
)
def test_side_by_side_packages_will_do_only_where_the_run_path_finds_them(
    target: Target, runpath: tuple[str, ...], expected: list[str]
) -> None:
    assert relations(library_needs({"a.so": elf("librocblas.so.4", runpath=runpath)}, target)) == expected


def test_one_file_that_does_not_reach_them_is_enough(target: Target) -> None:
    reaching = elf("librocblas.so.4", runpath=("/opt/rocm-6.3.4/lib",))
    files = {"a.so": reaching, "b.so": elf("librocblas.so.4")}
    assert relations(library_needs(files, target)) == ["rocblas (>= 4.3.0)", "rocblas (<< 5)"]


def test_a_library_that_nothing_has_is_refused_with_the_line_that_mends_it(target: Target) -> None:
    files = {"a.so": elf("libodd.so.1", "libodder.so.2"), "b.so": elf("libodd.so.1")}
    first, second = library_issues(library_needs(files, target))
    assert first.problem == "no package of here is known to have libodd.so.1, which a.so and 1 more needs"
    assert '[wheel.NAME] libraries = { "libodd.so.1" = "PACKAGE" }' in first.fix
    assert second.field == "libodder.so.2"


def test_what_the_stack_says_goes_first(target: Target) -> None:
    files = {"a.so": elf("libodd.so.1", "libz.so.1")}
    replaced = {"libodd.so.1": "libodd1 (>= 2), libodd-data | libodd-more", "libz.so.1": ""}
    needs = library_needs(files, target, replaced=replaced)
    assert {need.found for need in needs} == {Found.STACK}
    assert relations(needs) == ["libodd-data | libodd-more", "libodd1 (>= 2)"]


def test_what_a_note_says_of_dlopen_goes_into_the_field_of_its_priority(target: Target) -> None:
    notes = (
        DlopenNote(("libz.so.1", "libjpeg.so.62"), "required", "pictures"),
        DlopenNote(("libgomp.so.1",), "recommended"),
        DlopenNote(("libodd.so.1",), "suggested"),
    )
    needs = library_needs({"a.so": elf(dlopen=notes)}, target)
    assert relations(needs) == ["zlib1g | libjpeg62-turbo (>= 1:1.3.1)"]
    assert relations(needs, Strength.RECOMMENDS) == ["libgomp1"]
    assert relations(needs, Strength.SUGGESTS) == []
    assert needs[-1].found is Found.NOWHERE
    assert library_issues(needs) == []
    required = {"a.so": elf(dlopen=(DlopenNote(("libodd.so.1",), "required"),))}
    assert [issue.field for issue in library_issues(library_needs(required, target))] == ["libodd.so.1"]


def test_a_note_is_met_by_what_is_bundled(target: Target) -> None:
    files = {"a.so": elf(dlopen=(DlopenNote(("libfoo.so.1", "libz.so.1"), "required"),)), "libfoo.so.1": elf()}
    assert relations(library_needs(files, target)) == []


def test_absolute_run_paths_are_shown() -> None:
    files = {"a.so": elf(runpath=("$ORIGIN", "/opt/rocm-6.3.4/lib")), "b.so": elf(rpath=("/opt/rocm-6.3.4/lib",))}
    assert pinned_run_paths(files) == {"/opt/rocm-6.3.4/lib": ["a.so", "b.so"]}
