from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.model.errors import InputError
from debtool.stack.why import why

if TYPE_CHECKING:
    from tests.support.workshops import Workshop


pytestmark = pytest.mark.slow


def test_the_way_is_told_with_the_reason_of_each_step(workshop: Workshop) -> None:
    workshop.release()
    answer = why(workshop.request(), "app", "beta", workshop.notes)
    assert [(step.package, step.on) for step in answer.steps] == [
        ("acme-app", "acme-deps"),
        ("acme-deps", "acme-python3-beta"),
    ]
    first, second = answer.steps
    [exact] = first.reasons
    assert exact.endswith("stack.toml, package app: it needs deps, in exactly this release's version")
    assert second.reasons == ("the lock has 0.5, and the set that was tested is the set that is installed",)
    assert second.field == "Depends"
    assert answer.others == ("acme-python3-alpha",)


def test_a_requirement_is_told_with_its_line(workshop: Workshop) -> None:
    workshop.release()
    [step] = why(workshop.request(), "alpha", "acme-python3-beta", workshop.notes).steps
    assert step.relations == ("acme-python3-beta (>= 0.5)", "acme-python3-beta (<< 2~~)")
    assert [reason.partition(":")[0] for reason in step.reasons] == ["it requires beta<2,>=0.5"]


def test_what_a_recipe_needs_is_told_as_such(workshop: Workshop) -> None:
    workshop.release()
    [step] = why(workshop.request(), "alpha", "runtime", workshop.notes).steps
    assert step.reasons == ("the wheel recipe always needs it",)


def test_weaker_fields_are_taken_where_there_is_no_other_way(workshop: Workshop) -> None:
    workshop.release()
    [step] = why(workshop.request(), "app", "doctor", workshop.notes).steps
    assert step.field == "Recommends"
    assert step.reasons[0].endswith("stack.toml, package app: recommends")


def test_no_way_is_an_answer_too(workshop: Workshop) -> None:
    workshop.release()
    assert why(workshop.request(), "beta", "alpha", workshop.notes).steps == ()


@pytest.mark.parametrize(("package", "dependency"), [("nobody", "beta"), ("app", "nobody")])
def test_an_unknown_name_is_told(workshop: Workshop, package: str, dependency: str) -> None:
    workshop.release()
    with pytest.raises(InputError, match="has no package 'nobody'"):
        why(workshop.request(), package, dependency, workshop.notes)


def test_before_the_first_release_there_is_nothing_to_ask(workshop: Workshop) -> None:
    with pytest.raises(InputError, match=r"here-stable has no packages yet; fix: debtool release"):
        why(workshop.request(), "app", "beta", workshop.notes)
