"""Python as it runs on another CPU: under QEMU's user-mode emulator, in an environment of its own, and watched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debtool.deb.files import replace_file
from debtool.model.errors import InputError, Issue, OutsideError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from debtool.audit.baselines import Baseline

GUEST = Path(__file__).with_name("emulate_guest.py")
"""What runs in the interpreter that is watched."""

REPORTER = Path(__file__).with_name("emulate_reporter.c")
"""What says where an instruction was met that the CPU does not have."""

_FLAGS = ("-shared", "-fPIC", "-O1", "-mgeneral-regs-only", "-Wl,-z,defs")
_POLL = 0.2  # seconds between looks at whether the user has had enough


@dataclass(frozen=True, slots=True)
class Emulator:
    """QEMU's user-mode emulator with one model of a CPU.

    Attributes:
        program: The program.
        version: Its name and version, as verdicts tell them.
        cpu: The model.
    """

    program: Path
    version: str
    cpu: str

    def command(self, reporter: Path) -> list[str]:
        """Return what goes before a command so that it is emulated, with ``reporter`` preloaded into it alone."""
        return [str(self.program), "-cpu", self.cpu, "-E", f"LD_PRELOAD={reporter}"]


def find_emulator(baseline: Baseline) -> Emulator:
    """Return the emulator of ``baseline``'s CPU.

    Raises:
        InputError: The baseline has no model.
        OutsideError: The emulator is not installed, or does not know the model.
    """
    if baseline.qemu is None:
        fix = "take one with a model: see docs/audit.md"
        raise InputError(Issue(f"the emulator has no CPU like {baseline.title}", field="--cpu", fix=fix))
    found = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if found is None:
        raise OutsideError(Issue("qemu-x86_64, the emulator, is not installed", fix="apt install qemu-user"))
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\S+)", told)
    known = subprocess.run([found, "-cpu", "help"], capture_output=True, text=True, check=False).stdout
    if version is None or baseline.qemu not in known.split():
        problem = f"{found} has no CPU model {baseline.qemu}"
        raise OutsideError(Issue(problem, fix="apt install qemu-user, version 7.2 or later"))
    return Emulator(Path(found), f"qemu-x86_64 {version[1]}", baseline.qemu)


def build_reporter(cache: Path) -> Path:
    """Return the library that reports faults, compiled below ``cache`` unless it is there.

    Raises ``OutsideError`` if there is no compiler or it fails.
    """
    source = REPORTER.read_bytes()
    digest = hashlib.sha256(b"\0".join([source, *(flag.encode() for flag in _FLAGS)])).hexdigest()
    library = cache / "gate" / f"reporter-{digest[:16]}.so"
    if library.is_file():
        return library
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise OutsideError(Issue("there is no C compiler, which the fault reporter needs", fix="apt install gcc"))
    library.parent.mkdir(parents=True, exist_ok=True)
    scratch = library.with_name(f".{library.name}.{os.getpid()}.tmp")
    try:
        command = [compiler, *_FLAGS, "-o", str(scratch), str(REPORTER), "-ldl"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            problem = f"{compiler} does not compile it: {' | '.join(run.stderr.splitlines()[-5:])}"
            raise OutsideError(Issue(problem, file=REPORTER, fix="apt install gcc libc6-dev"))
        replace_file(library, scratch.read_bytes())
    finally:
        scratch.unlink(missing_ok=True)
    return library


def clean_environment(home: Path, faults: Path) -> dict[str, str]:
    """Return the variables of a process that is tried: nothing is inherited.

    OPENBLAS_CORETYPE, ATEN_CPU_CAPABILITY and their like choose code for a CPU whatever the CPU says, and there is a
    new one in every library: so none of the user's is kept. One thread is what a process is forked with safely.
    """
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "DEBTOOL_FAULTS": str(faults),
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a guest has to do; see ``emulate_guest.py``.

    Attributes:
        preload: The modules that are imported first.
        modules: Those that are imported after them, in this order.
        site: The folder that the package is installed in.
        libraries: The shared libraries that are loaded, relative to it.
        probe_file: The file that the probes are in, None if there are none.
        probes: The names of the probes.
        import_seconds: How long one import, or loading one library, may take.
        probe_seconds: How long one probe may take.
        slots: How many processes work at once.
        programs: Programs that are asked for their version after everything else, one after another.
    """

    preload: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    site: Path = Path("/")
    libraries: tuple[str, ...] = ()
    probe_file: Path | None = None
    probes: tuple[str, ...] = ()
    import_seconds: float = 120
    probe_seconds: float = 120
    slots: int = 2
    programs: tuple[Path, ...] = ()

    @property
    def tasks(self) -> list[str]:
        """What is done, as replies name it."""
        tasks = [f"import {name}" for name in (*self.preload, *self.modules)]
        tasks += [f"load {path}" for path in self.libraries]
        tasks += [f"probe {name}" for name in self.probes]
        return tasks + [asking(program) for program in self.programs]


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a task.

    Attributes:
        task: ``import MODULE``, ``load LIBRARY``, ``probe NAME`` or ``run PROGRAM --version``.
        pid: The process that did it.
        error: The type of the exception, empty if there was none.
        text: The exception's text.
        value: What a probe returned, as JSON has it.
        status: What the process ended with in the middle of it: minus a signal's number, or an exit code; else None.
        timeout: Whether it took too long.
    """

    task: str
    pid: int
    error: str = ""
    text: str = ""
    value: Any = None
    status: int | None = None
    timeout: bool = False

    @property
    def done(self) -> bool:
        """Whether it was done as it should be."""
        return not self.error and self.status is None and not self.timeout


@dataclass(slots=True)
class Guest:
    """One run of a plan, native or emulated.

    Attributes:
        prefix: What goes before a command: the emulator with its options, nothing natively.
        python: The interpreter.
        folder: A folder of its own, for its home, its output and what is known of its faults.
        replies: What became of each task.
        mapped: The files that were loaded: absolute, without links.
    """

    prefix: Sequence[str]
    python: Path
    folder: Path
    replies: dict[str, Reply] = field(default_factory=dict)
    mapped: set[str] = field(default_factory=set)

    @property
    def faults(self) -> Path:
        """Where reporter and faulthandler write, a file for each process."""
        return self.folder / "faults"

    @property
    def output(self) -> Path:
        """What it printed."""
        return self.folder / "output"

    def run(
        self, plan: Plan, cancelled: threading.Event, watch: Callable[[Reply], None] | None = None
    ) -> dict[str, Reply]:
        """Do what ``plan`` says and return the replies by task; what it did not come to has none.

        Nothing that it started is left when this returns or raises.
        """
        home = self.folder / "home"
        home.mkdir(parents=True)
        self.faults.mkdir()
        receive, send = os.pipe()
        try:
            with self.output.open("wb") as output:
                process = subprocess.Popen(
                    [*self.prefix, str(self.python), "-I", "-B", str(GUEST), str(send)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=home,
                    env=clean_environment(home, self.faults),
                    pass_fds=[send],
                    start_new_session=True,
                )
        finally:
            os.close(send)
        try:
            self._tell(process, plan)
            self._listen(process, receive, plan, cancelled, watch)
        finally:
            os.close(receive)
            _end(process)
        for program in plan.programs:
            if not cancelled.is_set():
                self._take(self._ask(program, home, plan.probe_seconds, cancelled), watch)
        return self.replies

    def _ask(self, program: Path, home: Path, seconds: float, cancelled: threading.Event) -> dict[str, Any]:
        """Ask a program for its version, and return what became of it."""
        with (self.folder / "answer").open("w+b") as answer:
            process = subprocess.Popen(
                [*self.prefix, str(program), "--version"],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=clean_environment(home, self.faults),
                start_new_session=True,
            )
            end = time.monotonic() + seconds
            try:
                while process.poll() is None and time.monotonic() < end and not cancelled.is_set():
                    time.sleep(_POLL)
                status = process.poll()
            finally:
                _end(process)
            answer.seek(0)
            value = answer.read(1 << 16).decode("utf-8", "replace")
        told = {"timeout": True} if status is None else {"status": status} if status else {"value": value}
        return {"task": asking(program), "pid": process.pid, **told}

    def _tell(self, process: subprocess.Popen[bytes], plan: Plan) -> None:
        orders = {
            "faults": str(self.faults),
            "preload": plan.preload,
            "modules": plan.modules,
            "site": str(plan.site),
            "libraries": plan.libraries,
            "probes": {"file": str(plan.probe_file or ""), "names": plan.probes},
            "timeouts": {"import": plan.import_seconds, "probe": plan.probe_seconds},
            "slots": plan.slots,
        }
        assert process.stdin is not None  # noqa: S101 -- asked for above
        with contextlib.suppress(BrokenPipeError):  # it died at once, which listening finds out
            process.stdin.write(json.dumps(orders).encode() + b"\n")
            process.stdin.flush()

    def _listen(
        self,
        process: subprocess.Popen[bytes],
        receive: int,
        plan: Plan,
        cancelled: threading.Event,
        watch: Callable[[Reply], None] | None,
    ) -> None:
        """Take replies until it is done, dead, or silent for too long."""
        silence = max(plan.import_seconds, plan.probe_seconds) * 1.5 + 30
        rest, begun = b"", None
        last = time.monotonic()
        while not cancelled.is_set():
            if not select.select([receive], [], [], _POLL)[0]:
                if time.monotonic() - last > silence:
                    break
                continue
            data = os.read(receive, 1 << 16)
            last = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            for message in map(json.loads, lines):
                if message.pop("done", False):
                    return
                if "mapped" in message:
                    self.mapped.update(message["mapped"])
                    continue
                if "begin" in message:
                    begun = message if message["pid"] == process.pid else None
                    continue
                self._take(message, watch)
                begun = None
            if not data:
                break
        if begun is not None and not cancelled.is_set():
            late = process.poll() is None and time.monotonic() - last > silence
            end = {"timeout": True} if late else {"status": process.wait()}
            self._take({"task": begun["begin"], "pid": process.pid, **end}, watch)

    def _take(self, message: Mapping[str, Any], watch: Callable[[Reply], None] | None) -> None:
        reply = Reply(**message)
        self.replies[reply.task] = reply
        if watch is not None:
            watch(reply)


def asking(program: Path) -> str:
    """Return the task of asking a program for its version, as replies name it."""
    return f"run {program.name} --version"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End ``process`` and everything in its session's process group, which it leads, and wait for it."""
    with contextlib.suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    process.wait()
