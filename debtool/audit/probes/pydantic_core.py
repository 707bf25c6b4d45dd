"""pydantic-core: validating and serialising."""

from __future__ import annotations

from typing import Any

from pydantic_core import SchemaSerializer, SchemaValidator, core_schema, from_json, to_json

_SCHEMA = core_schema.typed_dict_schema(
    {
        "n": core_schema.typed_dict_field(core_schema.int_schema(ge=2)),
        "x": core_schema.typed_dict_field(core_schema.list_schema(core_schema.float_schema())),
        "s": core_schema.typed_dict_field(core_schema.str_schema(pattern=r"^\w+$")),
    }
)


def validating() -> Any:
    """A dictionary from JSON and back."""
    validator, serialiser = SchemaValidator(_SCHEMA), SchemaSerializer(_SCHEMA)
    value = validator.validate_json(b'{"n": "7", "x": [1, 2.5, 1e10], "s": "' + b"abc" * 50 + b'"}')
    return [value, serialiser.to_json(value), from_json(to_json({"a": ["é" * 100, 1.5]}))]
