"""What ninja says and leaves: its status lines, failures and their causes, its log, and files that are not whole.

The formats are those of ninja's own source: ``status_printer.cc`` and ``build_log.cc`` (versions 5 to 7 of the log).
"""

from __future__ import annotations

import os
import re
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from debtool.build.journal import Edge
from debtool.deb.ar import MAGIC, members
from debtool.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Why: TypeAlias = Literal["killed", "disk-full", "memory", "error"]

_MOST_LINES = 20
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_STATUS = re.compile(r"\s*\[\s*(?P<done>\d+)/(?P<total>\d+)(?:[ |][^\]]*)?\]\s+(?P<what>\S.*)")
_OUTPUT = re.compile(
    r"(?:Building|Linking|Compiling|Generating|Creating)\s"
    r"(?:library symlink \S+\s|.*?\b(?:object|executable|library|module|bundle|target)\s)?"
    r"(?P<output>\S.*?)(?:, .*| with a custom command)?"
)
_FAILED = re.compile(r"\s*FAILED: (?:\[code=(?P<code>-?\d+)\] )?(?P<outputs>\S.*)")
_NINJA = re.compile(r"\s*ninja: ")


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed.

    Attributes:
        outputs: What it should have made.
        command: What it ran.
        message: What it said, from the first line on that tells the cause; 20 lines at most, "" if it said nothing.
        code: What it exited with, as a shell has it (137: killed by signal 9); None of a ninja older than 1.13.
    """

    outputs: tuple[str, ...]
    command: str
    message: str
    code: int | None = None


def parse_status(line: str) -> Edge | None:
    r"""Return the step that a line tells of, None if it tells of none.

    In a terminal ninja writes one over the other; the last one counts. CMake's makefiles count percents, not steps.

    >>> parse_status("[5748/8642 12.3] Building HIPCC object a_generated_b.hip.o")
    Edge(done=5748, total=8642, what='Building HIPCC object a_generated_b.hip.o')
    >>> parse_status("\r[0/2] Building C object a.o\x1b[K\r[1/2] Linking C executable a\x1b[K")
    Edge(done=1, total=2, what='Linking C executable a')
    >>> parse_status("[ 12%] Building C object a.o")
    """
    for part in reversed(plain(line).split("\r")):
        if (match := _STATUS.fullmatch(part.rstrip())) is not None:
            done, total = int(match["done"]), int(match["total"])
            return Edge(done, total, match["what"]) if done <= total and total else None
    return None


def output_of(what: str) -> str:
    """Return the path in ninja's words, as the log has it, the first of several; else the words.

    >>> output_of("Linking CXX shared library lib/libc10.so"), output_of("Generating ../a.h")
    ('lib/libc10.so', '../a.h')
    >>> output_of("Compiling C object core/a.so.p/b.c.o"), output_of("Running utility command for x")
    ('core/a.so.p/b.c.o', 'Running utility command for x')
    """
    match = _OUTPUT.fullmatch(what)
    return match["output"] if match else what


def read_log(path: Path) -> dict[str, float]:
    """Return the seconds that each output took, of its last record in ``.ninja_log``; {} if there is no such file.

    A record is start and end in milliseconds of its run, the output's time stamp, its name, and a hash of the command.
    What is no such record is passed over: the header, and what a killed ninja left torn.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return {}
    taken: dict[str, float] = {}
    for line in text.split("\n"):
        match line.split("\t"):
            case [start, end, _, output, hashed] if start.isdecimal() and end.isdecimal() and output and hashed:
                taken[output] = max(0, int(end) - int(start)) / 1000
    return taken


def failures(lines: Iterable[str]) -> list[Failure]:
    """Return the steps that failed, from what ninja printed."""
    found: list[Failure] = []
    block: list[str] | None = None
    head: re.Match[str] | None = None
    for line in (*map(plain, lines), "ninja: end"):
        text = line.rstrip().rpartition("\r")[2]
        failed = _FAILED.fullmatch(text)
        if failed is None and parse_status(line) is None and not _NINJA.match(text):
            if block is not None:
                block.append(text)
            continue
        if head is not None and block is not None:
            found.append(_failure(head, block))
        head, block = (failed, []) if failed is not None else (None, None)
    return found


