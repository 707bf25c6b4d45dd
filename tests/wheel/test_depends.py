from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from debtool.model.errors import InputError
from debtool.model.relations import join
from debtool.model.stack import WheelSettings
from debtool.model.target import Target, parse_target
from debtool.wheel.depends import (
    RequirementLine,
    defined_extras,
    extra_package,
    provided_extras,
    requirement_relations,
    requirements,
    translate,
)
from debtool.wheel.markers import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK = {canonicalize_name(name): Version(text) for name, text in {"x": "1.2", "y": "1.0", "torch": "2.7+cpu"}.items()}

NAME = canonicalize_name("demo")


@dataclass(frozen=True)
class Wheel:
    """A wheel as far as its requirements go."""

    requires: tuple[str, ...]
    path: Path = Path("demo-1-py3-none-any.whl")
    name: NormalizedName = NAME


@pytest.fixture(scope="module")
def target() -> Target:
    file = Path(__file__).parents[2] / "repo/targets/noble.toml"
    return parse_target(file.read_text(), file)


def line(target: Target, text: str, **options: object) -> RequirementLine:
    """Translate one line of METADATA in a stack that has `LOCK`."""
    [one] = translate(Wheel((text,)), target, prefix="p", **{"locked": LOCK, **options})  # type: ignore[arg-type]
    return one


@pytest.mark.parametrize(
    ("text", "relations", "because"),
    [
        ("x", "X", "any version will do"),
        (
            "X>=1,<2",
            "X (>= 1), X (<< 2~~)",
            "<2 is everything below 2, but for its own pre-releases and >=1 is 1 and …",
        ),
        ("x~=1.1", "X (>= 1.1), X (<< 2~~)", "~=1.1 is every version from 1.1 up to, not including, 2"),
        ("y>=1.0.0", "Y (>= 1.0)", ">=1.0.0 is 1.0.0 and everything above, spelled 1.0 as the lock does"),
        ("y==1", "Y (>= 1.0), Y (<< 1.0++~)", "==1 is 1, whatever its local version, spelled 1.0 as the lock does"),
        ("y==1.*", "Y (>= 1~~), Y (<< 2~~)", "==1.* is every version that begins with 1"),
        ("y===1.0", "Y (>= 1.0), Y (<< 1.0+~)", "===1.0 is the version that is written 1.0"),
        ("x[b,A]>1", "X (>= 1++q), X+a, X+b", ">1 is everything above 1, but for … built with its extra A, b"),
        (
            "torch @ https://h.example/torch.whl",
            "T (>= 2.7+cpu), T (<< 2.7+cpu0A)",
            "the lock's version stands for that address: ==2.7+cpu is 2.7+cpu",
        ),
    ],
)
def test_a_line_that_holds(target: Target, text: str, relations: str, because: str) -> None:
    one = line(target, text)
    packages = {"X": "p-python3-x", "Y": "p-python3-y", "T": "p-python3-torch"}
    assert join(one.clauses) == re.sub(r"\b[XYT]\b", lambda found: packages[found[0]], relations)
    assert re.fullmatch(re.escape(because).replace("…", ".+"), one.because)
    assert (one.text, one.verdict, one.marker, one.extra) == (text, Verdict.HOLDS, "", "")
    assert one.written == ("torch==2.7+cpu" if "@" in text else "")


