"""Definition files (TOML) as strict models: every problem at once, with its line, key and fix."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from debtool.model.errors import InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Strict(BaseModel):
    """A table of a definition file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ModelT = TypeVar("ModelT", bound=Strict)


def parse_definition(
    text: str, file: Path, model: type[ModelT], page: str, base: Mapping[str, Any] | None = None
) -> ModelT:
    """Return the definition in ``text``; ``file`` and ``page`` (of the documentation) are named in errors.

    ``base`` has the values of what the text does not say; tables are merged.

    Raises:
        InputError: The text is not TOML, or breaks a rule of ``model``; one issue for each problem.
    """
    data = merged(base or {}, read_toml(text, file))
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = text.splitlines()
        # A value that fits none of several types is one problem, however many types there are.
        found: dict[str | None, Issue] = {}
        for detail in error.errors():
            issue = _issue(detail, lines, data, file, model, page)
            found.setdefault(issue.field, issue)
        raise InputError(*found.values()) from None


def read_toml(text: str, file: Path) -> dict[str, Any]:
    """Return the data of ``text``, read from ``file``; raises ``InputError`` with the line if it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"at line (\d+)", str(error))
        issue = Issue(
            f"not valid TOML: {error}", file=file, line=int(match[1]) if match else None, fix="correct the syntax"
        )
        raise InputError(issue) from None


def toml_string(text: str) -> str:
    r"""Return ``text`` as a string of a definition file: a JSON string is a TOML basic string (TOML 1.0, "String").

    >>> print(toml_string('a "b"'))
    "a \"b\""
    """
    # Of the control characters JSON has one in plain text that TOML has not.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over`` in their place; tables are merged, whatever else is replaced.

    >>> merged({"a": 1, "t": {"x": 1}}, {"t": {"y": 2}})
    {'a': 1, 't': {'x': 1, 'y': 2}}
    """
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _issue(
    detail: Any, lines: Sequence[str], data: dict[str, Any], file: Path, model: type[Strict], page: str
) -> Issue:
    location = _keys_of(detail["loc"], data, missing=detail["type"] == "missing")
    field = spell_field(location)
    line = find_line(lines, location)
    message = str(detail["msg"]).removeprefix("Value error, ")
    match detail["type"]:
        case "extra_forbidden":
            known = _known_keys(model, location[:-1], data)
            close = difflib.get_close_matches(str(location[-1]), known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"remove it; known here: {', '.join(sorted(known))}"
            return Issue("unknown key", file=file, line=line, field=field, rule=page, fix=fix)
        case "union_tag_not_found":
            key = str(detail["ctx"]["discriminator"]).strip("'")
            where = (*location, key)
            return Issue("missing key", file=file, line=line, field=spell_field(where), rule=page, fix=f"add {key} = …")
        case "missing":
            parent = find_line(lines, location[:-1])
            return Issue("missing key", file=file, line=parent, field=field, rule=page, fix=f"add {location[-1]} = …")
        case "union_tag_invalid":
            expected = detail["ctx"]["expected_tags"]
            key = str(detail["ctx"]["discriminator"]).strip("'")
            where = (*location, key)
            return Issue(
                f"{detail['ctx']['tag']!r} is not known here",
                file=file,
                line=find_line(lines, where),
                field=spell_field(where),
                rule=page,
                fix=f"one of {expected}",
            )
    return Issue(message, file=file, line=line, field=field, rule=page, fix="correct the value")


def _keys_of(location: Sequence[str | int], data: Any, *, missing: bool) -> tuple[str | int, ...]:
    """Return the keys of the file in pydantic's ``location``, which has the tags of unions between them.

    With ``missing``, the last one is a key that the file lacks.
    """
    keys: list[str | int] = []
    here = data
    for index, part in enumerate(location):
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            if not (missing and index == len(location) - 1):
                continue
        keys.append(part)
    return tuple(keys)


def _known_keys(model: type[Strict], location: Sequence[str | int], data: Any) -> list[str]:
    """Return the keys that the table at ``location`` may have."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    here: dict[str, Any] = schema
    for part in location:
        here = _resolve(here, definitions, data)
        data = data[part]
        if isinstance(part, int):
            here = here.get("items", {})
        else:
            here = here.get("properties", {}).get(part, here.get("additionalProperties", {}))
    here = _resolve(here, definitions, data)
    return list(here.get("properties", {}))


def _resolve(schema: dict[str, Any], definitions: dict[str, Any], data: Any) -> dict[str, Any]:
    while True:
        if "$ref" in schema:
            schema = definitions[schema["$ref"].rpartition("/")[2]]
        elif "discriminator" in schema and isinstance(data, dict):
            tag = data.get(schema["discriminator"]["propertyName"])
            reference = schema["discriminator"]["mapping"].get(tag)
            if reference is None:
                return {}
            schema = {"$ref": reference}
        elif "anyOf" in schema:
            options = [_resolve(option, definitions, data) for option in schema["anyOf"]]
            merged: dict[str, Any] = {"properties": {}}
            for option in options:
                merged["properties"] |= option.get("properties", {})
                if "items" in option:
                    merged["items"] = option["items"]
            return merged
        else:
            return schema


def spell_field(location: Sequence[str | int]) -> str:
    """Return a dotted key; tables of an array are counted from 1.

    >>> spell_field(("package", 0, "recipe"))
    'package[1].recipe'
    """
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            quoted = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text


_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def find_line(lines: Sequence[str], location: Sequence[str | int]) -> int:
    """Return the 1-based line of the key at ``location``, or of the nearest table around it; 1 for the file itself.

    tomllib keeps no positions; this reads table headers and keys only, which is enough to point at a line.
    """
    found: dict[tuple[str | int, ...], int] = {(): 1}
    counts: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    for number, line in enumerate(lines, 1):
        if header := _HEADER.match(line):
            table = ()
            parts = [part.strip("\"'") for part in _PART.findall(header[2])]
            for index, part in enumerate(parts):
                table = (*table, part)
                last = index == len(parts) - 1
                if last and header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                if table in counts:
                    table = (*table, counts[table])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *(part.strip("\"'") for part in _PART.findall(key[1])))
            found.setdefault(path, number)
    known = (tuple(location[:length]) for length in range(len(location), -1, -1))
    return next(found[keys] for keys in known if keys in found)
