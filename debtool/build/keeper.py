"""Runs a command and answers for everything that it starts: when the command or whoever asked for it ends, all ends.

A program of its own (``keeper.py LIFELINE COMMAND ARGUMENT …``), because it must outlive a debtool that is killed: the
file descriptor LIFELINE is a pipe's end that debtool holds the other of, and end-of-file there means that debtool is
gone. It adopts what the command's own children leave behind (prctl(2), PR_SET_CHILD_SUBREAPER).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
_FORWARDED = (signal.SIGINT, signal.SIGTERM)
_NOT_STARTED = 127


def main() -> int:
    """Run the command and return its exit status, the negative number of a signal that ended it, as subprocess does."""
    lifeline, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGCHLD, *_FORWARDED):
        signal.signal(number, lambda *_: None)
    try:
        child = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_CLOSE, lifeline)],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 -- into the build's log
        return _NOT_STARTED
    status = _attend(child, lifeline, told)
    _end_all()
    return status


def _attend(child: int, lifeline: int, told: int) -> int:
    """Wait until ``child`` has ended or the lifeline has; pass on the signals that end programs."""
    while True:
        readable, _, _ = select.select([lifeline, told], [], [])
        if told in readable:
            for number in os.read(told, 512):
                if number in _FORWARDED:
                    with suppress(ProcessLookupError):
                        os.killpg(child, number)
        for pid, status in _reaped():
            if pid == child:
                return os.waitstatus_to_exitcode(status)
        if lifeline in readable:
            return -signal.SIGKILL


def _reaped() -> list[tuple[int, int]]:
    """Take every child that has ended, adopted ones too."""
    found = []
    with suppress(ChildProcessError):
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(one)
    return found


def _end_all() -> None:
    """Kill and reap until no child is left; killed ones' children become this process's."""
    with suppress(ChildProcessError):
        while True:
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    own = os.getpid()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 -- pathlib would be most of the start-up time
        with suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 -- likewise
            # proc_pid_stat(5): the name, in parentheses, may hold anything; the parent is the second field after it.
            if int(stream.read().rpartition(")")[2].split()[1]) == own:
                found.append(int(name))
    return found


if __name__ == "__main__":
    ending = main()
    if ending < 0:
        signal.signal(-ending, signal.SIG_DFL) if -ending != signal.SIGKILL else None
        os.kill(os.getpid(), -ending)
    sys.exit(ending)
