"""The fields of an in-toto Statement with SLSA's provenance, and their rules.

Sources: https://in-toto.io/Statement/v1 with its field types (ResourceDescriptor, DigestSet, ResourceURI, Timestamp);
https://slsa.dev/spec/v1.0/provenance, of which that is required which it calls "REQUIRED for SLSA Build L1". What is
unset, null or empty counts the same, and unknown fields are passed over (the specifications' parsing rules).
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"

OURS = "ours"
"""Set in the context of a validation: the statement is one that is about to be written."""

_CHARACTER = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})"
# RFC 3986, case-normalised as its section 6.2.2.1 says: scheme and authority in lower case, percent-encodings in upper.
_URI = re.compile(
    rf"[a-z][a-z0-9+.-]*:(?=.)"
    rf"(?://(?:[a-z0-9._~!$&'()*+,;=:@\[\]-]|%[0-9A-F]{{2}})*(?=[/?#]|\Z)|(?!//))"
    rf"(?:{_CHARACTER}|/)*(?:\?(?:{_CHARACTER}|[/?])*)?(?:#(?:{_CHARACTER}|[/?])*)?"
)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z")
_HEX = re.compile(r"[0-9a-f]+")
_GIT = frozenset({40, 64})
_HEX_DIGITS: dict[str, frozenset[int]] = {
    **dict.fromkeys(("gitCommit", "gitTree", "gitBlob", "gitTag"), _GIT),
    **dict.fromkeys(("sha256", "sha512_256", "sha3_256", "blake2s", "sm3", "gost", "dirHash"), frozenset({64})),
    **dict.fromkeys(("sha224", "sha512_224", "sha3_224"), frozenset({56})),
    **dict.fromkeys(("sha384", "sha3_384"), frozenset({96})),
    **dict.fromkeys(("sha512", "sha3_512", "blake2b"), frozenset({128})),
    **dict.fromkeys(("sha1", "ripemd160"), frozenset({40})),
    "md5": frozenset({32}),
}
"""How many hex digits each algorithm of the DigestSet specification gives; how others are written is not known here."""


def _uri(text: str) -> str:
    if not _URI.fullmatch(text):
        raise ValueError(f"{text!r} is no case-normalised URI (RFC 3986, 6.2.2.1)")
    return text


def _time(text: str) -> str:
    try:
        if _TIME.fullmatch(text):
            dt.datetime.fromisoformat(text[:19])
            return text
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no time in UTC as RFC 3339 writes it: 2026-11-23T00:00:00Z")


def _digests(digests: dict[str, str]) -> dict[str, str]:
    for algorithm, value in digests.items():
        lengths = _HEX_DIGITS.get(algorithm)
        if not value or (lengths and not (_HEX.fullmatch(value) and len(value) in lengths)):
            wanted = " or ".join(map(str, sorted(lengths))) if lengths else "some"
            raise ValueError(f"{algorithm} is {value!r}, not {wanted} lower-case hex digits")
    return digests


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("is no base64") from None
    return text


Uri = Annotated[str, AfterValidator(_uri)]
Timestamp = Annotated[str, AfterValidator(_time)]
DigestSet = Annotated[dict[str, str], AfterValidator(_digests)]
Base64 = Annotated[str, AfterValidator(_base64)]
# RFC 6838, 4.2, and parameters.
MediaType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*(\s*;.*)?$")]


class _Object(BaseModel):
    """A JSON object of the specifications: camelCase, further fields allowed to others."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, alias_generator=to_camel)

    @model_validator(mode="after")
    def _without_unknown(self, info: ValidationInfo) -> _Object:
        unknown = [name for name in self.model_extra or () if "_" not in name]
        if unknown and (info.context or {}).get(OURS):
            raise ValueError(f"unknown fields: {', '.join(unknown)}")
        return self


class Resource(_Object):
    """ResourceDescriptor: something that was needed or made, and how it is known."""

    name: str | None = None
    uri: Uri | None = None
    digest: DigestSet | None = None
    content: Base64 | None = None
    download_location: Uri | None = None
    media_type: MediaType | None = None
    annotations: dict[str, JsonValue] | None = None

    @model_validator(mode="after")
    def _known_by_something(self) -> Resource:
        if not (self.uri or self.digest or self.content):
            raise ValueError("has neither uri nor digest nor content")
        return self


class Subject(Resource):
    """What the statement is of."""

    digest: Annotated[DigestSet, Field(min_length=1)]


class BuildDefinition(_Object):
    """What went into the build."""

    build_type: Uri
    external_parameters: Annotated[dict[str, JsonValue], Field(min_length=1)]
    internal_parameters: dict[str, JsonValue] | None = None
    resolved_dependencies: list[Resource] | None = None

    @model_validator(mode="after")
    def _set_by_one(self, info: ValidationInfo) -> BuildDefinition:
        both = sorted(self.external_parameters.keys() & (self.internal_parameters or {}).keys())
        if both and (info.context or {}).get(OURS):
            raise ValueError(f"both external and internal parameters: {', '.join(both)}")
        return self


class Builder(_Object):
    """Who built."""

    id: Uri
    builder_dependencies: list[Resource] | None = None
    version: dict[str, str] | None = None


class Metadata(_Object):
    """This run of the build."""

    invocation_id: str | None = None
    started_on: Timestamp | None = None
    finished_on: Timestamp | None = None


class RunDetails(_Object):
    """How it went."""

    builder: Builder
    metadata: Metadata | None = None
    byproducts: list[Resource] | None = None


class Provenance(_Object):
    """SLSA's predicate."""

    build_definition: BuildDefinition
    run_details: RunDetails


class Statement(_Object):
    """in-toto's Statement with that predicate."""

    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[Subject], Field(min_length=1)]
    predicate_type: Literal["https://slsa.dev/provenance/v1"]
    predicate: Provenance