@pytest.mark.parametrize(
    ("text", "verdict", "because"),
    [
        ("x; python_version < '3.9'", Verdict.OTHER_TARGET, "noble has python_version 3.12"),
        ("x; os_name == 'python_version'", Verdict.OTHER_TARGET, "noble has os_name posix"),
        ("x; platform_release > '5'", Verdict.OTHER_TARGET, "noble has platform_release empty"),
        (
            "x; sys_platform == 'win32' and (extra == 'fast' or os_name == 'nt')",
            Verdict.OTHER_TARGET,
            "noble has sys_platform linux, os_name posix",
        ),
        ("x; extra == 'Big_Fast'", Verdict.EXTRA, "it comes with the extra big-fast, which nothing asks for"),
        ("x; 'a' == extra or extra == 'b'", Verdict.EXTRA, "it comes with the extra a or b, which nothing asks for"),
        ("Demo[a,b]", Verdict.ITSELF, "it includes this wheel's own extra a, b"),
        ("demo", Verdict.ITSELF, "a wheel does not need itself"),
    ],
)
def test_a_line_that_does_not_hold(target: Target, text: str, verdict: Verdict, because: str) -> None:
    one = line(target, text, locked={})
    assert (one.verdict, one.clauses, one.written, one.extra) == (verdict, (), "", "")
    assert one.because.removeprefix(f"{one.marker} is false: ") == because
    assert bool(one.marker) == (";" in text)
    assert requirements(Wheel((text,)), target) == []


def test_an_extra_includes_others(target: Target) -> None:
    wheel = Wheel(
        (
            "x; extra == 'a'",
            "y; extra == 'b'",
            "demo[a]; extra == 'all'",
            "demo[B]; extra == 'a'",
            "demo[c]; extra == 'all' and os_name == 'nt'",
        )
    )
    lines = translate(wheel, target, prefix="p", locked=LOCK, extras=["All"])
    assert [(one.name, one.verdict.value, one.extra) for one in lines] == [
        ("x", "holds", "a"),
        ("y", "holds", "b"),
        ("demo", "is itself", "all"),
        ("demo", "is itself", "a"),
        ("demo", "not on this target", ""),
    ]
    assert [need.name for need in requirements(wheel, target, ["all"])] == ["x", "y"]
    assert provided_extras(wheel, target, prefix="p", extras=["All"]) == [
        f"p-python3-demo+{e}" for e in ("a", "all", "b")
    ]
    assert provided_extras(wheel, target, prefix="p", extras=[]) == []
    assert defined_extras(wheel, ["None_Needed"]) == {"a", "b", "all", "none-needed"}


def test_a_wheel_may_always_include_an_extra_of_its_own(target: Target) -> None:
    wheel = Wheel(("demo[a]; os_name == 'posix'", "demo[b]; os_name == 'nt'", "x; extra == 'a'", "y; extra == 'b'"))
    assert [need.name for need in requirements(wheel, target)] == ["x"]
    assert provided_extras(wheel, target, prefix="p", extras=[]) == ["p-python3-demo+a"]


def test_lines_on_one_distribution_are_intersected(target: Target) -> None:
    wheel = Wheel(("x>=1", "y", "x[a]<2", "X!=1.1; python_version > '3'", "x>5; python_version < '3'"))
    assert join(requirement_relations(wheel, target, prefix="p", locked=LOCK)) == (
        "p-python3-x (>= 1), p-python3-x (<< 2~~), p-python3-x (<< 1.1) | p-python3-x (>= 1.1++~), p-python3-x+a, "
        "p-python3-y"
    )


def test_what_the_stack_says_instead_counts(target: Target) -> None:
    wheel = Wheel(("z>=3", "gone==1", "Elsewhere", "x>5; extra == 'e'"))
    replaced = {
        canonicalize_name(name): text
        for name, text in {"z": "x~=1.0", "gone": "", "elsewhere": "y; os_name == 'nt'", "x": "x>1"}.items()
    }
    lines = translate(wheel, target, prefix="p", locked=LOCK, replaced=replaced)
    assert [(one.name, one.verdict.value, one.written, one.because) for one in lines] == [
        (
            "z",
            "holds",
            "x~=1.0",
            "the stack asks for x~=1.0 in its place: ~=1.0 is every version from 1.0 up to, not including, 2",
        ),
        ("gone", "left out by the stack", "", "the stack leaves it out"),
        ("elsewhere", "not on this target", 'y; os_name == "nt"', 'os_name == "nt" is false: noble has os_name posix'),
        ("x", "extra not asked", "", "it comes with the extra e, which nothing asks for"),
    ]
    relations = join(requirement_relations(wheel, target, prefix="p", locked=LOCK, replaced=replaced))
    assert relations == "p-python3-x (>= 1.0), p-python3-x (<< 2~~)"
    assert list(map(str, requirements(wheel, target, replaced=replaced))) == ["x~=1.0"]


