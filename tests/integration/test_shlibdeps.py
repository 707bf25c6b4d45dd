"""Our bounds for shared libraries against dpkg-shlibdeps', on every compiled wheel of the Debian 12 lock."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from debtool.elf.depends import library_clauses, library_issues, library_needs
from debtool.stack.facts import FactCache
from debtool.stack.project import open_project
from debtool.stack.wheels import read_lock
from debtool.wheel.fetch import FileCache, fetch
from tests.support.shlibdeps import Peer, ask, compare, image_with_libraries, lowest
from tests.support.stacks import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from debtool.stack.facts import WheelFacts

pytestmark = [pytest.mark.root, pytest.mark.full]

PROJECT = open_project(REPOSITORY / "repo/cheesegrater.toml")
TARGET = PROJECT.target("bookworm")

# docs/benchmarks.md explains each.
EXPECTED_DIFFERENCES = {("numba", "libgomp1", "extra")}


@pytest.fixture(scope="module")
def wheels(cache: Path) -> list[WheelFacts]:
    """The compiled wheels that the index has."""
    lock = read_lock(PROJECT, TARGET)
    index = replace(lock, files=tuple(entry for entry in lock.files if entry.is_wheel), artefacts=())
    paths = fetch(index, TARGET, FileCache(cache / "files"))
    known = FactCache(cache / "facts")
    facts = [known.read(paths[entry.name], entry.sha256, TARGET) for entry in index.files]
    return [wheel for wheel in facts if wheel.elf]


@pytest.fixture(scope="module")
def answers(wheels: list[WheelFacts], cache: Path) -> dict[str, Peer]:
    """What dpkg-shlibdeps says of each."""
    with image_with_libraries(TARGET, cache).instance() as root:
        return {wheel.name: ask(root, wheel) for wheel in wheels}


def test_enough_wheels_are_compared(wheels: list[WheelFacts], answers: dict[str, Peer]) -> None:
    assert len(wheels) >= 25
    assert sum(len(peer.depends) for peer in answers.values()) > 2 * len(wheels)
    assert any("libglib2.0-0" in peer.depends for peer in answers.values())


def test_packages_are_the_same_and_bounds_no_looser(wheels: list[WheelFacts], answers: dict[str, Peer]) -> None:
    differences = set()
    verdicts: Counter[str] = Counter()
    for wheel in wheels:
        needs = library_needs(wheel.elf, TARGET)
        assert library_issues(needs) == []
        ours = lowest(map(str, library_clauses(needs)))
        for package, verdict in compare(ours, answers[wheel.name].depends).items():
            verdicts[verdict] += 1
            if verdict != "equal":
                differences.add((wheel.name, package, verdict))
    assert differences == EXPECTED_DIFFERENCES
    assert verdicts["equal"] > 2 * len(wheels)
