from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from debtool.model.errors import DebtoolError, FindingsError, InputError, Issue, OutsideError


def test_an_issue_says_where_what_which_rule_and_what_to_do() -> None:
    issue = Issue("is wrong", "mend it", file=Path("a.toml"), line=3, field="key", rule="Policy 1.2")
    assert str(issue) == "a.toml:3: key: is wrong (Policy 1.2); fix: mend it"
    assert str(Issue("is wrong", "mend it", file=Path("a.toml"))) == "a.toml: is wrong; fix: mend it"


@pytest.mark.parametrize(("kind", "code"), [(FindingsError, 1), (InputError, 2), (OutsideError, 3)])
def test_errors_know_their_exit_code_and_travel_between_processes(kind: type[DebtoolError], code: int) -> None:
    error = kind(Issue("one", "mend one"), Issue("two", "mend two"))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert (type(copy), copy.issues, copy.exit_code) == (kind, error.issues, code)
    assert str(copy) == "one; fix: mend one\ntwo; fix: mend two"
