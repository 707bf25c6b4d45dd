"""The processes of a build, read from /proc (proc_pid_stat(5)): what runs, what it used, and holding or ending it."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.command_line import work_of
from debtool.build.journal import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PROC = Path("/proc")

TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks a second, in which the kernel tells times of processes."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_GONE = "ZX"
# After SIGKILL a process is gone as soon as the kernel lets go of it; a disk may hold it up.
_KILL_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was when it was read.

    Attributes:
        pid: Its number, which another process may have once it is gone.
        parent: Its parent's number.
        start: When it was started, in clock ticks since boot: with the number, it names the process for good.
        state: A letter: ``R`` runs, ``S`` sleeps, ``D`` waits for a disk, ``T`` is held, ``Z`` has ended.
        name: Its program's name, 15 bytes at most.
        arguments: Its command line.
        cpu: Processor seconds that it has used.
        children_cpu: The same of its children that have ended and that it has waited for, and of theirs.
        memory: Bytes of memory that it has (resident).
        uid: The user that it runs as.
        children: How many living children it had; ``below`` tells it, and otherwise it is 0.
    """

    pid: int
    parent: int
    start: int
    state: str
    name: str
    arguments: tuple[str, ...]
    cpu: float
    children_cpu: float
    memory: int
    uid: int
    children: int = 0


def uptime() -> float:
    """Return seconds since boot, of the clock that processes' start times are of."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_process(pid: int) -> Process | None:
    """Return a process, None if there is none of that number or it has ended."""
    with _opened(pid) as folder:
        return None if folder is None else _read(pid, folder)


def below(pid: int) -> list[Process]:
    """Return all living descendants of ``pid``, parents before children; one reading of /proc.

    A process whose parent has ended belongs to another one by then (the nearest child subreaper, else process 1).
    """
    children: dict[int, list[int]] = {}
    for number in _numbers():
        with _opened(number) as folder:
            if folder is not None and (found := _stat(folder)) is not None:
                children.setdefault(int(found[1][1]), []).append(number)
    order = [pid]
    for parent in order:
        order += children.get(parent, [])
    found_all = ((number, read_process(number)) for number in order[1:])
    return [replace(one, children=len(children.get(number, []))) for number, one in found_all if one is not None]


def job_of(process: Process, now: float | None = None) -> Job | None:
    """Return what ``process``, which ``below`` found, works on; None if it is no compiler, linker or other worker.

    One with a child waits for that: a clang that compiles for several processors, a Python that runs ninja, a linker
    whose plug-in compiles. ``now`` is ``uptime()``, read if it is not given.
    """
    work = None if process.children else work_of(process.name, process.arguments)
    if work is None:
        return None
    tool, what = work
    return Job(
        pid=process.pid,
        tool=tool,
        what=what,
        seconds=round(max(0.0, (uptime() if now is None else now) - process.start / TICKS), 1),
        cpu=process.cpu,
        memory=process.memory,
        paused=process.state == "T",
        waits=process.state == "D",
    )


def marked(marker: str) -> list[Process]:
    """Return this user's processes that were started with the variable ``marker`` (``NAME=VALUE``), this one left out.

    Children inherit it and nothing else changes it, so that what a killed build left behind is found, whoever its
    parent is now.
    """
    found = []
    wanted = os.fsencode(marker)
    for pid in _numbers():
        with _opened(pid) as folder:
            if folder is None or pid == os.getpid() or os.fstat(folder).st_uid != os.geteuid():
                continue
            if wanted in _content(folder, "environ").split(b"\0") and (process := _read(pid, folder)) is not None:
                found.append(process)
    return found


def cpu_seconds(processes: Iterable[Process]) -> float:
    """Return what ``processes`` and the children that they have waited for have used, in processor seconds.

    Given a build's first process and all below it, this grows as the build works: a compiler that ends hands its time
    to the parent that waits for it, and so on up to the first one. What a process used that ends between the readings
    of its own and of its parent's numbers is missed once, or counted twice once; and if nobody waits for it, lost.
    """
    return sum(process.cpu + process.children_cpu for process in processes)


def pause(processes: Iterable[Process]) -> list[Process]:
    """Hold single processes (SIGSTOP), and return those that were there to be held."""
    return [process for process in processes if _signal(process, signal.SIGSTOP)]


def resume(processes: Iterable[Process]) -> list[Process]:
    """Let held processes go on (SIGCONT), and return those that were there."""
    return [process for process in processes if _signal(process, signal.SIGCONT)]


def end(processes: Sequence[Process], patience: float) -> list[Process]:
    """End ``processes``: with SIGTERM, and those that have not ended after ``patience`` seconds with SIGKILL.

    Without patience, it is SIGKILL at once. Returns those that are left even then: another user's, or in the middle of
    what cannot be interrupted.
    """
    left = list(processes)
    if patience > 0:
        for process in left:
            _signal(process, signal.SIGTERM)
            _signal(process, signal.SIGCONT)  # one that is held does not notice the other
        left = _wait(left, patience)
    for process in left:
        _signal(process, signal.SIGKILL)
    return _wait(left, _KILL_PATIENCE) if left else []


def _wait(processes: Iterable[Process], patience: float) -> list[Process]:
    """Wait until ``processes`` have ended, ``patience`` seconds at most, and return those that have not."""
    until = time.monotonic() + patience
    left = []
    for process in processes:
        with _handle(process) as handle:
            if handle is None:
                continue
            poll = select.poll()
            poll.register(handle, select.POLLIN)  # readable once it has ended (pidfd_open(2))
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                left.append(process)
    return left


def _signal(process: Process, number: signal.Signals) -> bool:
    with _handle(process) as handle:
        if handle is None:
            return False
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(handle, number)
            return True
        return False


@contextmanager
def _handle(process: Process) -> Iterator[int | None]:
    """Yield a descriptor that names ``process`` and no later one of its number; None if it is gone.

    The number is looked up first and compared then: what the descriptor names cannot change any more.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        yield None
        return
    try:
        now = read_process(process.pid)
        yield handle if now is not None and now.start == process.start else None
    finally:
        os.close(handle)


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208 -- thousands, every few seconds


