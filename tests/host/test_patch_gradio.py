"""Gradio's patch on the real releases of gradio_client."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

from debtool.host.patcher.behaviour import ask_isolated
from debtool.host.patcher.recipe import parse
from debtool.host.patcher.text import patched_text, pristine_text
from debtool.wheel.fetch import FileCache
from debtool.wheel.offers import fetch_wheel
from tests.support.patches import Machine, gradio

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = parse(gradio(), "patch.json")
TOP = "json_schema_to_python_type"
RECURSIVE = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}}

# What 1.2.0 answers, measured: schema, unpatched, with the guide's guards, with all guards. An exception by its name.
TABLE: list[tuple[Any, ...]] = [
    ({"type": "object", "additionalProperties": True}, "TypeError", "Dict(str, Any)", "Dict(str, Any)"),
    ({"type": "object", "additionalProperties": False}, "TypeError", "Dict(str, Any)", "Dict(str, Any)"),
    ({"anyOf": [True, {"type": "null"}]}, "TypeError", "Any | None", "Any | None"),
    ({"type": "object", "properties": {"x": True}}, "TypeError", "AttributeError", "Dict(x: Any)"),
    ({"type": "array", "items": True}, "TypeError", "TypeError", "List[Any]"),
    ({"type": "array"}, "AttributeError", "List[Any]", "List[Any]"),
    (True, "AttributeError", "AttributeError", "Any"),
    (False, "AttributeError", "AttributeError", "Any"),
    (None, "AttributeError", "AttributeError", "Any"),
    ({"type": ["string", "null"]}, *["APIInfoParseError"] * 3),
    ({"$ref": "#/$defs/N", "$defs": {"N": RECURSIVE}}, *["RecursionError"] * 3),
]  # fmt: skip


def text_of(cache: Path, version: str) -> bytes:
    """Return utils.py of a release."""
    with zipfile.ZipFile(fetch_wheel("gradio-client", Version(version), FileCache.below(cache))) as wheel:
        return wheel.read("gradio_client/utils.py")


@pytest.mark.root
@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("0.6.1", "unaffected"),
        ("0.7.0", "patched"),
        ("0.10.0", "patched"),
        ("0.15.1", "patched"),
        ("1.2.0", "patched"),
        ("1.3.0", "patched"),
        ("1.7.2", "patched"),
        ("1.8.0", "unaffected"),
        ("2.7.2", "unaffected"),
    ],
)
def test_real_releases(tmp_path: Path, cache: Path, version: str, state: str) -> None:
    text = text_of(cache, version)
    machine = Machine(tmp_path, text, version=version)
    status, copy = machine.one("apply", machine.path)
    assert (status, copy["state"]) == (0, state)
    assert (machine.file.read_bytes() != text) is (state == "patched")
    if state == "patched":
        assert pristine_text(machine.file.read_bytes(), RECIPE) == text
        assert machine.one("restore")[1]["state"] == "restored"
        assert machine.file.read_bytes() == text


@pytest.mark.root
def test_the_table_of_schemas(cache: Path) -> None:
    text = text_of(cache, "1.2.0")
    checks = [
        {"name": json.dumps(schema), "call": TOP, "arguments": [schema], "gives": ["-"], "level": "guide"}
        for schema, *_ in TABLE
    ]
    recipe = parse(gradio(checks=checks, keeps=[]), "table")
    texts = [text, patched_text(text, recipe, "guide"), patched_text(text, recipe, "full")]
    columns = [[answer.text for answer in seen.checks] for seen in ask_isolated(recipe, texts)]
    assert list(zip(*columns, strict=True)) == [tuple(answers) for _, *answers in TABLE]
