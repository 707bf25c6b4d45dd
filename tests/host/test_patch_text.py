"""Guards are spliced into a module's text, and every other byte stays."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debtool.host.patcher.behaviour import ask_isolated
from debtool.host.patcher.errors import PatchError
from debtool.host.patcher.recipe import parse
from debtool.host.patcher.text import function_of, missing, patched_text, pristine_text
from tests.support.patches import TINY_TEXT, gradio, tiny

RECIPE = parse(gradio(), "patch.json")
TINY = parse(tiny(), "patch.json")
MARKER = RECIPE.marker.encode()


def behaves(pristine: bytes, patched: bytes, level: str) -> bool:
    before, after = ask_isolated(RECIPE, [pristine, patched])
    return not after.wrong(level) and not after.changed(before)


def test_only_whole_lines_are_inserted(sample: bytes) -> None:
    before, after = sample.splitlines(), patched_text(sample, RECIPE, "full").splitlines()
    rest = iter(after)
    assert all(line in rest for line in before), "every old line, in order"
    assert len(after) == len(before) + 2 * 5


def test_the_text_of_a_guard(sample: bytes) -> None:
    assert (
        patched_text(sample, RECIPE, "guide").count(
            b"    if not isinstance(schema, dict):  # cheesegrater-gradio-patch: a schema may be a boolean\n"
            b'        return "Any"\n'
        )
        == 2
    )


@pytest.mark.parametrize("level", ["guide", "full"])
def test_again_changes_nothing(sample: bytes, level: str) -> None:
    once = patched_text(sample, RECIPE, level)
    assert patched_text(once, RECIPE, level) == once
    assert once.count(MARKER) == {"guide": 2, "full": 5}[level]


def test_a_second_level_is_added_to_the_first(sample: bytes) -> None:
    assert patched_text(patched_text(sample, RECIPE, "guide"), RECIPE, "full") == patched_text(sample, RECIPE, "full")


def test_line_ends_and_byte_order_mark_stay(sample: bytes) -> None:
    windows = b"\xef\xbb\xbf" + sample.replace(b"\n", b"\r\n")
    patched = patched_text(windows, RECIPE, "full")
    assert patched == b"\xef\xbb\xbf" + patched_text(sample, RECIPE, "full").replace(b"\n", b"\r\n")
    assert behaves(windows, patched, "full")


def test_other_encodings_stay(sample: bytes) -> None:
    latin = b"# -*- coding: latin-1 -*-\n# \xe9\xff\n" + sample
    patched = patched_text(latin, RECIPE, "full")
    assert patched.startswith(b"# -*- coding: latin-1 -*-\n# \xe9\xff\n")
    assert behaves(latin, patched, "full")


def test_tabs_stay_tabs(sample: bytes) -> None:
    tabs = sample.replace(b"    ", b"\t")
    patched = patched_text(tabs, RECIPE, "full")
    assert b"\tif not isinstance(schema, dict):" in patched
    assert behaves(tabs, patched, "full")


def test_the_half_patch_is_completed(sample: bytes) -> None:
    half = sample.replace(
        b"def get_type(schema: dict):\n",
        b"def get_type(schema: dict):\n    if isinstance(schema, bool): return 'Any'\n",
    )
    patched = patched_text(half, RECIPE, "guide")
    assert patched.count(MARKER) == 1
    assert behaves(sample, patched, "guide")


def test_a_guard_after_the_first_test_counts_as_well(sample: bytes) -> None:
    head = b'    """Name a schema\'s type."""\n    if schema == {}:\n        return "Any"\n'
    assert head in sample
    by_hand = sample.replace(head, head + b"    if not isinstance(schema, dict):\n        return 'Any'\n")
    assert patched_text(by_hand, RECIPE, "guide").count(MARKER) == 1


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"def get_type(", b"def type_of(", "there is no function get_type$"),
        (
            b"class APIInfoParseError",
            b"def get_type(x):\n    return x\n\n\nclass APIInfoParseError",
            "get_type is defined 2 times$",
        ),
        (
            b"        def get_desc(v):\n",
            b"        def describe(v):\n",
            "no function get_desc in _json_schema_to_python_type",
        ),
        (b'schema.get("items", [])', b'schema["itemz"]', "assigns items from 'items' in 0 places instead of one"),
        (b"        items = schema.get", b'        items = "items"\n        items = schema.get', "in 2 places"),
        (b"def get_type(schema: dict):", b"def get_type(schema: dict:", "not valid Python"),
        (b"def json_schema_to_python_type(schema: Any)", b"def json_schema_to_python_type()", "takes no argument"),
        (b"class APIInfoParseError", b"class get_type:\n    pass\n\n\nclass APIInfoParseError", "defined 2 times"),
        (b"def get_type(schema: dict):", b"class get_type:\n  def other(schema):", "get_type is no function"),
        (b'    """Name a schema\'s type."""\n    if', b'    """Name."""; x = 1\n    if', "does not start its line"),
        (b'"items", [])\n', b'"items", []); x = 1\n', "another statement follows on the same line"),
        (b'        return "const"', b'        return "const" \x00', "not valid Python"),
        (b'"""Utilities."""', b'# -*- coding: no-such-thing -*-\n"""Utilities."""', "not valid Python"),
    ],
)
def test_what_is_not_as_expected_is_refused(sample: bytes, old: bytes, new: bytes, why: str) -> None:
    assert old in sample
    text = sample.replace(old, new)
    if b"coding" in new:
        text = new + sample
    with pytest.raises(PatchError, match=why):
        patched_text(text, RECIPE, "full")


