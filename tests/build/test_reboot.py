"""What was written just before the machine went down is not trusted; nothing else is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from debtool.build.journal import Begin, Journal, Note
from debtool.build.reboot import remove_unsure
from debtool.build.workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A build with an object and ninja's logs."""
    with Workplace.opened(tmp_path / "place") as place:
        build = place.fresh("build")
        for name in ("a.o", ".ninja_log", ".ninja_deps"):
            (build / name).write_text("whole, as far as can be seen")
        (build / "link.o").symlink_to("a.o")
        (place.folder / "single.so").write_text("likewise")
        (place.folder / "other.cpp").write_text("likewise, but not asked for")
        yield place


def run(place: Workplace, boot: str, seconds_ago: float) -> None:
    """Write a run into the journal of which nothing was heard since."""
    with Journal(place.journal) as journal:
        journal.write(Begin("torch", 1, boot, 2, 2**30, 2), at=time.time() - seconds_ago - 5)
        journal.write(Note("source: as given"), at=time.time() - seconds_ago)


def names(place: Workplace, boot: str) -> list[str]:
    return [
        path.name
        for path in remove_unsure(
            place, boot, [place.folder / "build", place.folder / "single.so", place.folder / "none"]
        )
    ]


def test_what_was_written_last_is_removed_but_for_ninjas_logs(place: Workplace) -> None:
    run(place, "before", 10)
    run(place, "now", 0)
    assert names(place, "now") == ["a.o", "single.so"]
    assert sorted(path.name for path in (place.folder / "build").iterdir()) == [".ninja_deps", ".ninja_log", "link.o"]
    assert (place.folder / "other.cpp").is_file()


def test_what_was_written_after_the_machine_came_up_stays(place: Workplace) -> None:
    run(place, "before", -100)  # heard of a hundred seconds after the file was written
    assert names(place, "now") == []
    assert (place.folder / "build" / "a.o").is_file()


def test_it_is_done_once_in_a_boot_even_if_the_run_was_killed_before(place: Workplace) -> None:
    run(place, "before", 10)
    run(place, "now", 5)
    run(place, "now", 0)
    assert names(place, "now") == ["a.o", "single.so"]
    (place.folder / "build" / "a.o").write_text("made again")
    run(place, "now", 0)
    assert names(place, "now") == []


def test_nothing_is_removed_where_the_machine_was_not_down(place: Workplace) -> None:
    assert names(place, "now") == []
    run(place, "now", 0)
    assert names(place, "now") == []
