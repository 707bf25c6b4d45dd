from __future__ import annotations

from dataclasses import replace

import pytest

from debtool.model.versions import DebianVersion
from debtool.stack.draft import Draft, description_field, digest
from debtool.stack.recipes.runtime import RuntimeDraft
from tests.support.drafts import PACKAGE, SampleDraft, stack, target


def runtime(text: str = PACKAGE, **changes: object) -> RuntimeDraft:
    whole = stack(text)
    draft = RuntimeDraft(stack=whole, target=target(), name="acme-runtime", upstream="1.0", package=whole.package[0])
    return replace(draft, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        runtime(PACKAGE.replace("The runtime.", "A runtime.")),
        runtime(PACKAGE + 'depends = ["libc6"]\n'),
        runtime(upstream="1.1"),
        runtime(stack=stack(install_prefix="/opt/acme")),
        runtime(stack=stack(maintainer="Bob <bob@example.org>")),
        runtime(stack=stack(homepage="https://example.net/")),
        runtime(stack=stack(suffix="~demo")),
        runtime(target=target("3.12")),
        runtime(target=target(name="there")),
        runtime(target=target(dpkg="1.20")),
    ],
)
def test_a_changed_input_changes_the_key(changed: Draft) -> None:
    assert changed.key({}) != runtime().key({})


@pytest.mark.parametrize(
    "same",
    [
        runtime(),
        runtime(stack=stack(version="9", targets=("here", "there"))),
        runtime(target=target(notes=("mind the gap",))),
        runtime(target=target(glibc="2.40")),
    ],
)
def test_what_is_no_input_does_not(same: Draft) -> None:
    assert same.key({}) == runtime().key({})


def test_the_key_follows_the_versions_of_exact_needs_only() -> None:
    draft = SampleDraft(name="app", exact=("deps",))
    one, two = DebianVersion("1-1"), DebianVersion("1-2")
    assert draft.key({"deps": one}) != draft.key({"deps": two})
    assert draft.key({"deps": one, "other": one}) == draft.key({"deps": one, "other": two})


def test_a_recipe_that_makes_other_bytes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtime().key({})
    monkeypatch.setattr(RuntimeDraft, "format", RuntimeDraft.format + 1)
    assert runtime().key({}) != before


def test_parts_of_a_digest_are_kept_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("a") == digest(b"a")


def test_a_description_keeps_its_paragraphs() -> None:
    assert (
        description_field("one line", "First.\n\n  indented  \nlast\n") == "one line\n First.\n .\n   indented\n last"
    )
