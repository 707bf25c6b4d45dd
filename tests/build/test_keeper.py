"""The keeper: what a command starts ends with it, with whoever asked for it, and when it is asked to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEPER = Path(__file__).parents[2] / "debtool" / "build" / "keeper.py"
# Starts one that outlives its parents, as daemons do (two forks, another session), and says who that is.
DAEMON = "setsid sh -c 'sleep 300 & echo $!; wait' & sleep 0.3"


class Kept:
    """A keeper, the pipe that it lives by, and its output."""

    def __init__(self, *command: str) -> None:
        lifeline, self._held = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER), str(lifeline), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[lifeline],
            text=True,
        )
        os.close(lifeline)

    def cut(self) -> None:
        os.close(self._held)
        self._held = -1

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        if self._held >= 0:
            self.cut()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def keep() -> Iterator[type[Kept]]:
    made: list[Kept] = []

    class Recorded(Kept):
        def __init__(self, *command: str) -> None:
            super().__init__(*command)
            made.append(self)

    yield Recorded
    for one in made:
        one.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -TERM $$", -15)]
)
def test_it_ends_as_its_command_does(keep: type[Kept], script: str, status: int) -> None:
    assert keep("sh", "-c", script).process.wait(10) == status


def test_a_command_that_does_not_exist_is_told(keep: type[Kept]) -> None:
    kept = keep("no-such-program")
    assert kept.line() == "no-such-program: No such file or directory"
    assert kept.process.wait(10) == 127


def test_what_the_command_leaves_behind_ends_with_it(keep: type[Kept]) -> None:
    kept = keep("sh", "-c", DAEMON)
    left = int(kept.line())
    assert kept.process.wait(10) == 0
    assert gone(left)


def test_everything_ends_when_its_owner_is_gone_even_what_is_stopped(keep: type[Kept]) -> None:
    kept = keep("sh", "-c", "trap '' TERM INT HUP; echo $$; sleep 300 & echo $!; wait")
    shell, sleeper = int(kept.line()), int(kept.line())
    os.kill(sleeper, signal.SIGSTOP)
    assert alive(shell)
    assert alive(sleeper)
    kept.cut()
    assert kept.process.wait(10) == -signal.SIGKILL
    assert gone(shell)
    assert gone(sleeper)


def test_signals_reach_the_command(keep: type[Kept]) -> None:
    kept = keep("sh", "-c", "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    assert kept.line() == "ready"
    kept.process.terminate()
    assert kept.line() == "asked"
    assert kept.process.wait(10) == 3


def test_the_command_does_not_hold_the_pipe_that_its_keeper_lives_by(keep: type[Kept]) -> None:
    kept = keep("sh", "-c", "echo $(ls /proc/self/fd)")
    assert kept.line() == "0 1 2 3"  # the last is the listed folder itself
