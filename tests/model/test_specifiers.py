from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version

from debtool.model.errors import InputError
from debtool.model.relations import join
from debtool.model.specifiers import in_words, requirement_clauses, requirement_range
from debtool.model.versions import DebianVersion, upstream_version, with_revision
from tests.support.versions import LAW, differ_in_zeros, requirements


def taken(version: Version, specifiers: SpecifierSet, locked: Version | None = None) -> bool:
    """Return whether dpkg takes a package of ``version``; test_ranges.py holds relations to ranges."""
    try:
        versions = requirement_range(specifiers, locked=locked)
    except InputError as error:
        if not error.issues[0].problem.startswith("no version satisfies"):
            raise
        return False
    return packaged(version) in versions


def packaged(version: Version) -> DebianVersion:
    return with_revision(upstream_version(version), 1, "deb12")


def same_to_dpkg(version: Version, specifiers: SpecifierSet) -> bool:
    """Return whether some specifier's local part is another one, which dpkg takes for the same (docs/versions.md)."""
    for specifier in specifiers:
        text = specifier.version
        if "+" in text and version.local and Version(text) != version and Version(text).public == version.public:
            ours, theirs = (DebianVersion(f"0+{local}") for local in (version.local, Version(text).local))
            if ours == theirs:
                return True
    return False


@given(requirements())
@LAW
def test_dpkg_and_packaging_agree_on_what_satisfies_a_requirement(drawn: tuple[Version, SpecifierSet]) -> None:
    version, specifiers = drawn
    agree = specifiers.contains(version, prereleases=True) == taken(version, specifiers, version)
    assert agree or same_to_dpkg(version, specifiers)


@given(requirements())
@LAW
def test_without_a_lock_they_differ_only_where_zeros_do(drawn: tuple[Version, SpecifierSet]) -> None:
    version, specifiers = drawn
    agree = specifiers.contains(version, prereleases=True) == taken(version, specifiers)
    assert (
        agree
        or same_to_dpkg(version, specifiers)
        or any(differ_in_zeros(version, Version(s.version.removesuffix(".*"))) for s in specifiers)
    )


@pytest.mark.parametrize(
    ("version", "specifier"), [("1.0.0", "==1.0"), ("1.0", ">=1.0.0"), ("1.0.0", "!=1.0"), ("1.0", "~=1.0.0")]
)
def test_zeros_without_a_lock_are_an_exception(version: str, specifier: str) -> None:
    one, other = Version(version), SpecifierSet(specifier)
    assert other.contains(one) != taken(one, other)
    assert other.contains(one) == taken(one, other, one)


@pytest.mark.parametrize(("version", "specifier"), [("1+a0", "==1+a"), ("1+a01", "==1+a1"), ("1+a0", "!=1+a")])
def test_local_parts_that_dpkg_takes_for_the_same_are_an_exception(version: str, specifier: str) -> None:
    one, other = Version(version), SpecifierSet(specifier)
    assert other.contains(one) != taken(one, other, one)
    assert same_to_dpkg(one, other)


@pytest.mark.parametrize(
    ("specifiers", "relations"),
    [
        ("", "x"),
        ("==1.4", "x (>= 1.4), x (<< 1.4++~)"),
        ("==1.4+cpu", "x (>= 1.4+cpu), x (<< 1.4+cpu0A)"),
        ("==1.4+rocm6", "x (>= 1.4+rocm6), x (<< 1.4+rocm6A)"),
        ("==1.4.*", "x (>= 1.4~~), x (<< 1.5~~)"),
        ("==1.0.*", "x (>= 1~~), x (<< 1.1~~)"),
        ("==1!2.*", "x (>= 1:2~~), x (<< 1:3~~)"),
        ("~=1.4", "x (>= 1.4), x (<< 2~~)"),
        ("~=1.4.2rc1", "x (>= 1.4.2~rc1), x (<< 1.5~~)"),
        (">=1.4.dev1", "x (>= 1.4~~dev1)"),
        ("<=1.4", "x (<< 1.4++~)"),
        (">1.4", "x (>= 1.4++q)"),
        (">1.4.post1", "x (>= 1.4++post1++~)"),
        ("<1.4", "x (<< 1.4~~)"),
        ("<2.0", "x (<< 2~~)"),
        ("<2.0rc1", "x (<< 2.0~rc1)"),
        ("<2.0.post1", "x (<< 2.0++post1~~)"),
        ("!=1.4", "x (<< 1.4) | x (>= 1.4++~)"),
        ("!=1.4+cpu", "x (<< 1.4+cpu) | x (>= 1.4+cpu0A)"),
        ("!=1.4.*", "x (<< 1.4~~) | x (>= 1.5~~)"),
        ("===1.4", "x (>= 1.4), x (<< 1.4+~)"),
        ("===1.4+cpu", "x (>= 1.4+cpu), x (<< 1.4+cpu0A)"),
        (">=1.0,<2", "x (>= 1.0), x (<< 2~~)"),
        (">=1.0,>=1.2,<3,<2", "x (>= 1.2), x (<< 2~~)"),
        (">=1,!=1.4,!=1.5.*", "x (>= 1), x (<< 1.4) | x (>= 1.4++~), x (<< 1.5~~) | x (>= 1.6~~)"),
        ("!=1.4.*,!=1.5.*", "x (<< 1.4~~) | x (>= 1.6~~)"),
        (">=1.4,!=1.4", "x (>= 1.4++~)"),
        ("<2,!=1.9,==1.4", "x (>= 1.4), x (<< 1.4++~)"),
        (">=1.0,<=1.0.0", "x (>= 1.0.0), x (<< 1.0.0++~)"),
        ("===1.0,==1.0.0", "x (>= 1.0), x (<< 1.0+~)"),
    ],
)
def test_table(specifiers: str, relations: str) -> None:
    assert join(requirement_clauses("x", SpecifierSet(specifiers))) == relations