@pytest.mark.parametrize(
    ("text", "lock", "problem", "setting"),
    [
        ("z[a]>=1", LOCK, "requires z[a]>=1, which the lock does not have", '"z" = ""'),
        ("x<1", LOCK, "requires x<1, and the lock has x 1.2", '"x" = "x ==1.2"'),
        ("x[E]==2", LOCK, "requires x[E]==2, and the lock has x 1.2", '"x" = "x[E] ==1.2"'),
        ("x===1.2-0", LOCK, "requires x===1.2-0: ===1.2-0 compares texts, and no …", '"x" = "x ==1.2"'),
        ("x===1.2-0", None, "requires x===1.2-0: ===1.2-0 compares texts, and no …", '"x" = "x"'),
        ("x>1,<1", LOCK, "requires x<1,>1: no version satisfies <1,>1", '"x" = "x ==1.2"'),
        ("x[E]>1,<1", None, "requires x[E]<1,>1: no version satisfies <1,>1", '"x" = "x[E]"'),
        ("x @ https://h/x.whl", None, "requires x @ https://h/x.whl, and no lock says …", '"x" = "x"'),
        ("x[b,q]>1", LOCK, "requires x[b,q]>1, and x has no extra q", '"x" = "x[b]>1"'),
        ("x[q]", LOCK, "requires x[q], and x has no extra q", '"x" = "x"'),
        ("y[q]", LOCK, "requires y[q], and y has no extra q", '"y" = "y"'),
    ],
)
def test_what_cannot_be_mapped_is_told_with_the_line_that_mends_it(
    target: Target, text: str, lock: Mapping[NormalizedName, Version] | None, problem: str, setting: str
) -> None:
    defined = {canonicalize_name("x"): ["B", "e"]}
    with pytest.raises(InputError) as caught:
        requirement_relations(Wheel((text,)), target, prefix="p", locked=lock, defined=defined)
    [issue] = caught.value.issues
    assert re.fullmatch(re.escape(problem).replace("…", ".+"), issue.problem)
    assert (issue.file, issue.field) == (Path("demo-1-py3-none-any.whl"), "Requires-Dist")
    assert f"[wheel.demo] requires = {{ {setting} }}" in issue.fix
    assert ("debtool lock --target noble" in issue.fix) == ("the lock " in problem)
    table = tomllib.loads(f"{issue.fix[issue.fix.index('requires') :]}\nreason = 'because'")
    replaced = {canonicalize_name(name): new for name, new in WheelSettings.model_validate(table).requires.items()}
    requirement_relations(Wheel((text,)), target, prefix="p", locked=lock, defined=defined, replaced=replaced)


def test_every_line_that_cannot_be_mapped_is_told_at_once(target: Target) -> None:
    wheel = Wheel(("a", "x>9", "y", "b; os_name == 'nt'", "torch===one", "demo[z]"))
    with pytest.raises(InputError) as caught:
        translate(wheel, target, prefix="p", locked=LOCK)
    assert [issue.problem.split()[1] for issue in caught.value.issues] == ["a,", "x>9,", "torch===one:"]


def test_lines_that_nothing_satisfies_together_are_told(target: Target) -> None:
    with pytest.raises(InputError, match=r"requires x>=2 and x<1: no version satisfies .* requires = .* \"x\" = \"x\""):
        translate(Wheel(("x>=2", "x<1")), target, prefix="p", locked=None)


@pytest.mark.parametrize("text", ["x >> 1", "x; os_name ~= 'x'", "x; nothing == '1'"])
def test_what_cannot_be_read_is_told(target: Target, text: str) -> None:
    with pytest.raises(InputError, match=r"PEP 508.*; fix: have the wheel rebuilt"):
        requirements(Wheel((text,)), target)


def test_an_extra_has_a_name_that_no_distribution_has() -> None:
    assert extra_package("p", "Uvicorn", "Big_Standard") == "p-python3-uvicorn+big-standard"
