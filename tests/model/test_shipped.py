"""Every definition that debtool ships is right, and what belongs together does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from debtool.model.shipped import shipped
from debtool.model.versions import with_revision
from debtool.stack.project import open_project
from debtool.stack.wheels import read_lock

if TYPE_CHECKING:
    from pathlib import Path

REPO = shipped("repo")
STACKS = sorted(file for file in REPO.glob("*.toml") if file.name != "archive.toml")
LOCKS = sorted((REPO / "locks").glob("*.txt"))
ROCM = {f"noble-rocm6.{minor}" for minor in range(5)}
TARGETS = {"bookworm", "noble", "trixie", *ROCM}


def test_the_shipped_files_are_found() -> None:
    assert [file.stem for file in STACKS] == ["cheesegrater", "demo"]
    assert {"cheesegrater.bookworm", "cheesegrater.noble", "demo.bookworm"} <= {lock.stem for lock in LOCKS}


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.stem)
def test_a_stack_with_its_targets_archive_and_patches(file: Path) -> None:
    project = open_project(file)
    assert {target.name for target in project.targets()} == TARGETS
    assert {project.target(name).name for name in project.stack.targets} <= TARGETS
    assert project.archive_definition().channels == ("canary", "stable")
    for package in project.stack.package:
        if package.recipe == "tree" and package.patches:
            assert project.resolve(f"{package.patches}/series").is_file()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_belongs_to_its_stack_as_it_is_now(lock: Path) -> None:
    stack, _, target = lock.stem.partition(".")
    project = open_project(REPO / f"{stack}.toml")
    assert read_lock(project, project.target(target)).target == target


def test_targets_are_told_apart_by_name_and_tag() -> None:
    targets = list(open_project(REPO / "demo.toml").targets())
    assert len({with_revision("1", 1, target.tag).text for target in targets}) == len(targets)
    for target in targets:
        assert (REPO / "targets" / f"{target.name}.toml").is_file()
        assert target.python_full.startswith(f"{target.python}.")


def test_a_known_trap_is_told_where_it_waits() -> None:
    notes = " ".join(open_project(REPO / "cheesegrater.toml").target("noble-rocm6.1").notes)
    assert "f16c" in notes.lower()
