from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from debtool.stack.make import Built
from debtool.stack.plan import PlannedPackage, plan_packages
from debtool.stack.store import Store
from tests.support.drafts import SampleDraft, SampleHistory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def package() -> PlannedPackage:
    return plan_packages([SampleDraft(name="a", upstream="1:1.0")], SampleHistory(), "here-stable", 0).packages[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def build(store: Store, package: PlannedPackage) -> Built:
    path = store.path(package)
    path.write_bytes(b"a package")
    return Built(path, 9, "0" * 64)


def test_what_was_kept_is_there_with_its_inputs(store: Store, package: PlannedPackage) -> None:
    store.keep(package, build(store, package))
    assert store.has(package)
    assert store.inputs("a", "1:1.0-1~here1") == package.draft.all_inputs()
    assert store.inputs("a", "1.0-1~here1") is None
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "a_1.0-1~here1_all.deb",
        "a_1.0-1~here1_all.deb.json",
    ]


def test_a_package_without_a_record_was_interrupted(store: Store, package: PlannedPackage) -> None:
    build(store, package)
    assert not store.has(package)
    assert store.inputs("a", "1:1.0-1~here1") is None


def test_a_record_without_its_package_counts_for_nothing(store: Store, package: PlannedPackage) -> None:
    store.keep(package, build(store, package))
    store.path(package).unlink()
    assert not store.has(package)


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', "{}"])
def test_a_damaged_record_counts_for_nothing(store: Store, package: PlannedPackage, text: str) -> None:
    store.keep(package, build(store, package))
    store.path(package).with_name(f"{store.path(package).name}.json").write_text(text)
    assert not store.has(package)
    assert store.inputs("a", "1:1.0-1~here1") is None


def test_other_inputs_under_the_same_version_are_built_anew(store: Store, package: PlannedPackage) -> None:
    store.keep(package, build(store, package))
    assert not store.has(replace(package, build=replace(package.build, key="other")))


def test_a_record_says_what_the_package_was_made_of(store: Store, package: PlannedPackage) -> None:
    store.keep(package, build(store, package))
    record = json.loads(store.path(package).with_name(f"{store.path(package).name}.json").read_text())
    assert record["key"] == package.build.key
    assert (record["package"], record["version"], record["size"]) == ("a", "1:1.0-1~here1", 9)
    assert record["inputs"] == package.draft.all_inputs()
