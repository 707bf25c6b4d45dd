"""Rules: what a rules file may say, which code a rule is for, and what reports are told of it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from debtool.audit.rules import BUILTIN, Rule, Rules, explain, load_rules, matcher
from debtool.model.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

REASON = "a table that is filled by what CPUID says"


def rule(name: str = "one", **fields: object) -> Rule:
    return Rule.model_validate({"id": name, "reason": REASON, "source": "its source", **fields})


def test_the_rules_that_are_shipped_are_whole() -> None:
    rules = load_rules()
    assert len(rules.rule) > 25
    for one in rules.rule:
        assert one.source.strip()
        assert len(one.reason) > 40, one.id
        assert not any("\n" in pattern for pattern in (*one.unit, *one.symbol, *one.guard, *one.file))


def test_a_rule_without_a_symbol_is_for_named_files_only() -> None:
    # What covers all that has no name must not do so in every file of every package.
    for one in load_rules().rule:
        if not one.guard and ("" in one.symbol or not one.names_symbols):
            assert one.file or one.distribution or one.unit, one.id


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "at least one of"),
        ({"features": ["AVX"]}, "at least one of"),
        ({"symbol": ["x"], "guard": ["y"]}, "what calls the guard is guarded"),
        ({"symbol": ["x"], "reason": "because"}, "at least 20 characters"),
        ({"symbol": ["x"], "id": "builtin.weak"}, "match pattern"),
    ],
)
def test_a_rule_that_explains_nothing_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Rule.model_validate({"id": "one", "reason": REASON, "source": "its source"} | fields)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="several rules are called one"):
        Rules(rule=(rule(symbol=["a"]), rule(symbol=["b"])))


def test_a_wrong_file_is_told_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nid = "one"\nsymbol = ["x"]\nbecause = "x"\n')
    with pytest.raises(InputError) as raised:
        load_rules(file)
    assert "rules.toml" in str(raised.value)
    assert "because" in str(raised.value)


def test_the_digest_follows_what_rules_say() -> None:
    one, other = Rules(rule=(rule(symbol=["a"]),)), Rules(rule=(rule(symbol=["b"]),))
    assert one.digest == Rules(rule=(rule(symbol=["a"]),)).digest
    assert one.digest != other.digest


def test_file_and_distribution_must_both_match() -> None:
    one = rule(file=["*.libs/libfoo-*.so*"], distribution=["foo", "bar"])
    assert one.is_for("x.libs/libfoo-1.so.2", "bar")
    assert not one.is_for("x.libs/libfoo-1.so.2", "baz")
    assert not one.is_for("x.libs/libbar-1.so.2", "bar")
    assert rule(symbol=["a"]).is_for("anything", "")


def test_explain_knows_recorded_and_built_in_rules() -> None:
    rules = Rules(rule=(rule(symbol=["a"]),))
    assert explain("one", rules).reason == REASON
    for name in BUILTIN:
        assert explain(name, rules).id == name
        assert explain(name, rules).reason
    with pytest.raises(KeyError):
        explain("another", rules)


words = st.text(alphabet="ab_:.<>", max_size=8)


@given(st.lists(st.text(alphabet="ab_:*?", max_size=5), min_size=1, max_size=4), words)
def test_one_expression_says_what_each_pattern_says(patterns: list[str], text: str) -> None:
    expected = any(fnmatchcase(text, pattern) for pattern in patterns)
    assert bool(matcher(patterns).fullmatch(text)) is expected
