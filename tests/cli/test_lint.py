from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from debtool.cli.main import debtool
from debtool.stack.lint import Finding, Lintian, Verdict
from tests.support.stacks import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from click.testing import Result

FINDINGS = {
    "good_1_all.deb": (Finding("unusual-interpreter", "warning", "x.py"), Finding("no-copyright-file", "warning", "")),
    "fine_1_all.deb": (Finding("unstripped-binary-or-object", "error", "x.so", "as upstream made it"),),
    "bad_1_all.deb": (Finding("file-in-usr-local", "error", "usr/local/x"),),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where three packages lie on which lintian's verdict is known."""

    def judge(_: Lintian, debs: Sequence[Path], **__: object) -> list[Verdict]:
        return [Verdict(deb, "0" * 64, FINDINGS[deb.name]) for deb in debs]

    monkeypatch.setattr(Lintian, "find", lambda profile, cache: Lintian(profile, cache, "2.0"))
    monkeypatch.setattr(Lintian, "judge", judge)
    for name in FINDINGS:
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def lint(folder: Path, *arguments: str) -> Result:
    debs = [str(folder / name) for name in arguments if name in FINDINGS]
    options = [argument for argument in arguments if argument not in FINDINGS]
    command = [
        "--config",
        str(REPOSITORY / "repo/demo.toml"),
        "--cache",
        str(folder / "cache"),
        "lint",
        *options,
        *debs,
    ]
    return CliRunner().invoke(debtool, command)


def test_warnings_and_overrides_are_no_errors(folder: Path) -> None:
    done = lint(folder, "good_1_all.deb", "fine_1_all.deb", "--target=bookworm")
    assert done.exit_code == 0
    assert "2 packages, errors: 0 (lintian 2.0, debian)" in done.stdout
    assert "x.py" not in done.stdout
    assert "x.py" in lint(folder, "good_1_all.deb", "--target=bookworm", "--warnings").stdout


def test_an_error_is_told_and_exits_with_1(folder: Path) -> None:
    done = lint(folder, *FINDINGS, "--target=noble")
    assert done.exit_code == 1
    assert "bad_1_all.deb: usr/local/x: error file-in-usr-local; fix: lintian-explain-tags" in done.stdout
    assert "3 packages, errors: 1 (lintian 2.0, ubuntu)" in done.stdout


def test_json_has_everything(folder: Path) -> None:
    done = lint(folder, *FINDINGS, "--target=noble", "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert (report["kind"], report["profile"], report["errors"]) == ("lint", "ubuntu", 1)
    assert report["packages"][1]["findings"][0]["reason"] == "as upstream made it"


def test_without_packages_the_channel_must_have_some(folder: Path) -> None:
    done = lint(folder, "--target=noble", f"--archive={folder}")
    assert "is not an archive" in str(done.exception)
