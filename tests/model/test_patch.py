"""Patch files: what they say, and what is wrong with those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from debtool.model.errors import InputError
from debtool.model.patch import parse_patch, unfilled
from debtool.model.shipped import shipped

FILE = Path("patches/hello.toml")
TEXT = """\
schema = 1
distribution = "Hello.World"
affected = ">=1.0,<1.4"
file = "hello/words.py"
defect = "an empty name fails"
comment = "a name may be empty"
levels = ["some", "all"]

[[edits]]
function = "greet.inner"
test = "not {0} or {0} == {}"
then = 'return "hello"'

[[edits]]
function = "greet"
where = "after"
assigns = "name"
contains = "NAME"
test = "name is None"
then = "name = {}"
level = "all"

[[checks]]
name = "an empty name"
call = "greet"
arguments = ["", { a = 1 }]
gives = ["hello"]

[[checks]]
name = "no name"
call = "Words.greet"
arguments = '[null, true]'
gives = ["Hello", "hi"]
fold = true
level = "all"

[[keeps]]
call = "greet"
arguments = []
"""


def told(old: str, new: str) -> list[str]:
    assert old in TEXT
    with pytest.raises(InputError) as caught:
        parse_patch(TEXT.replace(old, new), FILE)
    return [str(issue) for issue in caught.value.issues]


def test_what_a_file_says() -> None:
    patch = parse_patch(TEXT, FILE)
    assert (patch.distribution, patch.module, patch.shipped_level) == ("hello-world", "hello.words", "all")
    assert [patch.level_of(edit) for edit in patch.edits] == ["some", "all"]
    assert [check.arguments for check in patch.checks] == [("", {"a": 1}), (None, True)]
    assert [(str(low), str(high)) for low, high in patch.ranges] == [("1.0", "1.4")]
    assert unfilled(patch) == []


def test_a_packages_own_module_is_named_by_its_folder() -> None:
    assert parse_patch(TEXT.replace("hello/words.py", "hello/__init__.py"), FILE).module == "hello"
    assert parse_patch(TEXT.replace("hello/words.py", "hello.py"), FILE).module == "hello"


@pytest.mark.parametrize(
    ("old", "new", "place", "problem"),
    [
        ('affected = ">=1.0,<1.4"', 'affected = "<=1.3"', "3: affected", "<=1.3 is no range of releases: write < and"),
        ('affected = ">=1.0,<1.4"', 'affected = ">=2,<1"', "3: affected", "no release satisfies <1,>=2"),
        ('affected = ">=1.0,<1.4"', 'affected = "new"', "3: affected", "'new' is no version specifier"),
        ("hello/words.py", "hello/words.txt", "4: file", "is no module below site-packages"),
        ("hello/words.py", "hello/a-b.py", "4: file", "is no module below site-packages"),
        ("hello/words.py", "/hello/words.py", "4: file", "is no path below"),
        ('comment = "a name may be empty"', 'comment = "für"', "6: comment", "pattern"),
        ('levels = ["some", "all"]', 'levels = ["some", "all", "all"]', "7: levels", "a level is named twice"),
        ('comment = "', 'ships = "most"\ncomment = "', "6: ships", "'most' is no level"),
        ("greet.inner", "greet.1", "10: edits[1].function", "names no function"),
        ("not {0} or {0} == {}", "not {0} or", "11: edits[1].test", "is not valid Python"),
        ("not {0} or {0} == {}", "x = 1", "11: edits[1].test", "is not valid Python"),
        ("not {0} or {0} == {}", "x # {0}", "11: edits[1].test", "is not valid Python"),
        ("not {0} or {0} == {}", "True: return 1 #", "11: edits[1].test", "is not valid Python"),
        ("not {0} or {0} == {}", "pass", "11: edits[1].test", "is not valid Python"),
        ("not {0} or {0} == {}", "(yield)", "11: edits[1].test", "would make another kind of function of it"),
        ('return "hello"', "return 1; x = 2", "12: edits[1].then", "is not one simple statement"),
        ('return "hello"', "if {0}: return 1", "12: edits[1].then", "is not one simple statement"),
        ('return "hello"', "return 1 # why", "12: edits[1].then", "is not one simple statement"),
        ('return "hello"', "return return", "12: edits[1].then", "is not valid Python"),
        ('assigns = "name"\n', "", "14: edits[2].assigns", "is missing with where = 'after'"),
        ('arguments = ["", { a = 1 }]', 'arguments = "null"', "26: checks[1].arguments", "is no list of arguments"),
        ('arguments = ["", { a = 1 }]', 'arguments = "[1"', "26: checks[1].arguments", "cannot be said in JSON"),
        (
            'arguments = ["", { a = 1 }]',
            "arguments = [2026-11-23]",
            "26: checks[1].arguments",
            "cannot be said in JSON",
        ),
        ('gives = ["hello"]', "gives = []", "27: checks[1].gives", "at least 1 item"),
        ('call = "Words.greet"', 'call = "greet()"', "31: checks[2].call", "names no function"),
    ],
)
def test_a_wrong_value_is_one_error_with_its_line(old: str, new: str, place: str, problem: str) -> None:
    [issue] = told(old, new)
    assert issue.startswith(f"{FILE}:{place}: ")
    assert problem in issue
    assert "(docs/patches.md); fix: " in issue


def test_contradictions_are_told_together() -> None:
    assert [
        issue.partition(";")[0] for issue in told('levels = ["some", "all"]', 'levels = ["none", "some", "all"]')
    ] == [
        f"{FILE}:7: levels: edits have none of level 'some' (docs/patches.md)",
        f"{FILE}:7: levels: checks have none of level 'some' (docs/patches.md)",
    ]
    issues = told('where = "after"\n', "")
    assert [issue.split(": ")[1:3] for issue in issues] == [
        ["edits[2].assigns", "has no meaning with where = 'start' (docs/patches.md); fix"],
        ["edits[2].contains", "has no meaning with where = 'start' (docs/patches.md); fix"],
    ]


def test_two_edits_that_ask_the_same_are_one_too_many() -> None:
    again = '[[edits]]\nfunction = "greet.inner"\ntest = "not {0} or {0} == {}"\nthen = "pass"\n\n[[checks]]'
    [issue] = told('[[checks]]\nname = "an', again + '\nname = "an')
    assert "edits[3].test: an edit before it asks the same at the same place" in issue


def test_the_patch_that_debtool_brings() -> None:
    file = shipped("repo/patches/gradio.toml")
    patch = parse_patch(file.read_text(), file)
    assert (patch.module, patch.levels, patch.shipped_level) == ("gradio_client.utils", ("guide", "full"), "full")
    assert [len(part) for part in (patch.edits, patch.checks, patch.keeps)] == [5, 9, 14]
