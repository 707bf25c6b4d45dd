"""Disks and control groups of a test's own, as small as it likes; making them needs root."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from debtool.build.control_group import MemoryGroup, memory_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SETTLING = 30.0
_LARGE = 64 * 2**30


def soon(true: Callable[[], object], seconds: float = _SETTLING) -> bool:
    """Return whether ``true()`` holds within so many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def small_disk(place: Path) -> Iterator[Callable[[int | None], None]]:
    """Mount a disk at ``place``, large as it seems; yield what leaves so many bytes free, None for large again."""
    place.mkdir(parents=True, exist_ok=True)

    def leave(free: int | None) -> None:
        # Refused if the build has written more meanwhile.
        assert soon(lambda: _sized(place, _LARGE if free is None else _used(place) + free))

    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_LARGE}", "tmpfs", place], check=True)
    try:
        yield leave
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _used(place: Path) -> int:
    facts = os.statvfs(place)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def _sized(place: Path, size: int) -> bool:
    command = ["mount", "-o", f"remount,size={size}", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def memory_group(name: str) -> Iterator[MemoryGroup | None]:
    """Make a control group that accounts for memory, without a limit so far; None if none can be made here."""
    own = next(iter(memory_groups()), None)
    top = None if own is None else (own.folder if own.version == 1 else memory_groups()[-1].folder)
    if own is None or top is None:
        yield None
        return
    folder = top / name
    try:
        if own.version != 1:
            (top / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
    except OSError:
        yield None
        return
    try:
        yield MemoryGroup(folder, own.version)
    finally:
        assert soon(lambda: not (folder / "cgroup.procs").read_text())
        assert soon(lambda: _removed(folder))


@contextmanager
def ballast(group: MemoryGroup, size: int) -> Iterator[None]:
    """Let a process in ``group`` have ``size`` bytes of memory."""
    program = "import sys; held = bytearray(b'x') * int(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [*entering(group.folder), sys.executable, "-c", program, str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield
        finally:
            process.kill()


def entering(group: Path) -> list[str]:
    """Return what makes a command run in a control group."""
    return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]


def limit_memory(group: MemoryGroup, size: int) -> None:
    """Let ``group`` have ``size`` bytes of memory and no swap."""
    memory, swap = group.folder / "memory.max", group.folder / "memory.swap.max"
    if group.version == 1:
        memory, swap = group.folder / "memory.limit_in_bytes", group.folder / "memory.memsw.limit_in_bytes"
    writes = [(memory, size), (swap, size if group.version == 1 else 0)]
    if group.limit is not None and size > group.limit:
        writes.reverse()  # version 1: memory may not have more than memory and swap together
    for file, number in writes:
        if file.exists():  # not where the kernel does not account for swap
            file.write_text(str(number))


def _removed(folder: Path) -> bool:
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()
