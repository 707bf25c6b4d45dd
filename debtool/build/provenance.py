"""Where a wheel comes from: an in-toto Statement with SLSA's provenance, made, checked, and held against a wheel.

The fields are those of https://slsa.dev/spec/v1.0/provenance in https://in-toto.io/Statement/v1.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from debtool import __version__
from debtool.build.statement_model import OURS, PREDICATE_TYPE, STATEMENT_TYPE, Statement
from debtool.deb.files import sha256_of
from debtool.model.errors import FindingsError, InputError, Issue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUILDER_ID = "https://cheesegrater.invalid/debtool"
"""Who builds (``runDetails.builder.id``): debtool, on the machine of whoever calls it."""

BUILDER_VERSION: Mapping[str, str] = {"debtool": __version__}

_MEDIA_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".log": "text/plain",
    ".txt": "text/plain",
}
_CORRECT = "correct what is recorded of the build"
_FIX = "take the statement that was written with the wheel, or build the wheel anew"


def byproduct(name: str, content: Path | bytes) -> dict[str, Any]:
    """Return in-toto's ResourceDescriptor for a file that a build leaves beside its wheel: a log, a journal, a verdict.

    >>> byproduct("build.log", b"")["mediaType"]
    'text/plain'
    """
    digest = sha256_of(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
    media_type = _MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
    return {"name": name, "digest": {"sha256": digest}, "mediaType": media_type}


def statement(
    subject: Mapping[str, str],
    *,
    build_type: str,
    external: Mapping[str, Any],
    internal: Mapping[str, Any],
    dependencies: Sequence[Mapping[str, Any]],
    builder_id: str = BUILDER_ID,
    builder_version: Mapping[str, str] = BUILDER_VERSION,
    invocation: str,
    started: float,
    finished: float,
    byproducts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the statement of a build, as JSON's types; `to_bytes` checks it.

    Args:
        subject: The SHA-256 of each file that came out, by its name.
        build_type: The URI of how it was built, which says what the parameters mean.
        external: The parameters that whoever asked for the build has set.
        internal: Those that debtool has set.
        dependencies: What was needed, as ResourceDescriptors (in-toto Attestation v1): the source, the toolchain.
        builder_id: The URI of who builds.
        builder_version: The builder's parts and their versions.
        invocation: What this run is called, nowhere else used.
        started: When it began, in seconds since 1970-01-01 UTC.
        finished: When it ended.
        byproducts: What else it left, as ResourceDescriptors: see `byproduct`.
    """
    definition = {
        "buildType": build_type,
        "externalParameters": external,
        "internalParameters": internal,
        "resolvedDependencies": dependencies,
    }
    details = {
        "builder": {"id": builder_id, "version": builder_version},
        "metadata": {"invocationId": invocation, "startedOn": _moment(started), "finishedOn": _moment(finished)},
        "byproducts": byproducts,
    }
    made: dict[str, Any] = json.loads(
        json.dumps(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": name, "digest": {"sha256": subject[name]}} for name in sorted(subject)],
                "predicateType": PREDICATE_TYPE,
                "predicate": {"buildDefinition": definition, "runDetails": details},
            },
            default=_plain,
        )
    )
    return made


def to_bytes(made: Mapping[str, Any]) -> bytes:
    """Return the text of a statement: the same bytes for the same statement.

    Raises:
        InputError: It is not as the specifications say (see `validate`), or JSON cannot say it.
    """
    validate(made)
    try:
        return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except ValueError as error:  # half a UTF-16 pair, which stands for bytes that are no text; infinity
        raise InputError(Issue(str(error), rule="RFC 8259", fix=_CORRECT)) from None


def validate(made: object) -> None:
    """Hold a statement that is about to be written against the specifications.

    What a reader must pass over, a writer must not write: fields that the specifications do not know, unless they are
    called like an extension, ``<vendor>_<field>``; and one parameter in both kinds.

    Raises:
        InputError: It breaks a rule; one issue for each.
    """
    _check(made, None, _CORRECT, {OURS: True})


def read_statement(path: Path) -> dict[str, Any]:
    """Return the statement in a file; fields that the specifications do not know are passed over.

    Raises:
        InputError: It cannot be read, or is no statement of SLSA's provenance.
    """
    try:
        made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(Issue(f"cannot be read: {error.strerror}", file=path, fix=_FIX)) from None
    except (ValueError, RecursionError) as error:
        raise InputError(Issue(f"is no JSON: {error}", file=path, fix=_FIX)) from None
    _check(made, path, _FIX, {})
    return made


def verify(path: Path, wheel: Path) -> None:
    """Hold the statement in ``path`` against a wheel: the subject is matched by its hash, whatever the file is called.

    Raises:
        FindingsError: The statement is of something else.
        InputError: One of the two cannot be read, or the statement is none.
    """
    subjects = read_statement(path)["subject"]
    try:
        found = sha256_of(wheel)
    except OSError as error:
        fix = "give the wheel that the statement was written with"
        raise InputError(Issue(f"cannot be read: {error.strerror}", file=wheel, fix=fix)) from None
    if any(one["digest"].get("sha256") == found for one in subjects):
        return
    named = ", ".join(
        f"{one.get('name') or 'a file'} ({one['digest'].get('sha256', 'no SHA-256')})" for one in subjects
    )
    problem = f"is not the statement of this wheel: {wheel.name} has the SHA-256 {found}, the statement is of {named}"
    raise FindingsError(Issue(problem, file=path, field="subject", fix="take the wheel and the statement of one build"))


def _check(made: object, file: Path | None, fix: str, context: Mapping[str, bool]) -> None:
    try:
        Statement.model_validate(made, context=context)
    except ValidationError as error:
        raise InputError(
            *(
                Issue(
                    str(detail["msg"]).removeprefix("Value error, "),
                    file=file,
                    field=_spell(detail["loc"]),
                    rule=PREDICATE_TYPE if detail["loc"][:1] == ("predicate",) else STATEMENT_TYPE,
                    fix=fix,
                )
                for detail in error.errors()
            )
        ) from None


def _spell(location: Sequence[str | int]) -> str | None:
    """Return a field as a path.

    >>> _spell(("predicate", "runDetails", "byproducts", 0, "digest"))
    'predicate.runDetails.byproducts[0].digest'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".") or None


def _moment(seconds: float) -> str:
    """Return a time as RFC 3339 says it.

    >>> _moment(1795392000.9)
    '2026-11-23T00:00:00Z'
    """
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC).isoformat().replace("+00:00", "Z")


def _plain(value: object) -> object:
    """Return a mapping that is no dict as JSON's writer takes it."""
    return dict(value)  # type: ignore[call-overload]  # what is no mapping raises the TypeError that JSON's writer would
