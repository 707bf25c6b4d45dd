from __future__ import annotations

import operator

import pytest
from hypothesis import given
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from debtool.model.errors import InputError
from debtool.model.relations import Clause, Relation, clause, join, requirement_clauses
from debtool.model.versions import DebianVersion, upstream_version, with_revision
from tests.support.versions import LAW, differ_in_zeros, requirements

OPERATORS = {"<<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">>": operator.gt}


def dpkg_takes(version: Version, clauses: list[Clause]) -> bool:
    """Return whether dpkg would find the clauses satisfied; tests/model/test_versions.py holds the order to dpkg's."""
    packaged = with_revision(upstream_version(version), 1, "deb12")
    return all(any(_holds(packaged, relation) for relation in one.alternatives) for one in clauses)


def _holds(packaged: DebianVersion, relation: Relation) -> bool:
    if relation.operator is None:
        return True
    return bool(OPERATORS[relation.operator](packaged, DebianVersion(str(relation.version))))


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
    agree = specifiers.contains(version, prereleases=True) == dpkg_takes(
        version, requirement_clauses("x", specifiers, locked=version)
    )
    assert agree or same_to_dpkg(version, specifiers)


@given(requirements())
@LAW
def test_without_a_lock_they_differ_only_where_zeros_do(drawn: tuple[Version, SpecifierSet]) -> None:
    version, specifiers = drawn
    agree = specifiers.contains(version, prereleases=True) == dpkg_takes(version, requirement_clauses("x", specifiers))
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
    assert other.contains(one) != dpkg_takes(one, requirement_clauses("x", other))
    assert other.contains(one) == dpkg_takes(one, requirement_clauses("x", other, locked=one))


@pytest.mark.parametrize(("version", "specifier"), [("1+a0", "==1+a"), ("1+a01", "==1+a1"), ("1+a0", "!=1+a")])
def test_local_parts_that_dpkg_takes_for_the_same_are_an_exception(version: str, specifier: str) -> None:
    one, other = Version(version), SpecifierSet(specifier)
    assert other.contains(one) != dpkg_takes(one, requirement_clauses("x", other, locked=one))
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
        (">=1.0,<2", "x (<< 2~~), x (>= 1.0)"),
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


def test_a_field_has_every_clause_once() -> None:
    alternatives = Clause((Relation("b", ">=", "1"), Relation("c")))
    assert join([clause("a"), alternatives, clause("a"), clause("a", "<<", "2")]) == "a, b (>= 1) | c, a (<< 2)"
