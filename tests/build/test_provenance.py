"""Statements of provenance, held against the specifications by in-toto's own library as well as by ours."""

from __future__ import annotations

import copy
import functools
import json
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

# Neither has type information.
from google.protobuf import json_format  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2  # type: ignore[import-untyped]
from in_toto_attestation.v1 import statement_pb2  # type: ignore[import-untyped]
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor  # type: ignore[import-untyped]
from in_toto_attestation.v1.statement import Statement  # type: ignore[import-untyped]

from debtool.build.provenance import byproduct, read_statement, statement, to_bytes, validate, verify
from debtool.build.toolchain import toolchain
from debtool.deb.files import sha256_of
from debtool.model.errors import FindingsError, InputError
from debtool.model.stack import parse_stack

if TYPE_CHECKING:
    from collections.abc import Callable

WHEEL = "torch-2.7.1+rocm6.3.noavx-cp312-cp312-linux_x86_64.whl"
SHA = "7" * 64
DELETED = object()


@functools.cache
def tools() -> list[dict[str, Any]]:
    return toolchain(["gcc", "python3"], ["dpkg"], path="/usr/bin:/bin").dependencies


def made(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "build_type": "https://cheesegrater.invalid/debtool/torch-build/v1",
        "external": {"version": "2.7.1", "level": "free", "target": "noble-rocm6.3"},
        "internal": {"jobs": 24, "settings": {"USE_FBGEMM": "0"}},
        "dependencies": [
            {"uri": "git+https://github.com/pytorch/pytorch@v2.7.1", "digest": {"gitCommit": "e" * 40}},
            *tools(),
        ],
        "invocation": "0b9a4c06-6a2e-4d0b-8f49-f8f1d3a0ef2b",
        "started": 1795392000.25,
        "finished": 1795402000,
        "byproducts": [byproduct("journal.jsonl", b"{}\n"), byproduct("CMakeCache.txt", b"")],
        **changes,
    }
    return statement(fields.pop("subject", {WHEEL: SHA}), **fields)


def changed(path: str, value: object) -> dict[str, Any]:
    """Return a statement in which the field at ``path``, its parts separated by spaces, is another, or is missing."""
    result = copy.deepcopy(made())
    *way, last = (int(part) if part.isdigit() else part for part in path.split())
    here: Any = result
    for part in way:
        here = here[part]
    if value is DELETED:
        del here[last]
    else:
        here[last] = value
    return result


def accepted_by_in_toto(text: bytes) -> None:
    """Raise what in-toto's library raises of a statement that is not as its schemas say."""
    message = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    predicate = json_format.ParseDict(json.loads(text)["predicate"], provenance_pb2.Provenance())
    for one in [*predicate.build_definition.resolved_dependencies, *predicate.run_details.byproducts]:
        ResourceDescriptor.copy_from_pb(one).validate()


def test_in_totos_own_library_accepts_it() -> None:
    text = to_bytes(made())
    accepted_by_in_toto(text)
    predicate = json_format.ParseDict(json.loads(text)["predicate"], provenance_pb2.Provenance())
    assert predicate.run_details.builder.id == "https://cheesegrater.invalid/debtool"
    assert predicate.run_details.metadata.started_on.ToJsonString() == "2026-11-23T00:00:00Z"
    assert predicate.run_details.byproducts[0].media_type == "application/x-ndjson"
    assert predicate.build_definition.resolved_dependencies[0].digest["gitCommit"] == "e" * 40
    # What it refuses, ours refuses too.
    for path, value in (("predicate runDetails zzz", 1), ("subject", []), ("subject 0 digest", {}), ("_type", "x")):
        wrong = changed(path, value)
        with pytest.raises((json_format.ParseError, ValueError)):
            accepted_by_in_toto(json.dumps(wrong).encode())
        with pytest.raises(InputError):
            to_bytes(wrong)


def test_the_builder_is_below_the_stacks_home_page() -> None:
    file = Path(__file__).parents[2] / "repo/cheesegrater.toml"
    home = parse_stack(file.read_text(), file).homepage
    assert made()["predicate"]["runDetails"]["builder"]["id"].startswith(home)


