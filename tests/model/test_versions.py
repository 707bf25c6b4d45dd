from __future__ import annotations

import itertools
import subprocess

import pytest
from hypothesis import given
from packaging.version import Version

from debtool.model.errors import InputError
from debtool.model.versions import DebianVersion, revision_number, upstream_version, with_revision
from tests.support.versions import LAW, differ_in_zeros, pairs

# In ascending order by PEP 440, every kind next to its neighbours.
ASCENDING = [
    "0.9",
    "1.dev0",
    "1a0.dev1",
    "1a0",
    "1a0.post1",
    "1a1",
    "1a10",
    "1b0",
    "1rc1",
    "1",
    "1+cpu",
    "1+cpu.1",
    "1+rocm6",
    "1+1",
    "1.post0.dev1",
    "1.post0",
    "1.post0+cpu",
    "1.post1",
    "1.post10",
    "1.0.1",
    "1.1",
    "1.10",
    "2.2",
    "10",
    "1!0.1",
]


def mapped(version: str) -> DebianVersion:
    return with_revision(upstream_version(Version(version)), 1, "deb12")


def sign(first: DebianVersion | Version, second: DebianVersion | Version) -> int:
    return (first > second) - (first < second)  # type: ignore[operator]


def locals_may_differ(first: Version, second: Version) -> bool:
    """Return whether two local parts are of a kind that dpkg orders differently (docs/versions.md)."""
    if not (first.local and second.local):
        return False
    segments = zip(first.local.split("."), second.local.split("."), strict=False)
    one, other = next(((a, b) for a, b in segments if a != b), ("1", "1"))
    if one.isdigit() and other.isdigit():
        return False
    return one.isdigit() != other.isdigit() or any(c.isdigit() for c in one + other) or _prefixes(one, other)


def _prefixes(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


@given(pairs())
@LAW
def test_order_is_that_of_pep_440_but_for_the_documented_exceptions(pair: tuple[Version, Version]) -> None:
    first, second = pair
    ours = sign(DebianVersion(upstream_version(first)), DebianVersion(upstream_version(second)))
    if ours != sign(first, second):
        assert differ_in_zeros(first, second) or (
            Version(first.public) == Version(second.public) and locals_may_differ(first, second)
        )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1.0", "1.0.0"),  # equal
        ("1.0", "1.0.0rc1"),  # the pre-release is lower
        ("1+10", "1+cpu"),  # numbers are higher than words
        ("1+rocm10", "1+rocm6"),  # words are compared letter by letter
        ("1+a.x", "1+ab"),  # a shorter word is lower
        ("1+a", "1+a0"),  # dpkg reads a missing number as 0
        ("1+a1", "1+a01"),  # ... and ignores leading zeros
    ],
)
def test_each_documented_exception_is_one(first: str, second: str) -> None:
    one, other = Version(first), Version(second)
    assert sign(mapped(first), mapped(second)) != sign(one, other)
    assert differ_in_zeros(one, other) or locals_may_differ(one, other)


def test_the_samples_ascend_in_both_orders() -> None:
    # "+1" above "+rocm6" is PEP 440's; in dpkg's order it is the other way round: a documented exception.
    without = [version for version in ASCENDING if version != "1+1"]
    assert sorted(ASCENDING, key=Version) == ASCENDING
    assert sorted(without, key=mapped) == without


def test_order_is_that_of_dpkg() -> None:
    texts = [str(mapped(version)) for version in ASCENDING]
    texts += ["1.0-1", "1.0-1~deb12", "1.0-1~deb12~demo", "1.0-10~deb12", "1.00-1", "1.0", "1A", "1++~", "1~~", "0:1-1"]
    made = list(itertools.product(texts, texts[::3]))
    relations = ["lt", "eq", "gt"]
    script = "".join(
        f"for r in {' '.join(relations)}; do dpkg --compare-versions '{a}' $r '{b}' && echo $r && break; done\n"
        for a, b in made
    )
    said = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False).stdout.split()
    expected = [relations[sign(DebianVersion(a), DebianVersion(b)) + 1] for a, b in made]
    assert said == expected


@pytest.mark.parametrize(
    ("python", "debian"),
    [
        ("1.26.4", "1.26.4"),
        ("v1.0.0", "1.0.0"),
        ("2!1.0RC1", "2:1.0~rc1"),
        ("1.0-1", "1.0++post1"),
        ("1.0.dev3", "1.0~~dev3"),
        ("1.0a2.post3.dev4", "1.0~a2++post3~~dev4"),
        ("2.13.0+cpu", "2.13.0+cpu"),
        ("2.7.1+ROCM6-3_noavx", "2.7.1+rocm6.3.noavx"),
    ],
)
def test_mapping(python: str, debian: str) -> None:
    assert upstream_version(Version(python)) == debian


@pytest.mark.parametrize("text", ["", "a1", "1.0-", "1:2:3", "1.0 ", "1_0", ":1", "1.0-1:2"])
def test_what_is_no_debian_version_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is no Debian version \(.*Policy 5\.6\.12\)\); fix: "):
        DebianVersion(text)


def test_parts() -> None:
    version = with_revision("1:2.0~rc1", 12, "u2404.rocm63", "~demo")
    assert str(version) == "1:2.0~rc1-12~u2404.rocm63~demo"
    assert version.without_epoch == "2.0~rc1-12~u2404.rocm63~demo"
    assert version.upstream == "1:2.0~rc1"
    assert revision_number(str(version)) == 12
    assert revision_number("2.0-1") == 0
    assert revision_number("2.0") == 0


def test_a_rebuild_is_newer_and_a_target_tag_never_above_the_next_revision() -> None:
    first, second = with_revision("1.0", 1, "u2404.rocm63"), with_revision("1.0", 2, "deb12")
    assert first < second < with_revision("1.0", 10, "deb12") < DebianVersion("1.0-10")
