"""The files that people write: what they do wrong is told with file, line, key and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from debtool.model.archive import parse_archive
from debtool.model.errors import InputError, Issue
from debtool.model.stack import parse_stack

FILE = Path("acme/stack.toml")
STACK = """\
schema = 1
name = "acme"
title = "Acme"
prefix = "acme"
install_prefix = "/usr/lib/acme"
maintainer = "Ada <ada@example.org>"
homepage = "https://example.org/"
version = "1.0"
date = 2026-11-23
targets = ["bookworm"]

[requirements]
direct = ["click>=8.1"]

[[artefact]]
name = "torch"
version = "2.13.0+cpu"
kind = "external"
targets = ["bookworm"]

[wheel.numpy]
depends = ["libc6"]
reason = "an example"

[wheel."ruamel.yaml"]
reason = "a quoted key"

[[package]]
recipe = "runtime"
name = "runtime"
summary = "the runtime"
description = "The runtime."

[[package]]
recipe = "tree"
name = "app"
version = "1.0"
source = { path = "app" }
destination = "/usr/share/acme/app"
license = "MIT"
needs = ["runtime"]
summary = "the application"
description = "The application."

[[package.parts]]
at = "one"
source = { path = "one" }

[[package.parts]]
at = "two"
source.path = "two"

