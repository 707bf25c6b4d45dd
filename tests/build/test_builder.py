"""What a build makes of failures: which it goes on from, with how many jobs, and how it tells the others."""

from __future__ import annotations

import errno
import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from debtool.build import builder as builder_module
from debtool.build.builder import Builder, OutOfRoomError, lowered_jobs, recorded
from debtool.build.drive import Outcome, drive
from debtool.build.journal import Begin, End, Event, Journal, Limit, Note, Reader
from debtool.build.stopping import StoppedError
from debtool.build.workplace import Workplace
from debtool.model.errors import InputError, OutsideError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

KILLED = (
    "FAILED: a.o\nc++ -c a.cpp\nc++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated."
)


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[Builder]:
    with Workplace.opened(tmp_path / "place") as place, Journal(place.journal) as journal:
        yield Builder(place, journal, jobs=8)


@pytest.fixture
def attempts(builder: Builder, tmp_path: Path) -> Callable[..., list[int]]:
    """Compile with a shell script that is told the number of jobs and of the attempt; return the jobs of each."""

    def run(script: str) -> list[int]:
        seen: list[int] = []

        def command(jobs: int) -> list[str]:
            seen.append(jobs)
            return ["sh", "-c", script, "sh", str(jobs), str(len(seen))]

        try:
            builder.compile(
                command, "mend it", cwd=tmp_path, environment=lambda jobs: {**os.environ, "MAX_JOBS": str(jobs)}
            )
        finally:
            assert seen
        return seen

    return run


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel have killed a process for memory during each attempt that fails."""

    def killing(command: Sequence[str], **options: Any) -> Outcome:
        outcome = drive(command, **options)
        return replace(outcome, killed_for_memory=1 if outcome.status else 0)

    monkeypatch.setattr(builder_module, "drive", killing)


def events(builder: Builder) -> list[Event]:
    return [entry.event for entry in Reader(builder.workplace.journal).new()]


def test_what_succeeds_runs_once(attempts: Callable[..., list[int]]) -> None:
    assert attempts("exit 0") == [8]


@pytest.mark.usefixtures("killing")
def test_after_a_kill_for_memory_fewer_jobs_run(attempts: Callable[..., list[int]], builder: Builder) -> None:
    assert attempts(f"[ $2 = 4 ] || {{ echo '{KILLED}'; exit 1; }}") == [8, 6, 5, 4]
    limits = [event for event in events(builder) if isinstance(event, Limit)]
    assert limits[0] == Limit(6, "a.o was killed for memory")
    warnings = [event.text for event in events(builder) if isinstance(event, Note) and event.level == "warning"]
    assert warnings[0] == "a.o was killed for memory: it goes on with 6 jobs at once"


@pytest.mark.usefixtures("killing")
def test_a_single_job_that_has_too_little_memory_is_told_with_a_way_out(
    attempts: Callable[..., list[int]], builder: Builder
) -> None:
    with pytest.raises(OutOfRoomError, match=r"a\.o was killed for memory while nothing else was compiled") as caught:
        attempts(f"echo '{KILLED}'; exit 1")
    [issue] = caught.value.issues
    assert issue.file == builder.workplace.log
    assert "add swap" in issue.fix
    assert [event.jobs for event in events(builder) if isinstance(event, Limit)] == [6, 5, 4, 3, 2, 1]


def test_a_compiler_that_says_that_memory_is_out_counts_without_a_kill(attempts: Callable[..., list[int]]) -> None:
    text = "FAILED: a.o\nc++ -c a.cpp\ncc1plus: out of memory allocating 65536 bytes after a total of 1 bytes"
    assert attempts(f"[ $1 -lt 6 ] || {{ echo '{text}'; exit 1; }}") == [8, 6, 5]


def test_a_kill_by_somebody_is_gone_on_from_with_as_many_jobs(
    attempts: Callable[..., list[int]], builder: Builder
) -> None:
    assert attempts(f"[ $2 = 2 ] || {{ echo '{KILLED}'; exit 1; }}") == [8, 8]
    assert Note("a.o was killed, and is done again", level="warning") in events(builder)


def test_a_step_that_is_killed_again_and_again_is_given_up(
    attempts: Callable[..., list[int]], builder: Builder
) -> None:
    with pytest.raises(OutsideError, match="Killed signal terminated program cc1plus") as caught:
        attempts(f"echo '{KILLED}'; exit 1")
    assert "find out what kills it" in caught.value.issues[0].fix
    assert not isinstance(caught.value, OutOfRoomError)
    assert len([event for event in events(builder) if isinstance(event, Note)]) == 2


def test_a_command_that_is_killed_itself_is_run_again(attempts: Callable[..., list[int]]) -> None:
    assert attempts("[ $2 = 2 ] || kill -9 $$") == [8, 8]


def test_an_error_is_told_with_its_lines_and_not_tried_again(
    attempts: Callable[..., list[int]], builder: Builder
) -> None:
    text = "FAILED: a.o\\nc++ -c a.cpp\\na.cpp:1:1: error: no such thing\\n[2/9] Building b.o"
    with pytest.raises(OutsideError, match=r"sh ended with status 1: a\.cpp:1:1: error: no such thing;") as caught:
        attempts(f"printf '{text}'; exit 1")
    assert caught.value.issues[0].fix == "mend it"
    assert not [event for event in events(builder) if isinstance(event, Limit)]


def test_a_full_disk_is_told_with_what_to_do(attempts: Callable[..., list[int]], builder: Builder) -> None:
    text = "FAILED: a.o\nc++ -c a.cpp\n/tmp/cc.s: fatal error: error writing to /tmp/cc.s: No space left on device"
    with pytest.raises(OutOfRoomError, match="the disk is full") as caught:
        attempts(f"echo '{text}'; exit 1")
    assert caught.value.issues[0].file == builder.workplace.folder
    assert "run the same command again" in caught.value.issues[0].fix


def test_who_asks_to_stop_is_told_how_it_goes_on(builder: Builder, tmp_path: Path) -> None:
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(StoppedError) as caught:
        builder.run(["sleep", "300"], "never", cwd=tmp_path)
    assert caught.value.exit_code == 130
    assert "goes on where this stopped" in caught.value.issues[0].fix


def test_a_run_is_recorded_from_its_beginning_to_its_end(builder: Builder) -> None:
    with recorded(builder, "a thing"):
        pass
    with pytest.raises(InputError), recorded(builder, "a thing"):
        raise InputError
    with pytest.raises(KeyboardInterrupt), recorded(builder, "a thing"):
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), recorded(builder, "a thing"):
        raise ZeroDivisionError
    found = events(builder)
    assert [type(event) for event in found] == [Begin, End] * 4
    assert [event.status for event in found if isinstance(event, End)] == ["done", "failed", "interrupted", "failed"]
    begin = found[0]
    assert isinstance(begin, Begin)
    assert (begin.title, begin.pid, begin.jobs) == ("a thing", os.getpid(), 8)


def test_a_later_run_begins_with_the_jobs_that_an_earlier_one_came_down_to(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert lowered_jobs(path, 16) is None
    begin = Begin("torch", 1, "boot", 8, 16, 8)
    with Journal(path) as journal:
        journal.write(begin)
        assert lowered_jobs(path, 16) is None
        journal.write(Limit(6, "killed"))
        journal.write(Limit(5, "killed"))
        journal.write(begin)
        assert lowered_jobs(path, 16) == 5
        journal.write(replace(begin, memory=64))
        assert lowered_jobs(path, 64) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_asks_to_stop_between_two_commands_is_heard(builder: Builder, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(StoppedError, match="asked to stop"), recorded(builder, "a thing"):
        signal.raise_signal(number)
    assert events(builder)[-1] == End("interrupted", builder_module.GO_ON)
    assert signal.getsignal(number) is before


def test_a_disk_that_is_full_for_debtool_itself_is_told_as_one_that_is_for_a_compiler(builder: Builder) -> None:
    with pytest.raises(OutOfRoomError, match="the disk is full"), recorded(builder, "a thing"):
        raise OSError(errno.ENOSPC, "No space left on device")
    end = events(builder)[-1]
    assert isinstance(end, End)
    assert (end.status, "the disk is full" in end.text) == ("failed", True)
    with pytest.raises(PermissionError), recorded(builder, "a thing"):
        raise PermissionError(errno.EACCES, "Permission denied")
