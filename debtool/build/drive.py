"""Runs one command of a build under watch: what it prints, what is at work, how the machine bears it.

Everything that the command starts ends with it, with this process, and when somebody asks to stop (`keeper`). While
memory is short, jobs are held (`governor`).
"""

from __future__ import annotations

import errno
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from debtool.build.governor import Governor
from debtool.build.journal import Note
from debtool.build.machine import Sensor, oom_kills
from debtool.build.ninja import parse_status
from debtool.build.processes import below, end, marked, pause, resume
from debtool.build.sampling import look
from debtool.build.stopping import Stopper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from debtool.build.governor import Decision
    from debtool.build.journal import Job, Journal
    from debtool.build.processes import Process

    # Told of each line that a build prints.
    Watch = Callable[[str], None]

MARKER = "DEBTOOL_BUILD"
"""The variable by which whatever a build started is known, even when it has lost its parents; its value is the build's
folder."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system calls a full disk: of everybody, or of this user."""

_KEEPER = Path(__file__).with_name("keeper.py")
_LOOK = 1.0
"""Seconds between two looks at the machine and the processes."""
_TELL = 5
"""Looks of which one goes into the journal: a day's build writes some megabytes."""
_DISK_FLOOR = 256 * 2**20
"""Free bytes below which a build stops, while its own files can still be closed properly."""
_PATIENCE = 10.0
"""Seconds that a command has to end when it is asked to, before it is killed."""
_KEPT_LINES = 4000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command.

    Attributes:
        status: Its exit status; the negative number of a signal that ended it.
        stopped: Why this process ended it: a signal asked to (``signal``), or the disk is all but full (``disk-full``).
        killed_for_memory: How many processes the kernel, or the governor, killed for memory meanwhile.
        lines: The last lines that it printed.
    """

    status: int
    stopped: Literal["signal", "disk-full"] | None
    killed_for_memory: int
    lines: tuple[str, ...]


def drive(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str] | None,
    folder: Path,
    log: Path,
    journal: Journal,
    watch: Watch | None = None,
) -> Outcome:
    """Run ``command`` to its end, with its output in ``log`` and its progress in ``journal``.

    Args:
        command: A program and its arguments.
        cwd: Where it runs.
        environment: Its environment, None for this process's own; `MARKER` is added.
        folder: The build's folder: what is started is known by it, and its disk is watched.
        log: Its output is appended here.
        journal: Gets what is at work and what ninja finished.
        watch: Told of each line.
    """
    with Stopper() as stopper, log.open("ab", buffering=0) as output:
        with suppress(OSError):
            output.write(f"+ {' '.join(command)}\n".encode("utf-8", "surrogateescape"))
        lifeline, held = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", str(_KEEPER), str(lifeline), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**(os.environ if environment is None else environment), MARKER: str(folder)},
                pass_fds=[lifeline],
                start_new_session=True,
            )
        except BaseException:
            os.close(held)
            raise
        finally:
            os.close(lifeline)
        kept = _Kept(process, held, folder)
        try:
            return _Run(kept, output, journal, watch, Sensor(folder)).attend(stopper)
        except BaseException:
            kept.cut()
            raise
        finally:
            kept.end()


class _Kept:
    """The keeper's process, and the end of the pipe that it lives by.

    Attributes:
        process: The keeper.
    """

    def __init__(self, process: subprocess.Popen[bytes], held: int, folder: Path) -> None:
        self.process = process
        self._held: int | None = held
        self._folder = folder

    def cut(self) -> None:
        """Let the keeper end everything at once."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def end(self) -> int:
        """Wait until everything has ended, and return the command's exit status."""
        try:
            status = self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.cut()
            try:
                status = self.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                status = self.process.wait()
        self.cut()
        end_leftovers(self._folder)  # there are some only if the keeper itself was killed
        return status