def _failure(head: re.Match[str], block: list[str]) -> Failure:
    command, said = (block[0], block[1:]) if block else ("", [])
    message = "\n".join(said[_begin(said) :][:_MOST_LINES]).strip("\n")
    code = None if head["code"] is None else int(head["code"])
    return Failure(tuple(head["outputs"].split()), command, message, code)


# What compilers, linkers and shells print; those with "real" were made to print it (gcc 12, clang 14, binutils 2.40).
_CAUSES: tuple[tuple[Why, re.Pattern[str]], ...] = (
    # real: "as: can't write … 'No space left on device'", "ld: final link failed: …", clang's "IO failure on output …"
    ("disk-full", re.compile(r"No space left on device|Disk quota exceeded")),
    (
        "killed",
        re.compile(
            r"(?:Killed|Terminated) signal terminated program"  # real: gcc
            r"|internal compiler error: Killed \(program"  # gcc before 8
            r"|terminated with signal (?:9|15)\b"  # real: collect2
            r"|unable to execute command: (?:Killed|Terminated)"  # real: clang
            r"|died due to signal (?:9|15)\b"  # nvcc
            r"|^(?:Killed|Terminated)$"  # real: dash
            r"|^\S+: (?:line )?\d+: +\d+ (?:Killed|Terminated)\b"  # bash
            r"|\bsignal: 9, SIGKILL|<Signals\.SIGKILL: 9>"  # cargo; Python's subprocess
            r"|^g?make(?:\[\d+\])?: \*\*\* \[.*\] (?:Killed|Terminated|Error 137)$"
        ),
    ),
    (
        "memory",
        re.compile(
            r"(?:^|: )out of memory(?: allocating \d+ bytes|$)"  # real: cc1plus; real: "LLVM ERROR: out of memory"
            r"|\bCannot allocate memory\b"  # real: "virtual memory exhausted: …"; also of fork(2)
            r"|\bmemory exhausted\b"  # real: ld
            r"|: failed to map segment from shared object$"  # real: ld.so
            r"|'std::bad_alloc'|\bwhat\(\): +std::bad_alloc|^(?:\S+: )*std::bad_alloc"
            r"|^MemoryError\b"  # Python
        ),
    ),
)
_ERROR = re.compile(
    r"\b(?:error|fatal|Error|ERROR|FATAL)\b ?[:\[(]|undefined reference to|multiple definition of|^Traceback \(|"
    r"\bnot found\b|No such file|cannot find"
)
# A line of the source that gcc or clang quotes below its message says nothing of the build.
_QUOTED = re.compile(r"\s*\d* \|")
_BY_SIGNAL = frozenset({128 + 9, 128 + 15})


def _begin(said: list[str]) -> int:
    """Return the index of the first line that tells the cause; 0 if none does."""
    told = [index for index, line in enumerate(said) if not _QUOTED.match(line)]
    causes = (index for index in told if _cause(said[index]) != "error")
    errors = (index for index in told if _ERROR.search(said[index]))
    return next(causes, next(errors, 0))


def why(failure: Failure) -> Why:
    """Return why a step failed: it was killed, the disk or the memory was not enough, or there is an error in it.

    A step that was killed may say nothing at all, where the shell has made way for the compiler (bash does).
    """
    first = failure.message.partition("\n")[0]
    cause = _cause(first)
    return "killed" if cause == "error" and failure.code in _BY_SIGNAL else cause


def _cause(line: str) -> Why:
    return next((cause for cause, pattern in _CAUSES if pattern.search(line)), "error")


def plain(line: str) -> str:
    r"""Return a line without colours and what else moves a terminal's cursor.

    >>> plain("\x1b[31mFAILED: \x1b[0ma.o")
    'FAILED: a.o'
    """
    return _COLOURS.sub("", line)


