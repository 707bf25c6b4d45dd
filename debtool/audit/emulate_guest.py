"""Runs in the interpreter that a package is tried with, natively or emulated; imports nothing of debtool.

The first line of standard input is the plan, a JSON object:

- ``faults``: the folder for what is known of a process that a signal ended, a file ``<pid>.python`` in it;
- ``preload``: modules that this process imports, so that the processes that it forks need not;
- ``modules``: modules that are imported one after another, in one process as long as it lives;
- ``libraries``: shared libraries below ``site`` that the same process loads after them (dlopen(3));
- ``probes``: a Python file, and the names of functions in it, each to be called in a process of its own;
- ``timeouts``: seconds for an ``import`` and for a ``probe``;
- ``slots``: how many processes may be at work at once.

Each line of the file whose descriptor is the only argument is a JSON object: that a task begins, what became of it, or
which files a process had mapped. The process ends, and all that it forked with it, when standard input ends.

Emulation does not cross execve(2): what a package starts as a program of its own runs on the real CPU. A fork does.
"""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import importlib
import json
import os
import resource
import runpy
import selectors
import signal
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[dict[str, Any]], None]
    Plan = dict[str, Any]
    Work = Callable[[list[str], Say, Plan], None]

_TEXT = 400


class Child:
    """A forked process, and what it said of itself.

    Attributes:
        names: What it has to do, in this order; what is done is taken away.
        work: What does it.
        deadline: When it must have said something, by the monotonic clock.
    """

    def __init__(self, names: list[str], work: Work, plan: Plan) -> None:
        self.names = names
        self.work = work
        self._seconds = plan["timeouts"]["probe" if work is _probe else "import"]
        self._rest = b""
        self.file, end = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.file)
            _be_child(list(names), work, plan, end)
        os.close(end)
        self.begin()

    def begin(self) -> None:
        """Begin to count the seconds."""
        self.deadline = time.monotonic() + self._seconds

    def read(self) -> list[dict[str, Any]] | None:
        """Return what it has said since; None at the end."""
        data = os.read(self.file, 1 << 16)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


def main() -> None:
    """Do what the plan says."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    report = os.fdopen(int(sys.argv[1]), "w")
    plan = json.loads(_first_line())
    _die_with_standard_input()
    _watch(plan)

    def say(message: dict[str, Any]) -> None:
        report.write(json.dumps(message) + "\n")
        report.flush()

    for name in plan["preload"]:
        task = f"import {name}"
        say({"begin": task, "pid": os.getpid()})
        say({"task": task, "pid": os.getpid(), **_try(importlib.import_module, name)})
    _run(plan, say)
    say({"done": True})


def _first_line() -> bytes:
    """Return the first line of standard input, unbuffered: its end is asked for later."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(0, 1 << 16)
        if not data:
            sys.exit(1)
        line += data
    return line


def _die_with_standard_input() -> None:
    """Have the kernel end this process and those that it forks when standard input ends, whatever they are doing."""
    control = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    fcntl.fcntl(control, fcntl.F_SETOWN, -os.getpgrp())
    # SIGIO, at the other end's closing, ends a process that does not expect it (signal(7)).
    fcntl.fcntl(control, fcntl.F_SETFL, fcntl.fcntl(control, fcntl.F_GETFL) | os.O_ASYNC)


def _watch(plan: Plan) -> None:
    """Have the Python stack written when a signal ends this process."""
    file = os.open(f"{plan['faults']}/{os.getpid()}.python", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    faulthandler.enable(file, all_threads=False)


def _work_of(plan: Plan) -> list[tuple[list[str], Work]]:
    """Return what is to be done, each by a process of its own; what takes longest is begun first."""
    waiting: list[tuple[list[str], Work]] = []
    in_turn = [f"import {name}" for name in plan["modules"]] + [f"load {path}" for path in plan["libraries"]]
    if in_turn:
        waiting.append((in_turn, _import))
    return waiting + [([f"probe {name}"], _probe) for name in plan["probes"]["names"]]


def _run(plan: Plan, say: Say) -> None:
    """Do the work in forked processes, as many at once as the plan allows."""
    waiting = _work_of(plan)
    running: list[Child] = []
    selector = selectors.DefaultSelector()
    while waiting or running:
        while waiting and len(running) < plan["slots"]:
            running.append(Child(*waiting.pop(0), plan))
            selector.register(running[-1].file, selectors.EVENT_READ, running[-1])
        over = []
        for key, _ in selector.select(max(0.0, min(child.deadline for child in running) - time.monotonic())):
            child = key.data
            said = child.read()
            if said is None:
                over.append((child, False))
            for message in said or ():
                child.begin()
                if "task" in message:
                    child.names.remove(message["task"])
                say({**message, "pid": child.pid})
        ended = [child for child, _ in over]
        over += [(child, True) for child in running if child.deadline <= time.monotonic() and child not in ended]
        for child, late in over:
            selector.unregister(child.file)
            running.remove(child)
            if rest := _bury(child, say, late=late):
                waiting.insert(0, (rest, child.work))


def _bury(child: Child, say: Say, *, late: bool) -> list[str]:
    """Say how ``child`` ended, unless it did everything; return what is left to be done by another."""
    if late:
        os.kill(child.pid, signal.SIGKILL)
    os.close(child.file)
    _, status = os.waitpid(child.pid, 0)
    if not child.names:
        return []
    task, *rest = child.names
    end = {"timeout": True} if late else {"status": os.waitstatus_to_exitcode(status)}
    say({"task": task, "pid": child.pid, **end})
    # Whatever is below a module needs that module.
    return [name for name in rest if not name.startswith(f"{task}.")]


def _be_child(names: list[str], work: Work, plan: Plan, end: int) -> NoReturn:
    """Do ``work`` in this process, which was forked for it, and end."""

    def say(message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(end, data) :]

    try:
        _watch(plan)
        work(names, say, plan)
        say({"mapped": _mapped()})
        sys.stdout.flush()
    finally:
        os._exit(0)


def _mapped() -> list[str]:
    """Return the files that this process has mapped (proc(5)), their paths without links."""
    with open("/proc/self/maps", errors="surrogateescape") as maps:  # noqa: PTH123 -- little is imported before the package
        fields = (line.rstrip("\n").split(maxsplit=5) for line in maps)
        return sorted({one[5] for one in fields if len(one) > 5 and one[5].startswith("/")})  # noqa: PLR2004


def _import(names: list[str], say: Say, plan: Plan) -> None:
    for task in names:
        say({"begin": task})
        kind, _, name = task.partition(" ")
        if kind == "import":
            say({"task": task, **_try(importlib.import_module, name)})
        else:
            say({"task": task, **_try(ctypes.CDLL, f"{plan['site']}/{name}", os.RTLD_LAZY)})


def _probe(names: list[str], say: Say, plan: Plan) -> None:
    for task in names:
        say({"task": task, **_try(_call, plan["probes"]["file"], task.partition(" ")[2], keep=True)})


def _call(file: str, name: str) -> object:
    """Call function ``name`` of the Python file ``file``."""
    return runpy.run_path(file)[name]()


def _try(function: Callable[..., object], *values: object, keep: bool = False) -> dict[str, Any]:
    """Call ``function`` and return what it gave or raised."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = function(*values)
            return {"value": _plain(value)} if keep else {}
    except BaseException as error:  # noqa: BLE001 -- SystemExit of a module too
        return {"error": type(error).__name__, "text": " ".join(str(error).split())[:_TEXT]}


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON has it: arrays and tensors as lists, complex numbers and bytes as strings."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return [_plain(one) for one in value]


if __name__ == "__main__":
    main()
