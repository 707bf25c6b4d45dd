from __future__ import annotations

from debtool.model.relations import Clause, Relation, clause, join


def test_a_field_has_every_clause_once() -> None:
    alternatives = Clause((Relation("b", ">=", "1"), Relation("c")))
    assert join([clause("a"), alternatives, clause("a"), clause("a", "<<", "2")]) == "a, b (>= 1) | c, a (<< 2)"