class _Run:
    """A command that runs, and what has been seen of it."""

    def __init__(self, kept: _Kept, output: IO[bytes], journal: Journal, watch: Watch | None, sensor: Sensor) -> None:
        self._kept = kept
        self._process = kept.process
        self._output = output
        self._journal = journal
        self._watch = watch
        self._sensor = sensor
        self._governor = Governor()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._rest = b""
        self._looks = 0
        self._kills_before = oom_kills()
        self._ended_for_memory = 0
        self._stopped: Literal["signal", "disk-full"] | None = None
        self._deadline: float | None = None

    def attend(self, stopper: Stopper) -> Outcome:
        """Read and look until the command has ended and all that it printed is read."""
        pipe = self._process.stdout
        if pipe is None:
            raise AssertionError("opened with a pipe")
        with selectors.DefaultSelector() as selector, pipe:
            selector.register(pipe, selectors.EVENT_READ)
            selector.register(stopper.readable, selectors.EVENT_READ)
            look = time.monotonic()
            while True:
                ready = {key.fileobj for key, _ in selector.select(max(0.0, look - time.monotonic()))}
                if pipe in ready and not self._read(pipe.fileno()):
                    break
                if stopper.readable in ready:
                    selector.unregister(stopper.readable)
                    self._stop("signal")
                if time.monotonic() >= look:
                    self._look()
                    look = time.monotonic() + _LOOK
                if self._deadline is not None and time.monotonic() > self._deadline:
                    self._kept.cut()
        status = self._kept.end()
        killed = max(0, oom_kills() - self._kills_before) + self._ended_for_memory
        # Somebody who asks when the command has just ended is heard as well.
        stopped = self._stopped or (None if stopper.signal is None else "signal")
        return Outcome(status, stopped, killed, tuple(self._lines))

    def _read(self, descriptor: int) -> bool:
        """Take what was printed; False at its end."""
        data = os.read(descriptor, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data and self._rest:
            lines, self._rest = [self._rest], b""
        for line in lines:
            self._take(line)
        return bool(data)

    def _take(self, data: bytes) -> None:
        try:
            self._output.write(data + b"\n")
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            self._stop("disk-full")
        line = data.decode("utf-8", "replace").rstrip()
        self._lines.append(line)
        if (edge := parse_status(line)) is not None:
            self._journal.write(edge)
        if self._watch is not None:
            self._watch(line)

    def _look(self) -> None:
        processes, jobs, sample = look(self._sensor, self._process.pid)
        if self._looks % _TELL == 0:
            self._journal.write(sample)
        self._looks += 1
        if sample.disk_free < _DISK_FLOOR:
            self._stop("disk-full")
        if self._stopped is None:
            self._carry_out(self._governor.decide(sample, jobs, time.monotonic()), processes, jobs)

    def _carry_out(self, decision: Decision, processes: Mapping[int, Process], jobs: Sequence[Job]) -> None:
        named = {job.pid: job.what or job.tool for job in jobs}
        for process in pause([processes[pid] for pid in decision.hold]):
            self._journal.write(Note(f"memory is short: {named[process.pid]} is held until there is room"))
        for process in resume([processes[pid] for pid in decision.release]):
            self._journal.write(Note(f"{named[process.pid]} goes on"))
        if decision.end is not None:
            self._journal.write(Note(f"memory stays short: {named[decision.end]} is ended, and done again later"))
            self._ended_for_memory += 1
            end([processes[decision.end]], patience=0.0)

    def _stop(self, why: Literal["signal", "disk-full"]) -> None:
        """Ask the command to end: ninja removes what it has not finished when it is interrupted."""
        if self._stopped is not None:
            return
        self._stopped = why
        self._deadline = time.monotonic() + _PATIENCE
        resume([process for process in below(self._process.pid) if process.state == "T"])
        self._process.terminate()


def end_leftovers(folder: Path) -> list[str]:
    """End what a build in ``folder`` has left running; return the names of the programs.

    There is something only where both debtool and its keeper were killed.
    """
    found = [process for process in marked(f"{MARKER}={folder}") if process.pid != os.getpid()]
    end(found, patience=0.0)
    return [process.name for process in found]
