"""A module with gradio_client's functions in shape and defect, written for these tests."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE = '''\
"""Utilities."""

from __future__ import annotations

from typing import Any

import a_module_that_is_not_installed

__version__ = a_module_that_is_not_installed.version("gradio_client")


class APIInfoParseError(ValueError):
    pass


def get_type(schema: dict):
    if "const" in schema:
        return "const"
    if "enum" in schema:
        return "enum"
    elif "type" in schema:
        return schema["type"]
    for name in ("$ref", "oneOf", "anyOf", "allOf"):
        if schema.get(name):
            return name
    return {}


FILE_DATA = "Dict(path: str, url: str)"


def json_schema_to_python_type(schema: Any) -> str:
    type_ = _json_schema_to_python_type(schema, schema.get("$defs"))
    return type_.replace(FILE_DATA, "filepath")


def _json_schema_to_python_type(schema: Any, defs) -> str:
    """Name a schema's type."""
    if schema == {}:
        return "Any"
    type_ = get_type(schema)
    if type_ == {}:
        return "Dict[Any, Any]" if "json" in schema.get("description", {}) else "Any"
    elif type_ == "$ref":
        return _json_schema_to_python_type(defs[schema["$ref"].split("/")[-1]], defs)
    elif type_ == "const":
        return f"Literal[{schema['const']}]"
    elif type_ == "enum":
        return "Literal[" + ", ".join(repr(value) for value in schema["enum"]) + "]"
    elif type_ == "array":
        items = schema.get("items", [])
        if "prefixItems" in items:
            return "Tuple[" + ", ".join(_json_schema_to_python_type(i, defs) for i in items["prefixItems"]) + "]"
        elif "prefixItems" in schema:
            return "Tuple[" + ", ".join(_json_schema_to_python_type(i, defs) for i in schema["prefixItems"]) + "]"
        return f"List[{_json_schema_to_python_type(items, defs)}]"
    elif type_ == "object":

        def get_desc(v):
            return f" ({v.get('description')})" if v.get("description") else ""

        parts = [
            f"{name}: {_json_schema_to_python_type(value, defs)}{get_desc(value)}"
            for name, value in schema.get("properties", {}).items()
        ]
        if "additionalProperties" in schema:
            parts += [f"str, {_json_schema_to_python_type(schema['additionalProperties'], defs)}"]
        return f"Dict({', '.join(parts)})"
    elif type_ in ["oneOf", "anyOf"]:
        return " | ".join(_json_schema_to_python_type(i, defs) for i in schema[type_])
    elif type_ == "allOf":
        return "All[" + ", ".join(_json_schema_to_python_type(i, defs) for i in schema[type_]) + "]"
    plain = {"null": "None", "integer": "int", "string": "str", "boolean": "bool", "number": "float"}
    if isinstance(type_, str) and type_ in plain:
        return plain[type_]
    raise APIInfoParseError(f"Cannot parse schema {schema}")
'''


@pytest.fixture(scope="session")
def sample() -> bytes:
    """The text of a utils.py that fails on boolean schemas."""
    return SAMPLE.encode()


@pytest.fixture(scope="session")
def importable(sample: bytes) -> bytes:
    """The same text without the import that fails."""
    text = sample.replace(b"import a_module_that_is_not_installed\n", b"")
    return text.replace(b'a_module_that_is_not_installed.version("gradio_client")', b'"1.2.0"')


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own ones are closed whenever another pytest starts."""
    with tempfile.TemporaryDirectory(prefix="debtool-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
