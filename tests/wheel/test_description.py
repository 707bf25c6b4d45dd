from __future__ import annotations

from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from debian.copyright import Copyright
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from debtool.model.errors import InputError
from debtool.model.relations import join
from debtool.model.target import Target, parse_target
from debtool.wheel.copyright import copyright_file, licence_name
from debtool.wheel.depends import requirement_relations, requirements
from debtool.wheel.metadata import description, homepage, synopsis

if TYPE_CHECKING:
    from debtool.wheel.source import Wheel
    from tests.wheel.conftest import HandMadeWheels

APACHE = "Apache License\n  Version 2.0, January 2004\n\nTERMS\n" + "words\n" * 99 + "END OF TERMS AND CONDITIONS\n"


@pytest.fixture(scope="session")
def target() -> Target:
    file = Path(__file__).parents[2] / "repo/targets/bookworm.toml"
    return parse_target(file.read_text(), file)


def parsed(text: str) -> tuple[str, str, str]:
    """The notices, the licence's short name and its text, as python-debian reads them."""
    paragraph: Any
    (paragraph,) = Copyright(text.splitlines(keepends=True)).all_files_paragraphs()
    return paragraph.copyright, paragraph.license.synopsis, paragraph.license.text


def with_metadata(handmade: HandMadeWheels, old: str, new: str) -> Wheel:
    assert old in handmade.metadata
    return handmade.open({f"{handmade.info}/METADATA": handmade.metadata.replace(old, new).encode()})


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("A demo of a wheel.", "demo of a wheel"),
        ("The demo: it works. More text follows.", "demo: it works"),
        ("Demo.Pkg is a library for tests", "library for tests"),
        ("demo.pkg - things for tests!", "things for tests"),
        ("\N{ROCKET} Fast things", "Fast things"),
        ("Accelerate", "Python distribution Demo.Pkg"),
        ("", "Python distribution Demo.Pkg"),
        (
            "one two three " * 9 + "and four",
            "one two three one two three one two three one two three one two three one two",
        ),
        ("Reading, writing, hashing, packing, unpacking, signing, listing, finding, and more", None),
    ],
)
def test_synopsis(handmade: HandMadeWheels, summary: str, expected: str | None) -> None:
    found = synopsis(with_metadata(handmade, "A demo of a wheel.", summary))
    assert len(found) < 80
    if expected is not None:
        assert found == expected
    else:
        assert not found.endswith((",", "and"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200),
    st.text(st.sampled_from("ab. \n\t*_`[]()<>#=-|:\N{ROCKET}"), max_size=400),
)
def test_any_text_becomes_a_description_that_policy_allows(handmade: HandMadeWheels, summary: str, readme: str) -> None:
    metadata = handmade.metadata.replace("A demo of a wheel.", " ".join(summary.split())).partition("\n\n")[0]
    wheel = handmade.open({f"{handmade.info}/METADATA": f"{metadata}\n\nDemo.Pkg {readme}\n".encode()})
    first, *rest = description(wheel).split("\n")
    assert 0 < len(first) < 80
    assert " " in first
    assert rest
    for line in rest:
        assert line == " ." or (line.startswith(" ") and line[1:2].strip() and not line.startswith(" ."))
        assert "\t" not in line


def test_the_readme_introduces_the_package(handmade: HandMadeWheels) -> None:
    text = description(handmade.open())
    assert "\n Demo.Pkg is a thing that tests are made with" in text
    assert "This package holds Demo.Pkg 1.0" in text


@pytest.mark.parametrize(
    "readme",
    [
        "# Demo.Pkg is a title which is certainly long enough to be taken for a paragraph of prose, but is none.",
        "Install it with pip, and then do a number of things that have nothing to do with what the package is.",
        "Demo.Pkg <img src='x'> has a picture in its paragraph that no control file should have in it, does it not.",
    ],
)
def test_what_does_not_introduce_it_is_left_out(handmade: HandMadeWheels, readme: str) -> None:
    start = handmade.metadata.partition("\n\n")[0]
    wheel = handmade.open({f"{handmade.info}/METADATA": f"{start}\n\n{readme}\n".encode()})
    assert readme[:30] not in description(wheel)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("Home-page: https://a.example.org", "https://a.example.org"),
        ("Project-URL: Home-Page, https://b.example.org", "https://b.example.org"),
        (
            "Project-URL: Chat, https://c.example.org\nProject-URL: Source Code, https://d.example.org/x",
            "https://d.example.org/x",
        ),
        ("Home-page: UNKNOWN", None),
        ("Home-page: ftp://a.example.org", None),
        ("Home-page: https://localhost", None),
        ("X: y", None),
    ],
)
def test_homepage(handmade: HandMadeWheels, lines: str, expected: str | None) -> None:
    assert homepage(with_metadata(handmade, "Home-page: https://demo.example.org", lines)) == expected