_COMPILED = re.compile(r".+\.(?:o|obj|lo|a|so(?:\.\d+)*|rlib)")
# Seconds from a file's last change of contents (mtime) to its arrival in this place (ctime) that say it was brought.
_BROUGHT = 3600.0

_HEAD = 64
_ELF = b"\x7fELF"
_THIN = b"!<thin>\n"
# Of the ELF header (gABI, "ELF Header"), by class: 32 and 64 bits. Type; offset of the section headers; their size
# and number.
_FIELDS = {1: ("16xH14xI", "46xHH"), 2: ("16xH22xQ", "58xHH")}
# Where a section header has the section's size, for files of more than 65,279 sections (gABI, "Section Header").
_SIZE_FIELD = {1: ("I", 20), 2: ("Q", 32)}
_RELOCATABLE = 1


def remove_torn(build: Path) -> list[Path]:
    """Remove the objects, archives, libraries and programs below ``build`` that are not whole; return what they were.

    An unclean stop (a power loss, SIGKILL) leaves them. A file that ninja has no record of is made again, but after a
    power loss the log may be on the disk and the file not; and make, setuptools and cargo look at time stamps alone.

    Not whole is an empty file, one that begins with zeros (room that the file system gave and never filled), an ELF
    file whose section headers are not there, and an ar archive that ends within a member. What was unpacked or copied
    there keeps its old date and is left alone: a source may have broken files on purpose. Links are not followed.
    Reads some bytes of each file.
    """
    torn = [path for path in _compiled(build) if _is_torn(path)]
    for path in torn:
        path.unlink(missing_ok=True)
    return torn


def _compiled(build: Path) -> Iterator[Path]:
    """Yield the files that were made here by a compiler, by their names."""
    for folder, below, names in os.walk(build):
        below.sort()
        for name in sorted(names):
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                status = path.lstat()
                program = "." not in name and status.st_mode & 0o111
                made_here = status.st_ctime - status.st_mtime < _BROUGHT
                if stat.S_ISREG(status.st_mode) and made_here and (_COMPILED.fullmatch(name) or program):
                    yield path


def _is_torn(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # another user's, or gone
    try:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, _HEAD, 0)
        if head.startswith(_ELF):
            return _elf_torn(descriptor, head, size)
        if head.startswith(MAGIC):
            return _archive_torn(path)
        # Other kinds (LLVM's bitcode, clang's offload bundles, scripts) are whole as far as can be told; what is
        # shorter than a magic number is the beginning of something.
        return not head.rstrip(b"\0") or any(kind.startswith(head) for kind in (_ELF, MAGIC, _THIN) if head != kind)
    finally:
        os.close(descriptor)


def _elf_torn(descriptor: int, head: bytes, size: int) -> bool:
    kind = head[4] if len(head) == _HEAD else 0
    if kind not in _FIELDS:
        return True
    order = ">" if head[5] == 2 else "<"  # noqa: PLR2004 -- ELFDATA2MSB
    type_, table = struct.unpack_from(order + _FIELDS[kind][0], head)
    length, number = struct.unpack_from(order + _FIELDS[kind][1], head)
    if table == 0:
        # A program may do without, an object may not: the linker reads nothing else.
        return bool(type_ == _RELOCATABLE)
    if number == 0:
        form, place = _SIZE_FIELD[kind]
        first = os.pread(descriptor, length, table)
        if len(first) < length or length < place + struct.calcsize(form):
            return True
        (number,) = struct.unpack_from(order + form, first, place)
    end = table + length * number
    if end > size:
        return True
    # The table is the last thing that is written; its last entry is never empty, unless it never came to the disk.
    return number > 1 and not os.pread(descriptor, length, end - length).strip(b"\0")


def _archive_torn(path: Path) -> bool:
    with path.open("rb", buffering=0) as stream:
        try:
            for _ in members(stream, path=path):
                pass
        except InputError:
            return True
    return False