@contextmanager
def _opened(pid: int) -> Iterator[int | None]:
    """Yield a descriptor of a process's folder, whose files are all of that process or cannot be read; None if none."""
    try:
        folder = os.open(PROC / str(pid), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield None
        return
    try:
        yield folder
    finally:
        os.close(folder)


def _content(folder: int, name: str) -> bytes:
    """Return a file's bytes; none if the process is gone or is another user's."""
    try:
        with open(os.open(name, os.O_RDONLY, dir_fd=folder), "rb") as stream:  # noqa: PTH123 -- a descriptor
            return stream.read()
    except OSError:
        return b""


def _stat(folder: int) -> tuple[str, list[str]] | None:
    """Return the name and the fields from the third on; None if the process has ended.

    The name stands in parentheses and may have spaces and parentheses itself.
    """
    before, bracket, after = _content(folder, "stat").decode("utf-8", "replace").rpartition(")")
    fields = after.split()
    return (before.partition("(")[2], fields) if bracket and fields[0] not in _GONE else None


def _read(pid: int, folder: int) -> Process | None:
    if (found := _stat(folder)) is None:
        return None
    name, fields = found
    # Numbered from 1 in proc_pid_stat(5): these begin with the third.
    used, system, children_used, children_system = (int(field) for field in fields[11:15])
    return Process(
        pid=pid,
        parent=int(fields[1]),
        start=int(fields[19]),
        state=fields[0],
        name=name,
        arguments=tuple(os.fsdecode(_content(folder, "cmdline")).removesuffix("\0").split("\0")),
        cpu=(used + system) / TICKS,
        children_cpu=(children_used + children_system) / TICKS,
        memory=int(fields[21]) * _PAGE,
        uid=os.fstat(folder).st_uid,
    )