[package.service]
script = "main.py"
port = 8080
user = "acme"
"""


def issues(text: str) -> tuple[Issue, ...]:
    with pytest.raises(InputError) as caught:
        parse_stack(text, FILE)
    assert caught.value.exit_code == 2
    return caught.value.issues


def changed(good: str, bad: str) -> str:
    assert STACK.count(good) == 1, good
    return STACK.replace(good, bad)


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_the_sample_is_right() -> None:
    stack = parse_stack(STACK, FILE)
    assert [package.name for package in stack.package] == ["runtime", "app"]
    assert sorted(stack.wheel) == ["numpy", "ruamel-yaml"]


@pytest.mark.parametrize(
    ("good", "bad", "field", "fix"),
    [
        ('title = "Acme"', 'tittle = "Acme"', "tittle", "did you mean 'title'?"),
        ("direct = [", "dirct = [", "requirements.dirct", "did you mean 'direct'?"),
        ('reason = "an example"', 'reson = "an example"', "wheel.numpy.reson", "did you mean 'reason'?"),
        ('reason = "a quoted key"', 'reson = "x"', 'wheel."ruamel.yaml".reson', "did you mean 'reason'?"),
        ('destination = "', 'destinatoin = "', "package[2].destinatoin", "did you mean 'destination'?"),
        ('at = "two"', 'att = "two"', "package[2].parts[2].att", "did you mean 'at'?"),
        ("port = 8080", "prot = 8080", "package[2].service.prot", "did you mean 'port'?"),
        ('source = { path = "one" }', 'source = { paht = "one" }', "package[2].parts[1].source.paht", "'path'?"),
        ('source.path = "two"', 'source.paht = "two"', "package[2].parts[2].source.paht", "did you mean 'path'?"),
        ('kind = "external"', 'kind = "external"\nzzz = 1', "artefact[1].zzz", "remove it; known here: against, "),
    ],
)
def test_an_unknown_key_is_told_with_its_line_and_what_was_meant(good: str, bad: str, field: str, fix: str) -> None:
    text = changed(good, bad)
    [issue] = [issue for issue in issues(text) if issue.problem == "unknown key"]
    wrong = bad.splitlines()[-1]
    assert (issue.file, issue.line, issue.field, issue.rule) == (FILE, line_of(text, wrong), field, "docs/stack.md")
    assert fix in issue.fix


@pytest.mark.parametrize(
    ("gone", "table", "field"),
    [
        ('title = "Acme"\n', "schema = 1", "title"),
        ('direct = ["click>=8.1"]\n', "[requirements]", "requirements.direct"),
        ('license = "MIT"\n', 'recipe = "tree"', "package[2].license"),
        ('at = "two"\n', 'source.path = "two"', "package[2].parts[2].at"),
        ('user = "acme"\n', "[package.service]", "package[2].service.user"),
        ('reason = "an example"\n', "[wheel.numpy]", "wheel.numpy.reason"),
    ],
)
def test_a_missing_key_is_told_with_the_line_of_its_table(gone: str, table: str, field: str) -> None:
    text = changed(gone, "")
    [issue] = issues(text)
    header = table if table.startswith(("[", "schema")) else None
    expected = line_of(text, header) if header else line_of(text, table) - 1
    key = field.rpartition(".")[2]
    assert (issue.problem, issue.line, issue.field) == ("missing key", expected, field)
    assert issue.fix == f"add {key} = …"


@pytest.mark.parametrize(
    ("good", "bad", "field", "problem"),
    [
        ("port = 8080", 'port = "many"', "package[2].service.port", "valid integer"),
        ("port = 8080", "port = 0", "package[2].service.port", "greater than or equal to 1"),
        ('targets = ["bookworm"]\n\n[req', 'targets = "bookworm"\n\n[req', "targets", "valid tuple"),
        ("date = 2026-11-23", 'date = "tomorrow"', "date", "valid date"),
        ('["click>=8.1"]', '["click>=8.1", "a b c"]', "requirements.direct[2]", "'a b c' is no requirement"),
        ('version = "2.13.0+cpu"', 'version = "two"', "artefact[1].version", "'two' is no version (PEP 440)"),
        ('destination = "/usr', 'destination = "usr', "package[2].destination", "should match pattern"),
        ('at = "two"', 'at = "../two"', "package[2].parts[2].at", "is no path below"),
        ('maintainer = "Ada <ada@example.org>"', 'maintainer = "Ada"', "maintainer", "should match pattern"),
        ('name = "torch"', 'name = "-torch"', "artefact[1].name", "'-torch' is no distribution name"),
        ("port = 8080", 'port = 1\narguments = ["{sate}"]', "package[2].service.arguments[1]", "other than {state}"),
        ("port = 8080", 'port = 1\narguments = ["$HOME"]', "package[2].service.arguments[1]", "should match pattern"),
        ("port = 8080", 'port = 1\nprecious = ["a/b"]', "package[2].service.precious[1]", "should match pattern"),
        ("port = 8080", 'port = 1\nwritable = ["a b"]', "package[2].service.writable[1]", "should match pattern"),
        ("port = 8080", "port = 1\nenvironment.A = 'x\"'", "package[2].service.environment.A", "should match pattern"),
        ("port = 8080", "port = 1\nenvironment.A-B = ''", "package[2].service.environment.A-B", "should match pattern"),
        ('{ path = "app" }', '{ git = "x" }', "package[2].source", "a source with git has commit beside it"),
        ('{ path = "app" }', "{}", "package[2].source", "exactly one of git, path, url and debian"),
    ],
)
def test_a_wrong_value_is_told_with_its_line(good: str, bad: str, field: str, problem: str) -> None:
    text = changed(good, bad)
    [issue] = issues(text)
    wrong = bad.strip().splitlines()[-1] if bad.startswith("port") else bad.splitlines()[0]
    assert (issue.line, issue.field) == (line_of(text, wrong), field)
    assert problem in issue.problem


def test_an_unknown_kind_is_told_with_the_known_ones() -> None:
    text = changed('recipe = "tree"', 'recipe = "three"')
    [issue] = issues(text)
    assert issue.problem == "'three' is not known here"
    assert (issue.line, issue.field) == (line_of(text, "three"), "package[2].recipe")
    assert issue.fix == "one of 'runtime', 'meta', 'keyring', 'doctor', 'patch', 'tree'"


def test_a_missing_kind_is_told() -> None:
    text = changed('recipe = "tree"\n', "")
    [issue] = issues(text)
    assert (issue.problem, issue.field, issue.fix) == ("missing key", "package[2].recipe", "add recipe = …")
    assert issue.line == line_of(text, 'name = "app"') - 1


def test_every_problem_is_told_at_once() -> None:
    text = STACK.replace('title = "Acme"', 'tittle = "Acme"').replace("port = 8080", "port = 0")
    assert sorted(issue.problem.split(",")[0] for issue in issues(text)) == [
        "Input should be greater than or equal to 1",
        "missing key",
        "unknown key",
    ]


def test_what_is_no_toml_is_told_with_its_line() -> None:
    text = changed('title = "Acme"', "title = Acme")
    [issue] = issues(text)
    assert (issue.file, issue.line, issue.fix) == (FILE, 3, "correct the syntax")
    assert issue.problem.startswith("not valid TOML: ")


@pytest.mark.parametrize("text", ["name = 'a'\nname = 'b'", "a = [", '"""', "[a]\n[a]", "\x00"])
def test_toml_errors_never_escape(text: str) -> None:
    assert all(issue.problem.startswith("not valid TOML") for issue in issues(text))


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ('name = "app"', 'name = "runtime"', "two packages are called 'runtime'"),
        ('needs = ["runtime"]', 'needs = ["=deps"]', "package 'app' needs '=deps', which is no package of this stack"),
        (
            'kind = "external"\ntargets = ["bookworm"]',
            'kind = "external"\ntargets = ["noble"]',
            "artefact 'torch' is for 'noble', which is not among the targets",
        ),
        (
            "[wheel.numpy]",
            '[[artefact]]\nname = "Torch"\nversion = "2"\nkind = "build"\ntargets = ["bookworm"]\n[wheel.numpy]',
            "two artefacts are called 'torch' for 'bookworm'",
        ),
        ('kind = "external"', 'kind = "companion"', "a companion has a source and says against what it is compiled"),
    ],
)
def test_a_stack_is_consistent(good: str, bad: str, problem: str) -> None:
    assert problem in {issue.problem for issue in issues(changed(good, bad))}


def test_the_date_is_utc_wherever_the_release_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    midnight = parse_stack(STACK, FILE).timestamp
    assert midnight == 1_795_392_000
    for spelling in ("2026-11-23T01:00:00+01:00", "2026-11-23T00:00:00", "2026-11-23T00:00:00Z"):
        assert parse_stack(changed("date = 2026-11-23", f"date = {spelling}"), FILE).timestamp == midnight


def test_an_archive_definition_is_checked_too() -> None:
    text = 'schema = 1\nname = "a"\norigin = "A"\nlabel = "A"\ndescription = "A"\nkey_uid = "A"\nchanels = ["stable"]\n'
    with pytest.raises(InputError) as caught:
        parse_archive(text, Path("archive.toml"))
    [issue] = caught.value.issues
    assert (issue.line, issue.field, issue.rule) == (7, "chanels", "docs/archive.md")
    assert issue.fix == "did you mean 'channels'?"
