from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from debtool.archive import Archive
from debtool.archive.lock import write_lock
from debtool.model.errors import OutsideError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.conftest import MakeDeb

SUITE = "suite"


def test_a_second_writer_waits_and_is_told_for_whom(tmp_path: Path) -> None:
    holders: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with write_lock(tmp_path / "lock", on_wait=holders.append):
            entered.set()

    with write_lock(tmp_path / "lock"):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not entered.wait(0.2)
    waiting.join()
    assert entered.is_set()
    assert len(holders) == 1
    assert holders[0].startswith(f"pid {os.getpid()} on ")


def test_patience_ends_with_an_error_that_names_the_holder(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    hasty = Archive.open(archive.public, timeout=0.1)
    with (
        write_lock(archive._layout.lock),
        pytest.raises(OutsideError, match=f"is being written by pid {os.getpid()} on"),
    ):
        hasty.publish(SUITE, [foo])


def test_a_reader_never_waits_for_a_writer(archive: Archive, make_deb: MakeDeb) -> None:
    foo = make_deb("foo")
    archive.publish(SUITE, [foo])
    hasty = Archive.open(archive.public, timeout=0)
    with write_lock(archive._layout.lock):
        assert [package.name for package in hasty.published(SUITE)] == ["foo"]
        assert hasty.check(SUITE) == ()
        assert len(hasty.history(SUITE)) == 1
        assert not hasty.publish(SUITE, [foo]).switched


def test_two_publishers_lose_nothing(archive: Archive, make_deb: MakeDeb) -> None:
    debs = {name: [make_deb(f"{name}{number}") for number in range(4)] for name in ("foo", "bar")}

    def publish(name: str) -> None:
        own = Archive.open(archive.public)
        for deb in debs[name]:
            own.publish(SUITE, [deb])

    threads = [threading.Thread(target=publish, args=(name,)) for name in debs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(archive.published(SUITE)) == 8
    assert [one.number for one in archive.history(SUITE)] == list(range(8, 0, -1))
    assert archive.check(SUITE) == ()


def test_two_publishers_of_one_package_agree(archive: Archive, make_deb: MakeDeb) -> None:
    """Both have read it before either holds the lock, so both take it for new."""
    foo = make_deb("foo")
    publishers = [Archive.open(archive.public) for _ in range(2)]
    threads = [threading.Thread(target=one.publish, args=(SUITE, [foo])) for one in publishers]
    with write_lock(archive._layout.lock):
        for thread in threads:
            thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert [package.name for package in archive.published(SUITE)] == ["foo"]
    assert [one.number for one in archive.history(SUITE)] == [1]
    assert archive.check(SUITE) == ()


def test_readers_see_whole_generations(archive: Archive, make_deb: MakeDeb) -> None:
    pairs = [[make_deb("foo", f"{number}-1"), make_deb("bar", f"{number}-1")] for number in range(5)]
    archive.publish(SUITE, pairs[0])
    done = threading.Event()
    torn: list[object] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            reads += 1
            packages = archive.published(SUITE)
            if len({package.version for package in packages}) != 1 or len(packages) != 2:
                torn.append(packages)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for pair in pairs[1:]:
            archive.publish(SUITE, pair)
    finally:
        done.set()
        reader.join()
    assert torn == []
    assert reads > 10
