"""A small build of PyTorch by the real command, whose processes and folder a test can do harm to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from debtool.build.drive import MARKER
from debtool.build.journal import Begin, Edge, Limit, Note, Phase, Reader
from debtool.build.ninja import output_of
from debtool.build.processes import Process, marked, read_process
from debtool.deb.files import sha256_of
from tests.support.limits import entering, soon

if TYPE_CHECKING:
    from collections.abc import Callable

    from debtool.build.journal import Event

    _EventT = TypeVar("_EventT", bound=Event)

VERSION = "2.6.0"
# The target whose Python runs these tests, so that it is surely there.
TARGET = {(3, 11): "bookworm", (3, 12): "noble", (3, 13): "trixie"}[sys.version_info[:2]]
JOBS = 2

_PROGRAMS = Path(sys.executable).parent
_PATIENCE = 600.0


@dataclass(frozen=True)
class Bench:
    """Where one PyTorch is built: ``debtool torch build`` of ``source`` with the cache ``cache``."""

    source: Path
    cache: Path

    @property
    def folder(self) -> Path:
        """The build's folder."""
        return self.cache / "torch" / f"{TARGET}-{VERSION}-cpu.noavx-free"

    @property
    def tree(self) -> Path:
        """The source tree that is built in."""
        return self.folder / "source"

    @property
    def build(self) -> Path:
        """Where ninja works."""
        return self.tree / "build"

    @property
    def command(self) -> list[str]:
        """What a user types; without a compiler cache, so that what is not compiled again is ninja's merit."""
        what = ["--target", TARGET, "--version", VERSION, "--cpu-only", "--source", str(self.source)]
        how = ["--launcher", "none", "--jobs", str(JOBS), "--no-run", "--plain"]
        return ["debtool", "--cache", str(self.cache), "torch", "build", *what, *how]

    def start(self, command: str | None = None, group: Path | None = None) -> Run:
        """Start the build, or the shell's ``command``, in a session of its own; in control groups' folder ``group``."""
        self.cache.mkdir(parents=True, exist_ok=True)
        output = self.cache.parent / f"{self.cache.name}.out"
        before = entering(group) if group else []
        words = ["sh", "-c", f"exec {command}"] if command else self.command
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [*before, *words],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=self.cache.parent,
                env=_environment(),
                start_new_session=True,
            )
        return Run(self, process, output)

    def status(self) -> dict[str, Any]:
        """Return what ``debtool torch status`` says."""
        command = ["debtool", "--cache", str(self.cache), "torch", "status", "--json"]
        done = subprocess.run(
            command, env=_environment(), cwd=self.cache.parent, capture_output=True, text=True, check=True
        )
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def go_on(self) -> Run:
        """Start what ``status`` says goes on with the build."""
        command = self.status()["go_on"]
        assert command.startswith("debtool ")
        return self.start(command)

    def runs(self) -> list[list[Event]]:
        """Return the journal's events, run by run."""
        found: list[list[Event]] = []
        journal = self.folder / "journal.jsonl"
        for entry in Reader(journal).new() if journal.exists() else ():
            if isinstance(entry.event, Begin):
                found.append([])
            found[-1].append(entry.event)
        return found

    def running(self) -> list[Process]:
        """Return what runs of the build, without debtool itself."""
        return marked(f"{MARKER}={self.folder.resolve()}")

    def quiet(self) -> bool:
        """Return whether nothing of the build runs any more, or ends within seconds."""
        return soon(lambda: not self.running())

    def wheel(self) -> str:
        """Return the SHA-256 of the one wheel that was kept."""
        (wheel,) = self.cache.glob(f"built/{TARGET}/torch-*/*.whl")
        return sha256_of(wheel)

    def copy(self, to: Path) -> None:
        """Copy the build's folder, with the times of its files: ninja goes by them."""
        shutil.rmtree(to, ignore_errors=True)
        subprocess.run(["cp", "--archive", "--reflink=auto", self.folder, to], check=True)

    def clear(self) -> None:
        """Let there be no build."""
        for path in (self.cache / "built", self.folder):
            shutil.rmtree(path, ignore_errors=True)

    def restore(self, copy: Path, *undone: str) -> None:
        """Put a copy of the folder back in its place, without the objects whose names match the patterns ``undone``."""
        self.clear()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--archive", "--reflink=auto", copy, self.folder], check=True)
        for pattern in undone:
            found = [*self.build.rglob(f"{pattern}.o")]
            assert found, pattern
            for path in found:
                path.unlink()