@pytest.mark.parametrize(
    "head",
    [
        b"def get_type(schema): \\\n    return schema\n",
        b'def get_type(schema):\n    """only."""\n',
        b"def get_type(s): return s\n",
    ],
)
def test_a_body_that_has_no_place_is_refused(head: bytes) -> None:
    rest = b'def _json_schema_to_python_type(schema, defs):\n    return ""\n'
    with pytest.raises(PatchError, match=r"not valid Python|has no body|does not start its line"):
        patched_text(head + rest, RECIPE, "guide")


def test_another_patch_with_other_guards() -> None:
    patched = patched_text(TINY_TEXT.encode(), TINY, "all").decode()
    assert (
        "        '''Split at commas.'''\n"
        "        if text is None:  # acme-words-patch: nothing at all is no words\n"
        "            return []\n"
    ) in patched
    assert '    def join(self, words, sign=","):\n        if not words:  # acme-words-patch' in patched
    assert missing(patched.encode(), TINY, "all") == []
    before, after = ask_isolated(TINY, [TINY_TEXT.encode(), patched.encode()])
    assert (before.level(), after.level()) == (None, "all")
    assert after.changed(before) == []


def test_a_guard_without_a_call_counts_by_its_question() -> None:
    by_hand = TINY_TEXT.replace(
        "        return [word", "        if text == '' or text is None:\n            return []\n        return [word"
    )
    assert patched_text(by_hand.encode(), TINY, "all").decode().count("acme-words-patch") == 1


def test_a_decorated_first_statement_and_the_last_statement_of_a_file() -> None:
    source = b"def f(x):\n    @property\n    def g(self):\n        return 1\n    return g\n\ndef h(y):\n    z = y['k']"
    edits = [
        {"function": "f", "where": "start", "test": "{0} is None", "then": "return", "level": "all"},
        {
            "function": "h",
            "where": "after",
            "assigns": "z",
            "contains": "k",
            "test": "not z",
            "then": "z = 0",
            "level": "all",
        },
    ]
    recipe = parse(tiny(edits=edits), "p")
    mark = b"  # acme-words-patch: nothing at all is no words\n"
    assert patched_text(source, recipe, "all") == (
        b"def f(x):\n    if x is None:" + mark + b"        return\n    @property\n    def g(self):\n        return 1\n"
        b"    return g\n\ndef h(y):\n    z = y['k']\n    if not z:" + mark + b"        z = 0\n"
    )