@pytest.mark.parametrize(
    ("specifiers", "locked", "relations"),
    [
        ("==1.0", "1", "x (>= 1), x (<< 1++~)"),
        (">=1.0.0", "1.0", "x (>= 1.0)"),
        (">=1.0.0rc1", "1.0", "x (>= 1.0~rc1)"),
        ("~=1.0.0", "1.0", "x (>= 1.0), x (<< 1.1~~)"),
        ("<=1!1.0.0", "1.0", "x (<< 1:1.0++~)"),
        (">=1.0", "2.0.0", "x (>= 1.0)"),
        ("===1.0", "1.0.0", "x (>= 1.0), x (<< 1.0+~)"),
    ],
)
def test_bounds_are_spelled_as_the_locked_version(specifiers: str, locked: str, relations: str) -> None:
    assert join(requirement_clauses("x", SpecifierSet(specifiers), locked=Version(locked))) == relations


@pytest.mark.parametrize(
    ("specifier", "fix"), [("===1.0-1", "fix: write ==1.0.post1"), ("===one", "fix: write the requirement with ==")]
)
def test_a_text_that_no_version_has_is_refused(specifier: str, fix: str) -> None:
    with pytest.raises(InputError, match=f"compares texts.*{fix}"):
        requirement_clauses("x", SpecifierSet(specifier))


@pytest.mark.parametrize(
    "specifiers", [">1,<1", "==1,!=1.0", ">=2,<2", "~=1.4,!=1.*", "==1.0,==1.0+cpu,===1.0", ">=1rc1,<1", ">1,<1.post1"]
)
def test_specifiers_that_nothing_satisfies_are_refused(specifiers: str) -> None:
    with pytest.raises(InputError, match=r"no version satisfies .*comma means and.*fix: ") as caught:
        requirement_clauses("x", SpecifierSet(specifiers))
    assert all(specifier in caught.value.issues[0].problem for specifier in specifiers.split(","))


@pytest.mark.parametrize(
    ("specifier", "words"),
    [
        ("==1.4", "1.4, whatever its local version"),
        ("==1.4+cpu", "1.4+cpu"),
        ("==1.4.*", "every version that begins with 1.4"),
        ("~=1.4", "every version from 1.4 up to, not including, 2"),
        ("~=1!2.9.1", "every version from 1!2.9.1 up to, not including, 1!2.10"),
        (">=1.4", "1.4 and everything above"),
        ("<=1.4", "1.4 and everything below"),
        (">1.4", "everything above 1.4, but for its own post-releases"),
        (">1.4.post1", "everything above 1.4.post1"),
        ("<1.4", "everything below 1.4, but for its own pre-releases"),
        ("<1.4rc1", "everything below 1.4rc1"),
        ("!=1.4", "every version but 1.4"),
        ("!=1.4.*", "every version but what begins with 1.4"),
        ("===1.4", "the version that is written 1.4"),
    ],
)
def test_in_words(specifier: str, words: str) -> None:
    assert in_words(Specifier(specifier)) == f"{specifier} is {words}"


# Around every bound that the table draws from these specifiers.
SPECIFIERS = [
    f"{operator}{text}" for operator in ("==", "!=", "~=", ">=", "<=", "<", ">") for text in ("1.4", "1.4rc1")
]
SPECIFIERS += ["==1.4.*", "!=1.4.*", "===1.4", "==1.4+cpu", "!=1.4+rocm6", ">1.4.post1", "<1.4.post1", "<=1!1.4"]
SPECIFIERS += [">=1.2,<3,!=1.4,!=1.5.*", ">=1.4rc1,<1.5,!=1.4.1"]
VERSIONS = ["0.9", "1.3.9", "1.4.dev1", "1.4a1", "1.4rc1", "1.4rc1.post1", "1.4", "1.4+cpu", "1.4+cpu.1", "1.4+rocm6"]
VERSIONS += ["1.4.post1.dev1", "1.4.post1", "1.4.post1+cpu", "1.4.post2", "1.4.1", "1.5.dev1", "1.5", "2.dev1", "2"]
VERSIONS += ["3", "1!1", "1!1.4", "1!2"]


def test_the_relations_hold_for_the_real_dpkg_where_packaging_says_so() -> None:
    asked: list[str] = []
    expected: list[str] = []
    for specifiers in map(SpecifierSet, SPECIFIERS):
        for version in map(Version, VERSIONS):
            clauses = requirement_clauses("x", specifiers, locked=version)
            any_of = [
                " || ".join(
                    f"dpkg --compare-versions {packaged(version)} '{r.operator}' {r.version}" for r in c.alternatives
                )
                for c in clauses
            ]
            asked.append(f"if {' && '.join(f'{{ {one}; }}' for one in any_of)}; then echo yes; else echo no; fi")
            expected.append("yes" if specifiers.contains(version, prereleases=True) else "no")
    said = subprocess.run(["sh"], input="\n".join(asked), capture_output=True, text=True, check=True).stdout.split()
    differ = [ask for ask, one, other in zip(asked, said, expected, strict=True) if one != other]
    assert len(said) > 500
    assert not differ
