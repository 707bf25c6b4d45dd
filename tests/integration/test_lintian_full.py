"""Debian's own checker on every package of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.stack.lint import Lintian
from tests.support.drafts import Notes

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.stack.lint import Verdict
    from tests.support.stacks import ServedStack

pytestmark = [pytest.mark.root, pytest.mark.full]


@pytest.fixture(scope="module")
def verdicts(full_stack: ServedStack, cache: Path) -> list[Verdict]:
    return judge(full_stack, cache)


def test_lintian_finds_no_error(verdicts: list[Verdict]) -> None:
    assert len(verdicts) > 135
    assert [str(issue) for verdict in verdicts for issue in verdict.errors()] == []


def test_every_override_has_its_reason(verdicts: list[Verdict]) -> None:
    overridden = [finding for verdict in verdicts for finding in verdict.findings if finding.reason is not None]
    assert {finding.tag for finding in overridden} >= {"unstripped-binary-or-object", "field-too-long"}
    assert [finding for finding in overridden if not finding.reason] == []


def test_what_we_write_ourselves_has_no_warning_either(verdicts: list[Verdict]) -> None:
    ours = [verdict for verdict in verdicts if "-python3-" not in verdict.deb.name]
    assert len(ours) >= 5
    assert [str(issue) for verdict in ours for issue in verdict.warnings()] == []


def test_a_stack_of_ones_own_has_neither_errors_nor_warnings(acme: ServedStack, cache: Path) -> None:
    """With a tree and its service, which the whole stack is tried without."""
    verdicts = [verdict for verdict in judge(acme, cache) if "-python3-" not in verdict.deb.name]
    assert "acme-app" in {verdict.deb.name.partition("_")[0] for verdict in verdicts}
    assert [str(issue) for verdict in verdicts for issue in (*verdict.errors(), *verdict.warnings())] == []


def judge(stack: ServedStack, cache: Path) -> list[Verdict]:
    archive = stack.archive
    debs = [archive.pool_path(package) for package in archive.published(stack.suite)]
    return Lintian.find("debian", cache / "lint").judge(debs, jobs=2, watcher=Notes())
