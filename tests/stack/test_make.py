from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.deb.reader import read_control
from debtool.model.errors import InputError, OutsideError
from debtool.stack.make import make_packages
from debtool.stack.plan import PlannedPackage, plan_packages
from debtool.stack.store import Store
from tests.support.drafts import Notes, SampleDraft, SampleHistory

if TYPE_CHECKING:
    from pathlib import Path


def planned(*drafts: SampleDraft) -> list[PlannedPackage]:
    return list(plan_packages(drafts, SampleHistory(), "here-stable", 0).packages)


def test_only_what_is_missing_is_built(tmp_path: Path) -> None:
    store, notes = Store(tmp_path / "debs"), Notes()
    packages = planned(SampleDraft(name="a1"), SampleDraft(name="b1"))
    files = make_packages(packages, store, jobs=2, watcher=notes)
    assert [path.name for path in files] == ["a1_1.0-1~here1_all.deb", "b1_1.0-1~here1_all.deb"]
    assert read_control(files[0])["Debtool-Input-Key"] == packages[0].build.key
    assert notes.stages == [("build", 2)]
    assert sorted(notes.steps) == ["a1", "b1"]

    again = Notes()
    before = [path.stat().st_mtime_ns for path in files]
    assert make_packages(packages, store, jobs=2, watcher=again) == files
    assert [path.stat().st_mtime_ns for path in files] == before
    assert again.stages == []


def test_every_fault_is_told_and_what_was_built_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    packages = planned(
        SampleDraft(name="bad1", fault="error"), SampleDraft(name="bad2", fault="error"), SampleDraft(name="good")
    )
    with pytest.raises(InputError) as caught:
        make_packages(packages, store, jobs=1, watcher=Notes())
    assert sorted(issue.problem for issue in caught.value.issues) == ["bad1 cannot be built", "bad2 cannot be built"]
    assert [store.has(package) for package in packages] == [False, False, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "good_1.0-1~here1_all.deb",
        "good_1.0-1~here1_all.deb.json",
    ]


def test_a_killed_builder_is_told_in_one_sentence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    packages = planned(SampleDraft(name="bad", fault="die"))
    with pytest.raises(OutsideError, match=r"a build process was killed; fix: .*fewer --jobs"):
        make_packages(packages, store, jobs=1, watcher=Notes())
    assert not store.has(packages[0])
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    # ... and the next run builds it.
    mended = planned(SampleDraft(name="bad"))
    assert make_packages(mended, store, jobs=1, watcher=Notes())[0].is_file()