def test_the_same_statement_gives_the_same_bytes() -> None:
    text = to_bytes(made(external={"a": 1, "b": types.MappingProxyType({"ü": [2]})}, subject={"b": SHA, "a": SHA}))
    assert text == to_bytes(made(subject={"a": SHA, "b": SHA}, external={"b": {"ü": (2,)}, "a": 1}))
    assert text.endswith(b"}\n")
    assert "ü".encode() in text
    assert [one["name"] for one in json.loads(text)["subject"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("_type", "https://in-toto.io/Statement/v0.1", r"_type: Input should be 'https://in-toto\.io/Statement/v1'"),
        ("predicateType", "https://slsa.dev/provenance/v0.2", r"predicateType: Input should be"),
        ("subject", [], r"subject: List should have at least 1 item"),
        ("subject 0 digest", DELETED, r"subject\[0\]\.digest: Field required"),
        ("subject 0 digest", {}, r"subject\[0\]\.digest: .* should have at least 1 item"),
        ("subject 0 digest sha256", "7" * 63, r"subject\[0\]\.digest: sha256 is '7+', not 64 lower-case hex digits"),
        ("subject 0 digest sha256", "A" * 64, r"subject\[0\]\.digest: sha256 is 'A+', not 64 lower-case hex digits"),
        ("subject 0 digest sha256", 7, r"subject\[0\]\.digest\.sha256: Input should be a valid string"),
        ("predicate", DELETED, r"predicate: Field required"),
        ("predicate buildDefinition", DELETED, r"predicate\.buildDefinition: Field required"),
        ("predicate buildDefinition buildType", DELETED, r"buildDefinition\.buildType: Field required"),
        ("predicate buildDefinition buildType", "torch", r"buildType: 'torch' is no case-normalised URI"),
        ("predicate buildDefinition externalParameters", {}, r"externalParameters: Dictionary should have at least 1"),
        ("predicate buildDefinition externalParameters jobs", 2, r"both external and internal parameters: jobs"),
        ("predicate buildDefinition resolvedDependencies 0", {"name": "a"}, r"\[0\]: has neither uri nor digest nor"),
        ("predicate buildDefinition resolvedDependencies 0 version", "2", r"\[0\]: unknown fields: version"),
        ("predicate buildDefinition resolvedDependencies 0 digest gitCommit", "ee", r"gitCommit is 'ee', not 40 or 64"),
        ("predicate buildDefinition resolvedDependencies 0 digest other", "", r"other is '', not some lower-case hex"),
        ("predicate buildDefinition resolvedDependencies 0 content", "%", r"\[0\]\.content: is no base64"),
        ("predicate runDetails builder", DELETED, r"predicate\.runDetails\.builder: Field required"),
        ("predicate runDetails builder id", DELETED, r"runDetails\.builder\.id: Field required"),
        ("predicate runDetails builder version", {"debtool": 1}, r"builder\.version\.debtool: Input should be a valid"),
        ("predicate runDetails metadata startedOn", 1795392000, r"metadata\.startedOn: Input should be a valid string"),
        ("predicate runDetails metadata startedOn", "2026-02-30T00:00:00Z", r"startedOn: '2026-02-30.*' is no time"),
        ("predicate runDetails metadata finishedOn", "2026-02-03T00:00:00+00:00", r"finishedOn: .* is no time in UTC"),
        ("predicate runDetails byproducts 0 mediaType", "text", r"byproducts\[0\]\.mediaType: String should match"),
    ],
)
def test_what_the_specifications_forbid_is_not_written(path: str, value: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        to_bytes(changed(path, value))
    for issue in caught.value.issues:
        assert issue.field
        assert issue.rule in {"https://slsa.dev/provenance/v1", "https://in-toto.io/Statement/v1"}


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        validate({"_type": "x", "subject": [{}], "predicateType": "https://slsa.dev/provenance/v1", "predicate": {}})
    fields = [issue.field for issue in caught.value.issues]
    assert fields == ["_type", "subject[0].digest", "predicate.buildDefinition", "predicate.runDetails"]
    with pytest.raises(InputError, match="Input should be a valid dictionary"):
        validate([])


@pytest.mark.parametrize("value", ["\udc80", float("nan"), float("inf")])
def test_what_json_cannot_say_is_told(value: object) -> None:
    with pytest.raises(InputError, match=r"\(RFC 8259\); fix: correct what is recorded of the build"):
        to_bytes(changed("predicate buildDefinition externalParameters odd", value))


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("pkg:deb/debian/g%2B%2B-12@1:12.2~b?arch=amd64", True),
        ("git+https://example.org/a.git@refs/heads/main#sub/dir", True),
        ("file:///a/b", True),
        ("https://[2001:db8::1]:8/a?b/c=?#d?", True),
        ("urn:uuid:0b9a4c06", True),
        ("HTTPS://example.org", False),
        ("https://Example.org/a", False),
        ("https://example.org/a b", False),
        ("https://example.org/%2b", False),
        ("https://example.org/%", False),
        ("https://example.org/ü", False),
        ("https://example.org/a\n", False),
        ("https:", False),
        ("/a/b", False),
        ("", False),
    ],
)
def test_uris_are_those_of_rfc_3986_in_normal_case(uri: str, good: bool) -> None:  # noqa: FBT001 -- a table's column
    wrong = changed("predicate buildDefinition buildType", uri)
    if good:
        validate(wrong)
    else:
        with pytest.raises(InputError, match=r"buildType: .* is no case-normalised URI \(RFC 3986, 6\.2\.2\.1\)"):
            validate(wrong)


