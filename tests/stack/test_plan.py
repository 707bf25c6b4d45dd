from __future__ import annotations

import pytest

from debtool.model.errors import InputError
from debtool.stack.plan import Plan, plan_packages
from tests.support.drafts import Known, SampleDraft, SampleHistory, stack, target


def plan(*drafts: SampleDraft, history: SampleHistory | None = None) -> Plan:
    return plan_packages(drafts, history or SampleHistory(), "here-stable", 0)


def summary(planned: Plan) -> list[tuple[str, str, str]]:
    return [(package.name, str(package.build.version), package.action) for package in planned.packages]


A = SampleDraft(name="a")


def test_the_first_release_builds_everything() -> None:
    planned = plan(A, SampleDraft(name="b", upstream="2:0.5"))
    assert summary(planned) == [("a", "1.0-1~here1", "build"), ("b", "2:0.5-1~here1", "build")]
    assert [package.why for package in planned.packages] == ["not published yet"] * 2
    assert [package.filename for package in planned.packages] == ["a_1.0-1~here1_all.deb", "b_0.5-1~here1_all.deb"]
    assert planned.changes


def test_equal_inputs_keep_the_version() -> None:
    planned = plan(A, history=SampleHistory([Known("a", "1.0-3~here1", A.key({}))]))
    assert summary(planned) == [("a", "1.0-3~here1", "keep")]
    assert planned.packages[0].why == "unchanged"
    assert not planned.changes


def test_what_another_suite_has_is_reused() -> None:
    history = SampleHistory([Known("a", "1.0-1~here1", "other")], [Known("a", "1.0-2~here1", A.key({}))])
    planned = plan(A, history=history)
    assert summary(planned) == [("a", "1.0-2~here1", "reuse")]
    assert planned.packages[0].why == "published before with the same inputs"
    assert planned.changes


def test_a_changed_input_takes_the_next_revision_of_all_suites() -> None:
    history = SampleHistory(
        [Known("a", "1.0-2~here1", "other")], [Known("a", "1.0-7~here1", "more"), Known("a", "1.0-9~there1", "more")]
    )
    assert summary(plan(A, history=history)) == [("a", "1.0-8~here1", "build")]


def test_a_change_that_is_taken_back_goes_up_as_apt_never_goes_back() -> None:
    one, two = Known("a", "1.0-1~here1", A.key({})), Known("a", "1.0-2~here1", "other")
    assert summary(plan(A, history=SampleHistory([two], [one]))) == [("a", "1.0-3~here1", "build")]
    three = Known("a", "1.0-3~here1", A.key({}))
    assert summary(plan(A, history=SampleHistory([three], [one, two]))) == [("a", "1.0-3~here1", "keep")]
    # Another suite, which has not seen the change, stays where it is.
    assert summary(plan(A, history=SampleHistory([one], [two]))) == [("a", "1.0-1~here1", "keep")]


def test_an_older_upstream_version_is_wanted_and_reused() -> None:
    history = SampleHistory([Known("a", "2.0-1~here1", "other")], [Known("a", "1.0-5~here1", A.key({}))])
    assert summary(plan(A, history=history)) == [("a", "1.0-5~here1", "reuse")]


def test_another_upstream_version_starts_at_one() -> None:
    history = SampleHistory([Known("a", "0.9-7~here1", "other")])
    planned = plan(A, history=history)
    assert summary(planned) == [("a", "1.0-1~here1", "build")]
    assert str(planned.packages[0].previous) == "0.9-7~here1"


def test_another_suffix_starts_at_one() -> None:
    demo = SampleDraft(name="a", stack=stack(suffix="~demo"))
    history = SampleHistory([], [Known("a", "1.0-3~here1", "other")])
    assert summary(plan(demo, history=history)) == [("a", "1.0-1~here1~demo", "build")]


def test_the_same_package_for_another_target_is_another_version() -> None:
    there = SampleDraft(name="a", target=target(tag="there1", name="there"))
    history = SampleHistory([], [Known("a", "1.0-1~here1", A.key({}))])
    assert summary(plan(there, history=history)) == [("a", "1.0-1~there1", "build")]


def test_exact_needs_carry_a_change_on() -> None:
    deps = SampleDraft(name="deps", exact=("a",))
    app = SampleDraft(name="app", exact=("deps",))
    other = SampleDraft(name="other")
    first = plan(app, deps, A, other)
    # What others depend on exactly comes first; beside that the order is the stack's.
    assert [package.name for package in first.packages].index("a") == 0
    assert [p.name for p in first.packages if p.name != "other"] == ["a", "deps", "app"]
    published = [Known(p.name, str(p.build.version), p.build.key) for p in first.packages]

    changed = SampleDraft(name="a", text="another")
    second = plan(app, deps, changed, other, history=SampleHistory(published, recorded=_records(first)))
    assert {package.name: package.action for package in second.packages} == {
        "a": "build",
        "deps": "build",
        "app": "build",
        "other": "keep",
    }
    why = {package.name: package.why for package in second.packages}
    assert why == {
        "a": "changed: text",
        "deps": "exact dependencies changed",
        "app": "exact dependencies changed",
        "other": "unchanged",
    }
    versions = {package.name: dict(package.build.versions) for package in second.packages}
    assert {name: str(version) for name, version in versions["deps"].items()} == {"a": "1.0-2~here1"}


def _records(planned: Plan) -> dict[tuple[str, str], dict[str, str]]:
    return {(p.name, str(p.build.version)): p.draft.all_inputs() for p in planned.packages}


def test_without_a_record_the_reason_is_told_as_far_as_it_is_known() -> None:
    history = SampleHistory([Known("a", "1.0-1~here1", "other")])
    assert plan(A, history=history).packages[0].why == "inputs differ from the published package's"
    history = SampleHistory([Known("a", "1.0-1~here1", None)])
    assert plan(A, history=history).packages[0].why == "inputs differ from the published package's"


def test_what_the_release_has_no_more_is_removed() -> None:
    history = SampleHistory([Known("a", "1.0-1~here1", A.key({})), Known("z", "1"), Known("y", "1")])
    planned = plan(A, history=history)
    assert planned.removed == ("y", "z")
    assert planned.changes


def test_a_circle_of_exact_needs_is_refused() -> None:
    one, two = SampleDraft(name="one", exact=("two",)), SampleDraft(name="two", exact=("one",))
    with pytest.raises(InputError, match=r"these packages need each other exactly: one, two; fix: take one '='"):
        plan(one, two, A)


def test_two_packages_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="two packages are called a; fix: rename"):
        plan(A, SampleDraft(name="a", text="another"))