@dataclass(frozen=True)
class Run:
    """One run of the command of a bench."""

    bench: Bench
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def events(self) -> list[Event]:
        """What this run has written into the journal."""
        runs = self.bench.runs()
        return runs[-1] if runs and runs[-1][0].pid == self.process.pid else []  # type: ignore[union-attr]  # begins so

    def all(self, kind: type[_EventT]) -> list[_EventT]:
        """Return its events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def compiled(self) -> list[str]:
        """The objects that it finished, in order."""
        return objects(self.events)

    @property
    def notes(self) -> list[str]:
        """What a person should know."""
        return [note.text for note in self.all(Note)]

    @property
    def limits(self) -> list[int]:
        """To how many jobs it went down."""
        return [limit.jobs for limit in self.all(Limit)]

    def said(self) -> str:
        """Return what it has printed."""
        return self.output.read_text(errors="replace")

    def complaints(self) -> list[str]:
        """Return the errors that it printed, each of which is one line."""
        return [line for line in self.said().splitlines() if line.startswith("debtool: ")]

    def until(self, true: Callable[[], object]) -> None:
        """Wait until ``true()``; the run must not end before."""
        assert soon(lambda: true() or self.process.poll() is not None, _PATIENCE), self.said()
        assert self.process.poll() is None, self.said()

    def until_phase(self, name: str) -> None:
        """Wait until the phase begins."""
        self.until(lambda: name in [phase.name for phase in self.all(Phase)])

    def until_compiled(self, number: int) -> None:
        """Wait until so many objects are finished."""
        self.until(lambda: len(self.compiled) >= number)

    def until_at_work(self, part: str) -> Process:
        """Wait until a compiler works on a file whose name has ``part``; return its process."""
        found: list[Process] = []

        def looking() -> bool:
            found[:] = [one for one in self.bench.running() if one.name == "cc1plus" and part in str(one.arguments)]
            return bool(found)

        self.until(looking)
        return found[0]

    def wait(self) -> int:
        """Return its exit code."""
        return self.process.wait(_PATIENCE)

    def done(self) -> str:
        """Wait for its success, and return the SHA-256 of the wheel."""
        code = self.wait()
        assert code == 0, self.said()
        return self.bench.wheel()

    def kill(self, *, keeper: bool = False) -> list[Process]:
        """Kill debtool, and with ``keeper`` its keeper in the same moment; return what of the build ran then."""
        found = self.bench.running()
        if keeper:
            os.kill(self.process.pid, signal.SIGSTOP)  # lest it sees the keeper die and ends the rest itself
            for process in found:
                if process.parent == self.process.pid:
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        return found

    def clean_up(self) -> None:
        """Leave nothing running, whatever became of the test."""
        if self.process.poll() is None:
            self.kill()
        for process in self.bench.running():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def objects(events: list[Event]) -> list[str]:
    """Return the objects that were finished."""
    edges = (event for event in events if isinstance(event, Edge))
    return [output for edge in edges if (output := output_of(edge.what)).endswith(".o")]


def is_gone(process: Process) -> bool:
    """Return whether a process has ended, whoever has its number now."""
    now = read_process(process.pid)
    return now is None or now.start != process.start


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{_PROGRAMS}:{os.environ['PATH']}"}
