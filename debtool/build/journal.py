"""The journal of a long build: a file of one JSON object a line that only grows, so that anybody may read along.

Whoever builds appends; the live view, ``status`` and ``watch`` read, from another terminal or over ssh. A line is one
write(2): a build that is killed leaves at most one torn line, which readers pass over.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

JOURNAL_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Begin:
    """A run begins; a build that was stopped and goes on has several.

    Attributes:
        title: What is built, as people call it: ``torch 2.7.1+rocm6.3.noavx for noble-rocm6.3``.
        pid: The process that builds.
        boot: This boot of the machine (``/proc/sys/kernel/random/boot_id``).
        cpus: Processors that it may use.
        memory: Bytes of memory that it may use.
        jobs: How many jobs run at once at most.
        schema: The version of this format.
        command: What goes on with the build when it was stopped, to be pasted into a shell; "" where nobody said.
    """

    title: str
    pid: int
    boot: str
    cpus: int
    memory: int
    jobs: int
    schema: int = JOURNAL_SCHEMA
    command: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase begins, the ``number``-th of ``of``; the one before it is done.

    Attributes:
        name: ``preflight``, ``source``, ``configure``, ``compile`` …
        kept: Whether it was done by an earlier run, so that there is nothing to do.
    """

    name: str
    number: int
    of: int
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """One step of the generated build (ninja's edge) was finished.

    Attributes:
        done: Steps that are done, as ninja counts.
        total: Steps in all.
        what: ninja's words: ``Building CXX object c10/CMakeFiles/…``.
    """

    done: int
    total: int
    what: str


@dataclass(frozen=True, slots=True)
class Job:
    """A compiler, linker or other tool at work.

    Attributes:
        pid: Its process.
        tool: ``cc1plus``, ``clang``, ``ld``, ``python`` …
        what: What it works on, as far as its arguments say: a source file, else a library, else "".
        seconds: For how long it has been running.
        cpu: Processor seconds that it has used.
        memory: Bytes of memory that it has now (resident).
        paused: Whether it is held until memory is free again.
        waits: Whether it waits for the disk, and uses no processor meanwhile (state D of proc(5)).
    """

    pid: int
    tool: str
    what: str
    seconds: float
    cpu: float
    memory: int
    paused: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine and what is at work, every few seconds.

    Attributes:
        cpu: Part of all processors that was busy since the last sample, 0 to 1.
        build_cpu: Processors that the build itself kept busy since then: 2.0 is two.
        memory_total: Bytes of memory, of the machine or of the control group that the build is in.
        memory_available: Bytes that can be had without swapping.
        swap_total: Bytes of swap.
        swap_used: Bytes of it in use.
        some_pressure: Percent of the last 10 s in which something waited for memory (PSI ``some avg10``); None: no PSI.
        full_pressure: The same for everything at once (``full avg10``).
        disk_free: Bytes that are free where the build is.
        temperature: The hottest processor sensor in degrees Celsius; None where none can be read.
        jobs: What is at work, longest first.
    """

    cpu: float
    build_cpu: float
    memory_total: int
    memory_available: int
    swap_total: int
    swap_used: int
    some_pressure: float | None
    full_pressure: float | None
    disk_free: int
    temperature: float | None
    jobs: tuple[Job, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """From now on ``jobs`` jobs run at once at most, and ``why``."""

    jobs: int
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person should know; a ``warning`` asks for a look."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True)
class End:
    """A run ended.

    Attributes:
        status: ``done``, ``failed`` or ``interrupted``.
        text: The result's name, or what went wrong.
    """

    status: Literal["done", "failed", "interrupted"]
    text: str


Event: TypeAlias = Begin | Phase | Edge | Sample | Limit | Note | End

_KINDS: dict[str, type[Event]] = {
    "begin": Begin,
    "phase": Phase,
    "edge": Edge,
    "sample": Sample,
    "limit": Limit,
    "note": Note,
    "end": End,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and when it was, in seconds since 1970-01-01 UTC."""

    time: float
    event: Event


def encode(entry: Entry) -> bytes:
    r"""Return the journal's line for ``entry``.

    >>> encode(Entry(1.5, Note("it goes on")))
    b'{"t": 1.5, "kind": "note", "text": "it goes on", "level": "info"}\n'
    """
    values = {"t": round(entry.time, 3), "kind": _NAMES[type(entry.event)], **dataclasses.asdict(entry.event)}
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"


def decode(line: bytes) -> Entry | None:
    """Return the entry of a line; None if it is torn, or of a kind that a newer debtool has written.

    >>> decode(b'{"t": 1.5, "kind": "edge", "done": 1, "total": 2, "what": "Linking C executable a"}')
    Entry(time=1.5, event=Edge(done=1, total=2, what='Linking C executable a'))
    >>> decode(b'{"t": 1.5, "ki')
    """
    try:
        values: dict[str, Any] = json.loads(line.decode("utf-8", "surrogateescape"))
        moment = float(values.pop("t"))
        kind = _KINDS[values.pop("kind")]
        known = {field.name for field in dataclasses.fields(kind)}
        given = {name: value for name, value in values.items() if name in known}
        if kind is Sample:
            given["jobs"] = tuple(Job(**job) for job in given.get("jobs", ()))
        return Entry(moment, kind(**given))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Journal:
    """The file, opened for appending by the one process that builds; a context manager.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            with suppress(OSError):  # as in `write`
                os.write(self._descriptor, b"\n")  # ends what a killed run left torn

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def write(self, event: Event, *, at: float | None = None) -> None:
        """Append ``event``, which is now if not ``at`` another time.

        A full disk loses journal lines and nothing else: the build's own errors say what is wrong.
        """
        try:
            os.write(self._descriptor, encode(Entry(time.time() if at is None else at, event)))
        except OSError:
            return


class Reader:
    """Reads a journal from its beginning, and then what has been added since.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new(self) -> Iterator[Entry]:
        """Yield the entries that were completed since the last call."""
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                if (entry := decode(line)) is not None:
                    yield entry
