"""Commands run under watch: what they print and do is recorded, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.build import drive as drive_module
from debtool.build.drive import MARKER, Outcome, drive, end_leftovers
from debtool.build.journal import Edge, Event, Journal, Note, Reader, Sample
from debtool.build.machine import Sensor
from debtool.build.processes import read_process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from debtool.build.journal import Job

    Drive = Callable[..., Outcome]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()
    return folder


@pytest.fixture
def run(place: Path) -> Drive:
    """Drive a shell script in the build's folder."""

    def run(script: str, **options: object) -> Outcome:
        with Journal(place / "journal.jsonl") as journal:
            return drive(
                ["sh", "-c", script],
                cwd=place,
                environment={"PATH": os.environ["PATH"], **dict(options.pop("environment", {}))},  # type: ignore[call-overload]
                folder=place,
                log=place / "build.log",
                journal=journal,
                **options,  # type: ignore[arg-type]
            )

    return run


def events(place: Path) -> list[Event]:
    return [entry.event for entry in Reader(place / "journal.jsonl").new()]


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while read_process(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return read_process(pid) is None


def test_output_goes_to_the_log_the_watcher_and_the_outcome(run: Drive, place: Path) -> None:
    heard: list[str] = []
    outcome = run("echo one; echo two >&2; printf three", watch=heard.append)
    assert outcome == Outcome(0, None, 0, ("one", "two", "three"))
    assert heard == ["one", "two", "three"]
    log = (place / "build.log").read_text()
    assert log.startswith("+ sh -c echo one;")
    assert log.splitlines()[1:] == ["one", "two", "three"]


def test_ninjas_steps_go_into_the_journal(run: Drive, place: Path) -> None:
    run("echo '[1/2 0.1] Building C object a.o'; echo 'a.c:1: warning: [3/4] no'; echo '[2/2] Linking C executable a'")
    assert [event for event in events(place) if isinstance(event, Edge)] == [
        Edge(1, 2, "Building C object a.o"),
        Edge(2, 2, "Linking C executable a"),
    ]


def test_the_status_is_the_commands(run: Drive) -> None:
    assert run("exit 9").status == 9
    assert run("kill -SEGV $$").status == -signal.SIGSEGV


def test_the_machine_is_sampled(run: Drive, place: Path) -> None:
    run("sleep 0.2")
    samples = [event for event in events(place) if isinstance(event, Sample)]
    assert samples
    assert samples[0].memory_total > samples[0].memory_available > 0
    assert samples[0].disk_free > 0


def test_the_environment_is_what_was_given_and_the_marker(run: Drive, place: Path) -> None:
    outcome = run("env | sort", environment={"LANG": "C.UTF-8", "ONLY": "this"})
    names = {line.partition("=")[0] for line in outcome.lines} - {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names == {"LANG", "ONLY", "PATH", MARKER}
    assert f"{MARKER}={place}" in outcome.lines


def test_what_a_command_leaves_running_is_ended(run: Drive) -> None:
    outcome = run("setsid sleep 300 & echo $!")
    assert gone(int(outcome.lines[0]))


def test_a_command_that_is_asked_to_stop_may_end_in_order(run: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.monotonic()
    monkeypatch.setattr(drive_module, "_PATIENCE", 30)
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGTERM]).start()
    outcome = run("trap 'echo tidied; exit 3' TERM; while :; do sleep 0.05; done")
    assert (outcome.stopped, outcome.status, outcome.lines[-1]) == ("signal", 3, "tidied")
    assert time.monotonic() - begin < 20


def test_a_command_that_does_not_end_when_asked_is_killed(run: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive_module, "_PATIENCE", 0.5)
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    outcome = run("trap '' TERM INT; echo $$; sleep 300 & wait; sleep 300")
    assert outcome.stopped == "signal"
    assert gone(int(outcome.lines[0]))


def test_the_callers_signal_handlers_are_as_they_were(run: Drive) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    run("true")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_an_all_but_full_disk_stops_the_build_in_order(run: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_line: str) -> None:
        monkeypatch.setattr(drive_module, "_DISK_FLOOR", 2**62)

    outcome = run("trap 'echo tidied; exit 1' TERM; echo ready; while :; do sleep 0.05; done", watch=fill)
    assert (outcome.stopped, outcome.lines[-1]) == ("disk-full", "tidied")


def test_a_watcher_that_fails_leaves_nothing_running(run: Drive) -> None:
    pids: list[int] = []

    def fail(line: str) -> None:
        pids.append(int(line))
        raise RuntimeError(line)

    with pytest.raises(RuntimeError):
        run("echo $$; sleep 300", watch=fail)
    assert gone(pids[0])


# A driver of its own, so that it can be killed.
DRIVER = """
    import os, sys
    from pathlib import Path
    from debtool.build.drive import drive
    from debtool.build.journal import Journal

    place = Path(sys.argv[1])
    with Journal(place / "journal.jsonl") as journal:
        drive(["sh", "-c", sys.argv[2]], cwd=place, environment=dict(os.environ), folder=place, log=place / "build.log",
              journal=journal, watch=lambda line: print(line, flush=True))
"""


def start_driver(place: Path, script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), str(place), script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_nothing_is_left_when_the_driver_is_killed(place: Path) -> None:
    driver = start_driver(place, "trap '' TERM HUP; setsid sleep 300 & echo $!; echo $$; wait")
    assert driver.stdout is not None
    pids = [int(driver.stdout.readline()) for _ in range(2)]
    assert all(read_process(pid) is not None for pid in pids)
    driver.kill()
    assert all(gone(pid) for pid in pids)
    driver.wait()
    driver.stdout.close()


def test_what_is_left_when_the_keeper_is_killed_too_is_known_by_its_folder(place: Path, tmp_path: Path) -> None:
    driver = start_driver(place, "setsid sleep 300 & echo $!; echo $PPID; wait")
    assert driver.stdout is not None
    left, keeper = (int(driver.stdout.readline()) for _ in range(2))
    deadline = time.monotonic() + 10
    while (started := read_process(left)) is not None and started.name != "sleep" and time.monotonic() < deadline:
        time.sleep(0.02)  # it is setsid at first, which makes way for sleep
    os.kill(driver.pid, signal.SIGSTOP)  # or it would clean up when it sees the keeper die
    os.kill(keeper, signal.SIGKILL)
    driver.kill()
    driver.wait()
    driver.stdout.close()
    assert read_process(left) is not None
    assert end_leftovers(tmp_path) == []
    assert "sleep" in end_leftovers(place)
    assert gone(left)


@pytest.mark.slow
def test_notes_tell_which_job_is_held(run: Drive, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two compilers, and no memory left as it seems: one is held, and goes on when the other is done."""
    (place / "slow.cpp").write_text(
        "#include <utility>\ntemplate<unsigned long N> double f(double x) { double t[16] = {};"
        "for (int i = 0; i < 64; ++i) for (int j = 0; j < 16; ++j) t[j] = t[(j + N) % 16] * x + i * N; return t[3]; }\n"
        "template<unsigned long... N> double all(double x, std::index_sequence<N...>) { return (f<N>(x) + ...); }\n"
        "double g(double x) { return all(x, std::make_index_sequence<300>{}); }\n"
    )
    real = Sensor.sample

    def short(self: Sensor, jobs: Sequence[Job], seconds: float) -> Sample:
        return replace(real(self, jobs, seconds), memory_available=1)

    monkeypatch.setattr(Sensor, "sample", short)
    outcome = run("c++ -std=c++17 -O3 -c slow.cpp -o a.o & c++ -std=c++17 -O3 -c slow.cpp -o b.o & wait; ls *.o")
    assert outcome.lines == ("a.o", "b.o")
    notes = [event.text for event in events(place) if isinstance(event, Note)]
    assert notes[0] == "memory is short: slow.cpp is held until there is room"
    assert notes[-1] == "slow.cpp goes on"