class TestPristine:
    @pytest.mark.parametrize("level", ["guide", "full"])
    def test_the_text_before_comes_back(self, sample: bytes, level: str) -> None:
        for text in (sample, b"\xef\xbb\xbf" + sample.replace(b"\n", b"\r\n"), sample.replace(b"    ", b"\t")):
            assert pristine_text(patched_text(text, RECIPE, level), RECIPE) == text

    def test_what_is_not_certain_is_not_said(self, sample: bytes) -> None:
        patched = patched_text(sample, RECIPE, "full")
        assert pristine_text(sample, RECIPE) is None
        assert pristine_text(patched.replace(b'return "Any"', b'return "All"'), RECIPE) is None
        assert pristine_text(b"# cheesegrater-gradio-patch: x\n" + sample, RECIPE) is None


# Modules: a function that is guarded at its start and after an assignment, among other things.
ENCODINGS = {
    "utf-8": "é ✓ 漢",
    "latin-1": "é ÿ",
    "cp1252": "€ é",
    "shift_jis": "漢 ソ",
    "iso2022_jp": "漢 字",
    "koi8-r": "Ж",
}
BODIES = st.lists(
    st.sampled_from(
        [
            "y = 1",
            "# a comment",
            "if y:\n    y = 2\nelse:\n    y = 3",
            'text = """two\n  lines"""',
            "y = (1,\n     2)",
            "",
            "for z in (1, 2):\n    y = z",
            "def inner(q):\n    return q",
            "lines = 'a\\\nb'",
        ]
    ),
    max_size=5,
)


@st.composite
def modules(draw: st.DrawFn) -> bytes:
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
    word = ENCODINGS[encoding]
    indent = draw(st.sampled_from(["    ", "\t", "  ", "      "]))
    docstring = draw(st.sampled_from(["", f'"""Says {word}."""', f"'''Two {word}\n\n  lines.'''"]))
    decorator = draw(st.sampled_from(["", "@dec\n", "@dec(1,\n     2)\n"]))
    statement = draw(
        st.sampled_from(["items = x.get('items')", "items: list = x['items']  # why", "items = (\n  'items')"])
    )
    inside = [docstring, *draw(BODIES), "y = 0", *draw(BODIES), statement, *draw(BODIES)]
    body = "\n".join(inside)
    head = f"# -*- coding: {encoding} -*-\n" + f"# {word}\n" + "\n".join(draw(BODIES)) + "\n"
    text = (
        head
        + f"{decorator}def f(x, *, other={word!r}):\n"
        + textwrap.indent(body, indent)
        + "\n"
        + "\n".join(draw(BODIES))
    )
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))
    mark = b"\xef\xbb\xbf" if encoding == "utf-8" and draw(st.booleans()) else b""
    return mark + text.encode(encoding)


SPLICED = parse(
    tiny(
        edits=[
            {
                "function": "f",
                "where": "start",
                "test": "not isinstance({0}, dict)",
                "then": "return None",
                "level": "all",
            },
            {
                "function": "f",
                "where": "after",
                "assigns": "items",
                "contains": "items",
                "test": "items is None",
                "then": "items = []",
                "level": "all",
            },
        ]
    ),
    "p",
)


@settings(deadline=None, max_examples=300)
@given(modules())
def test_every_other_byte_stays(source: bytes) -> None:
    patched = patched_text(source, SPLICED, "all")
    old, new = source.splitlines(keepends=True), patched.splitlines(keepends=True)
    mark = b"  # acme-words-patch: nothing at all is no words"
    guards = [number for number, line in enumerate(new) if mark in line]
    assert len(guards) == 2
    rest = [line for number, line in enumerate(new) if number not in guards and number - 1 not in guards]
    # A line end is added where the file had none behind its last statement.
    assert b"".join(rest).rstrip(b"\r\n") == source.rstrip(b"\r\n")
    assert len(rest) == len(old)
    assert patched_text(patched, SPLICED, "all") == patched

    def without(tree: ast.Module) -> str:
        function, _ = function_of(tree, "f")
        function.body = [n for n in function.body if n.lineno - 1 not in guards]
        return ast.dump(tree)

    assert without(ast.parse(patched)) == ast.dump(ast.parse(source))