@settings(deadline=None)
@given(st.text())
def test_what_is_quoted_is_part_of_a_uri(text: str) -> None:
    validate(changed("predicate buildDefinition buildType", f"https://example.org/{quote(text, errors='replace')}"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        path = tmp_path / "provenance.intoto.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def test_a_statement_is_held_against_a_wheel(tmp_path: Path, written: Callable[[object], Path]) -> None:
    wheel = tmp_path / WHEEL
    wheel.write_bytes(b"a wheel")
    path = written(to_bytes(made(subject={WHEEL: sha256_of(wheel)})))
    verify(path, wheel)
    # The subject is matched by its hash alone.
    verify(path, wheel.rename(tmp_path / "another.whl"))
    wheel.write_bytes(b"another wheel")
    with pytest.raises(FindingsError, match=r"is not the statement of this wheel: torch-.* has the SHA-256") as caught:
        verify(path, wheel)
    assert caught.value.exit_code == 1
    assert [issue.field for issue in caught.value.issues] == ["subject"]
    wheel.unlink()
    with pytest.raises(InputError, match=rf"{tmp_path}/torch-.*: cannot be read: No such file"):
        verify(path, wheel)


def test_a_statement_of_others_is_read_with_fields_that_are_not_known(written: Callable[[object], Path]) -> None:
    # As GitHub's build type writes it, with an extension, a field of a later version, nulls and another algorithm.
    theirs = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a.tar.gz", "digest": {"sha256": SHA, "k12": "x!", "sha512": "0" * 128}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {"workflow": {"ref": "refs/heads/main", "path": ".github/workflows/build.yml"}},
                "internalParameters": {"github": {"event_name": "push", "runner_environment": None}, "workflow": ""},
                "resolvedDependencies": None,
                "later": {"a": 1},
            },
            "runDetails": {
                "builder": {"id": "https://github.com/actions/runner/github-hosted", "example_signed": True},
                "metadata": {"invocationId": "1/attempts/1", "startedOn": "2026-02-03T04:05:06.789Z"},
            },
        },
    }
    assert read_statement(written(theirs)) == theirs
    with pytest.raises(InputError, match=r"predicate\.buildDefinition: unknown fields: later"):
        validate(theirs)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null", b"7"])
def test_what_is_no_statement_is_told(written: Callable[[object], Path], content: bytes) -> None:
    path = written(content)
    with pytest.raises(InputError, match=rf"{path}: .*; fix: take the statement that was written with the wheel"):
        read_statement(path)
    path.unlink()
    with pytest.raises(InputError, match=rf"{path}: cannot be read: No such file"):
        read_statement(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("https://in-toto.io/Statement/v1"),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["sha256", "uri", "digest"]) | st.text(), inner),
)
PATHS = [
    "_type",
    "subject",
    "subject 0",
    "subject 0 digest",
    "predicate",
    "predicate buildDefinition",
    "predicate buildDefinition resolvedDependencies",
    "predicate buildDefinition resolvedDependencies 0",
    "predicate runDetails",
    "predicate runDetails builder",
    "predicate runDetails metadata",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PATHS), JSON)
def test_whatever_stands_there_is_a_statement_or_told(
    written: Callable[[object], Path], tmp_path: Path, path: str, value: object
) -> None:
    file = written(changed(path, value))
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"a wheel")
    with pytest.raises((InputError, FindingsError)) as caught:
        verify(file, wheel)
    assert all(issue.file == file for issue in caught.value.issues)