def test_the_copyright_file_is_machine_readable(handmade: HandMadeWheels) -> None:
    text = copyright_file(handmade.open())
    notices, short_name, licence = parsed(text)
    assert "2020 The Demo Authors" in notices
    assert short_name == "Expat"
    assert "Permission is granted." in licence


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Copyright (c) Some Body and others", "Some Body and others"),
        ("   Copyright the-thing contributors", "the-thing contributors"),
        ("Copyright (c) Some Body\n(c) 2019 Any Body", "2019 Any Body"),
        ("Copyright [yyyy] [name of copyright owner]", "the authors of Demo.Pkg"),
        ("Copyright (c) <owner>\nCopyright notices must stay.", "the authors of Demo.Pkg"),
    ],
)
def test_who_has_the_copyright(handmade: HandMadeWheels, licence: str, expected: str) -> None:
    text = copyright_file(handmade.open({f"{handmade.info}/licenses/LICENSE": licence.encode()}))
    assert f"\nCopyright: {expected}\nLicense: " in text


def test_licences_that_every_system_has_are_pointed_to(handmade: HandMadeWheels) -> None:
    text = copyright_file(
        handmade.open({f"{handmade.info}/licenses/LICENSE": b"Before\n\n" + APACHE.encode() + b"After\n"})
    )
    assert "/usr/share/common-licenses/Apache-2.0" in text
    assert "words" not in text
    assert "Before" in text
    assert "After" in text


def test_equal_licence_files_stand_there_once_and_odd_lines_stay_in_their_field(handmade: HandMadeWheels) -> None:
    odd = b"Copyright 2001 X\n.\n\tindented\n\nLicense: none of that\n\x0cpage\n"
    files: dict[str, bytes | None] = {f"{handmade.info}/licenses/{name}": odd for name in ("LICENSE", "COPYING")}
    text = copyright_file(handmade.open(files))
    assert text.count("2001 X") == 2  # the notice, and the text once
    _, short_name, licence = parsed(text)
    assert "License: none of that" in licence
    assert short_name == "Expat"


def test_a_wheel_without_licence_texts_says_what_its_metadata_says(handmade: HandMadeWheels) -> None:
    text = copyright_file(handmade.open({f"{handmade.info}/licenses/LICENSE": None}))
    assert "The wheel carries no text of its license" in text
    assert "Copyright: the authors of Demo.Pkg" in text


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("License-Expression: Apache-2.0 OR (MIT AND BSD-3-Clause)", "Apache-2.0 or (Expat and BSD-3-Clause)"),
        ("License-Expression: Apache-2.0 WITH LLVM-exception", "Apache-2.0 with LLVM exception"),
        ("License-Expression: MIT-0", "MIT-0"),
        ("Classifier: License :: OSI Approved :: MIT License", "Expat"),
        ("License: BSD-3-Clause", "BSD-3-Clause"),
        ("License: UNKNOWN", "other"),
        ("License: You may do this, and that", "other"),
        ("", "other"),
    ],
)
def test_licence_names(metadata: str, expected: str) -> None:
    assert licence_name(HeaderParser().parsestr(metadata)) == expected


def test_markers_are_evaluated_for_the_target(handmade: HandMadeWheels, target: Target) -> None:
    wheel = handmade.open()
    assert [need.name for need in requirements(wheel, target)] == ["dep-a", "dep-c"]
    assert [need.name for need in requirements(wheel, target, ["X"])] == ["dep-a", "dep-c", "dep-x"]


def test_an_extra_that_includes_others_is_followed(handmade: HandMadeWheels, target: Target) -> None:
    assert [need.name for need in requirements(handmade.open(), target, ["all"])] == ["dep-a", "dep-c", "dep-x"]


def test_requirements_become_relations(handmade: HandMadeWheels, target: Target) -> None:
    relations = join(requirement_relations(handmade.open(), target, prefix="pre"))
    expected = ["pre-python3-dep-a (>= 1)", "pre-python3-dep-c (>= 2.1)", "pre-python3-dep-c (<< 3~~)"]
    assert relations == ", ".join([*expected, "pre-python3-dep-c+fast"])


def test_a_requirement_that_the_lock_lacks_is_told(handmade: HandMadeWheels, target: Target) -> None:
    with pytest.raises(InputError) as caught:
        requirement_relations(handmade.open(), target, prefix="pre", locked={})
    assert [issue.problem.split()[1] for issue in caught.value.issues] == ["dep-a>=1,", "dep-c[fast]~=2.1;"]


def test_a_malformed_requirement_is_told(handmade: HandMadeWheels, target: Target) -> None:
    with pytest.raises(InputError, match="PEP 508"):
        requirements(with_metadata(handmade, "dep-a>=1", "dep-a >> 1"), target)
