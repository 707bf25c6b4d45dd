"""A build as its steps: each command is driven, and what fails for want of memory is gone on with by fewer jobs."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from debtool.build.drive import DISK_FULL, drive
from debtool.build.journal import Begin, End, Limit, Note, Reader
from debtool.build.machine import read_machine
from debtool.build.ninja import Failure, failures, why
from debtool.build.root import describe_status
from debtool.build.stopping import StoppedError, raising
from debtool.model.errors import DebtoolError, Issue, OutsideError
from debtool.model.text import amount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from debtool.build.drive import Outcome, Watch
    from debtool.build.journal import Journal
    from debtool.build.workplace import Workplace

    # A command, and an environment, for a number of jobs.
    CommandFor = Callable[[int], Sequence[str]]
    EnvironmentFor = Callable[[int], Mapping[str, str]]


class OutOfRoomError(OutsideError):
    """The memory or the disk did not suffice; what was done is kept, and a later run goes on from it."""


GO_ON = "run the same command again: it goes on where this stopped"
_KILLED_IN_VAIN = 3
"""Times that a step may be killed, not for memory, before somebody must look."""
_LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class Builder:
    """Runs the commands of one build.

    Attributes:
        workplace: Its folder.
        journal: Its journal, opened.
        jobs: How many jobs run at once at most.
        watch: Told of each line of output.
    """

    workplace: Workplace
    journal: Journal
    jobs: int
    watch: Watch | None = None

    def run(self, command: Sequence[str], fix: str, *, cwd: Path, environment: Mapping[str, str] | None = None) -> None:
        """Run ``command``; None for ``environment`` means this process's own.

        Raises:
            OutsideError: It failed; the issue names the log and ``fix``.
            StoppedError: Somebody asked to stop.
        """
        outcome = self._drive(command, cwd, environment)
        if outcome.status:
            raise self._error(command, outcome, fix)

    def compile(self, command: CommandFor, fix: str, *, cwd: Path, environment: EnvironmentFor) -> None:
        """Run a command that compiles much, and again after what can be gone on from.

        Where a step is killed for memory, it goes on with fewer jobs; where one is killed for another reason, as many.
        Both ``command`` and ``environment`` are asked for anew with the number of jobs.

        Raises:
            OutsideError: It failed, a single job at a time has too little memory, or the disk is full.
            StoppedError: Somebody asked to stop.
        """
        jobs = self.jobs
        killed: Counter[tuple[str, ...]] = Counter()
        while True:
            outcome = self._drive(command(jobs), cwd, environment(jobs))
            if outcome.status == 0:
                return
            found = _failures(outcome)
            causes = {why(failure) for failure in found}
            if "disk-full" in causes:
                raise self.full()
            if "memory" in causes or ("killed" in causes and outcome.killed_for_memory):
                if jobs == 1:
                    raise self._too_little_memory(found)
                jobs = max(1, jobs - max(1, jobs // 4))
                reason = f"{_names(found)} was killed for memory"
                self.journal.write(Limit(jobs, reason))
                self.journal.write(Note(f"{reason}: it goes on with {amount(jobs, 'job')} at once", level="warning"))
            elif causes == {"killed"}:
                killed.update(failure.outputs for failure in found)
                if max(killed.values()) >= _KILLED_IN_VAIN:
                    raise self._error(command(jobs), outcome, "find out what kills it (dmesg), then run it again")
                self.journal.write(Note(f"{_names(found)} was killed, and is done again", level="warning"))
            else:
                raise self._error(command(jobs), outcome, fix)

    def _drive(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None) -> Outcome:
        place = self.workplace
        outcome = drive(
            command,
            cwd=cwd,
            environment=environment,
            folder=place.folder,
            log=place.log,
            journal=self.journal,
            watch=self.watch,
        )
        if outcome.stopped == "signal":
            raise self.stopped()
        if outcome.stopped == "disk-full":
            raise self.full()
        return outcome

    def _error(self, command: Sequence[str], outcome: Outcome, fix: str) -> OutsideError:
        said = " | ".join(line for failure in _failures(outcome) for line in failure.message.splitlines() if line)
        problem = f"{command[0]} {describe_status(outcome.status)}: {said}"
        return OutsideError(Issue(problem, file=self.workplace.log, fix=fix))

    def stopped(self) -> StoppedError:
        """Return the error of a build that somebody asked to stop."""
        return StoppedError(Issue("the build was asked to stop", file=self.workplace.log, fix=GO_ON))

    def full(self) -> OutOfRoomError:
        """Return the error of a full disk."""
        fix = f"make room there, then {GO_ON}"
        return OutOfRoomError(Issue("the disk is full", file=self.workplace.folder, fix=fix))

    def _too_little_memory(self, found: Sequence[Failure]) -> OutOfRoomError:
        problem = f"{_names(found)} was killed for memory while nothing else was compiled"
        fix = f"add swap (fallocate -l 8G /swapfile; mkswap, swapon) or memory, then {GO_ON}"
        return OutOfRoomError(Issue(problem, file=self.workplace.log, fix=fix))


@contextmanager
def recorded(builder: Builder, title: str, command: str = "") -> Iterator[None]:
    """Write into the journal that a run of ``builder`` begins, by which command of the user's, and how it ends."""
    machine = read_machine()
    journal = builder.journal
    begin = Begin(title, os.getpid(), machine.boot, machine.cpus, machine.memory, builder.jobs, command=command)
    journal.write(begin)
    try:
        with raising(builder.stopped):
            yield
    except (StoppedError, KeyboardInterrupt):
        journal.write(End("interrupted", GO_ON))
        raise
    except DebtoolError as error:
        journal.write(End("failed", str(error)))
        raise
    except OSError as error:
        if error.errno not in DISK_FULL:
            journal.write(End("failed", repr(error)))
            raise
        full = builder.full()
        journal.write(End("failed", str(full)))
        raise full from error
    except BaseException as error:
        journal.write(End("failed", repr(error)))
        raise
    journal.write(End("done", title))


def lowered_jobs(journal: Path, memory: int) -> int | None:
    """Return how many jobs earlier runs with so many bytes of ``memory`` came down to; None if there was no need."""
    if not journal.is_file():
        return None
    lowered = None
    for entry in Reader(journal).new():
        match entry.event:
            case Begin(memory=then) if then != memory:
                lowered = None
            case Limit(jobs=jobs):
                lowered = jobs
    return lowered


def _failures(outcome: Outcome) -> list[Failure]:
    """Return what failed: ninja's steps, or else the command itself, which may call compilers without it."""
    whole = Failure((), "", "\n".join(outcome.lines[-_LAST_LINES:]), outcome.status % 256)
    return failures(outcome.lines) or [replace(whole, code=128 - outcome.status) if outcome.status < 0 else whole]


def _names(found: Sequence[Failure]) -> str:
    names = [output.rpartition("/")[2] for failure in found for output in failure.outputs]
    return ", ".join(names) or "a job"
