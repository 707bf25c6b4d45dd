"""The control groups that this process is in, and what they let it have of the machine's memory (cgroups(7)).

Version 2 is described in the kernel's Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files"; version 1 in
Documentation/admin-guide/cgroup-v1/memory.rst. A machine may have both (systemd's hybrid layout), memory in either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

_SECOND = 2
# Version 1 writes no limit as the largest number of bytes that is whole pages, which the page's size decides.
_NO_LIMIT = 2**62


def read_text(path: Path) -> str:
    """Return a file's text; "" where the kernel has no such file, or does not let this user read it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_table(path: Path) -> dict[str, int]:
    """Return the numbers of a file of names and numbers, as ``/proc/meminfo`` and ``memory.stat`` are; {} without it.

    What is given in kB is returned in bytes.
    """
    values: dict[str, int] = {}
    for line in read_text(path).splitlines():
        match line.split():
            case [name, number] if number.isdigit():
                values[name.rstrip(":")] = int(number)
            case [name, number, "kB"] if number.isdigit():
                values[name.rstrip(":")] = int(number) * 1024
    return values


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A control group that accounts for memory.

    Attributes:
        folder: Where its files are.
        version: Of the interface.
    """

    folder: Path
    version: Literal[1, 2]

    @property
    def limit(self) -> int | None:
        """Bytes of memory that it may use; None without a limit."""
        return self._number("memory.max", "memory.limit_in_bytes")

    @property
    def used(self) -> int:
        """Bytes that cannot be had without swapping: what it uses without the page cache, which the kernel drops."""
        usage = self._number("memory.current", "memory.usage_in_bytes") or 0
        table = read_table(self.folder / "memory.stat")
        prefix = "" if self.version == _SECOND else "total_"  # with the groups below, as usage is
        return max(0, usage - table.get(f"{prefix}inactive_file", 0) - table.get(f"{prefix}active_file", 0))

    @property
    def swap(self) -> int | None:
        """Bytes of swap that it may use; None without a limit."""
        # Version 1 limits memory and swap together.
        number, memory = self._number("memory.swap.max", "memory.memsw.limit_in_bytes"), self.limit
        if self.version == _SECOND or number is None or memory is None:
            return number
        return max(0, number - memory)

    @property
    def oom_kills(self) -> int:
        """How many processes of it the kernel has killed for memory."""
        table = read_table(self.folder / ("memory.events" if self.version == _SECOND else "memory.oom_control"))
        return table.get("oom_kill", 0)

    def _number(self, two: str, one: str) -> int | None:
        text = read_text(self.folder / (two if self.version == _SECOND else one)).strip()
        if not text.isdigit() or int(text) >= _NO_LIMIT:  # version 2 writes "max"
            return None
        return int(text)


def memory_groups(root: Path = Path("/")) -> list[MemoryGroup]:
    """Return the groups that this process is in and those around them, innermost first."""
    mounts = _mounts(root)
    groups: list[MemoryGroup] = []
    for line in read_text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        version: Literal[1, 2]
        if number == "0" and not controllers:
            version = 2
        elif "memory" in controllers.split(","):
            version = 1
        else:
            continue
        if version in mounts:
            top, mount = mounts[version]
            # In a container without a namespace of its own for groups, only those from `top` on are mounted.
            own = PurePosixPath(path)
            below = own.relative_to(top) if own.is_relative_to(top) else PurePosixPath()
            groups += [MemoryGroup(mount / part, version) for part in (below, *below.parents)]
    return groups


def _mounts(root: Path) -> dict[Literal[1, 2], tuple[str, Path]]:
    """Return the group at the top of each mounted hierarchy, and where that is (proc_pid_mountinfo(5))."""
    found: dict[Literal[1, 2], tuple[str, Path]] = {}
    for line in read_text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        match before.split(), after.split():
            case [_, _, _, top, point, *_], ["cgroup2", *_]:
                found.setdefault(2, (top, root / point.lstrip("/")))
            case [_, _, _, top, point, *_], ["cgroup", _, options, *_] if "memory" in options.split(","):
                found.setdefault(1, (top, root / point.lstrip("/")))
    return found
