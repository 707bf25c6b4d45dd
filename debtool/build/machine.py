"""What the machine is and how it fares: processors, memory, pressure, temperature, free disk."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from debtool.build.control_group import memory_groups, read_table, read_text
from debtool.build.journal import Job, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path("/")

# hwmon drivers whose sensors are a processor's, best first (kernel Documentation/hwmon). Others have temperatures too:
# of disks (drivetemp, nvme), graphics (amdgpu, radeon), the board (acpitz, nct6775), wireless (iwlwifi).
_PROCESSOR_DRIVERS = ("coretemp", "k10temp", "zenpower", "k8temp", "via_cputemp", "cpu_thermal")
# The System Management Controller of a Mac has sensors of everything, named by its keys. C is a core or package (PECI),
# D the diode on the die, P the place beside the processor, H its heatsink; the processor is a number, or A and B in a
# Mac Pro. Others that begin with TC are limits and margins: TC0G says 99, TC0J 1, TCPG 103.
_MAC_KEY = re.compile(r"TC[0-9AB][CDHPcdhp]")
# The one thermal zone that is surely the processor's; acpitz is wherever the board's maker put it.
_PROCESSOR_ZONE = "x86_pkg_temp"
# Degrees: a sensor that is not connected says 0, -127, 128 or so.
_PLAUSIBLE = (5.0, 125.0)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a build may use.

    Attributes:
        cpus: Processors.
        memory: Bytes of memory: the machine's, or the control group's if that may have less.
        swap: Bytes of swap, in the same way.
        boot: This boot of the machine.
    """

    cpus: int
    memory: int
    swap: int
    boot: str

    def jobs(self, each: int) -> int:
        """Return how many compilers may run at once: one a processor, as far as memory goes; 0 if not even one.

        ``each`` is the bytes of memory that one is taken to need.

        >>> Machine(24, 64 * 2**30, 0, "").jobs(2**31), Machine(24, 16 * 2**30, 0, "").jobs(2**31)
        (24, 8)
        """
        return min(self.cpus, self.memory // each)


def read_machine(root: Path = ROOT) -> Machine:
    """Return what this process may use; ``root`` is where ``proc`` and ``sys`` are."""
    table = read_table(root / "proc/meminfo")
    groups = memory_groups(root)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=min([table.get("MemTotal", 0), *(group.limit for group in groups if group.limit is not None)]),
        swap=min([table.get("SwapTotal", 0), *(group.swap for group in groups if group.swap is not None)]),
        boot=read_text(root / "proc/sys/kernel/random/boot_id").strip(),
    )


def oom_kills(root: Path = ROOT) -> int:
    """Return how many processes the kernel has killed for memory since it was started; it only grows.

    The kernel counts every kill in ``/proc/vmstat``, those for a control group's limit as well: both counters came with
    the same change (Linux 4.13, "mm/oom_kill: count global and memory cgroup oom kills"). Where that file has no such
    line, as in some containers, the number is that of the groups that this process is in.
    """
    everywhere = read_table(root / "proc/vmstat").get("oom_kill")
    if everywhere is not None:
        return everywhere
    return max((group.oom_kills for group in memory_groups(root)), default=0)


def pressure(root: Path = ROOT) -> tuple[float | None, float | None]:
    """Return percent of the last 10 s in which something, and everything, waited for memory; None without PSI.

    Of the innermost control group with a limit, if there is one: what lies outside it does not slow the build down
    (kernel Documentation/accounting/psi.rst).
    """
    limited = (group.folder / "memory.pressure" for group in memory_groups(root) if group.limit is not None)
    text = next((text for path in limited if (text := read_text(path))), "")
    text = text or read_text(root / "proc/pressure/memory")
    found = {kind: float(share) for kind, share in re.findall(r"^(some|full) avg10=(\d+\.\d+)", text, re.MULTILINE)}
    return found.get("some"), found.get("full")


def temperature(root: Path = ROOT) -> float | None:
    """Return what the hottest sensor of a processor says, in degrees Celsius; None where there is none."""
    drivers: dict[str, list[Path]] = {}
    for folder in sorted(root.glob("sys/class/hwmon/hwmon*")):
        drivers.setdefault(read_text(folder / "name").strip(), []).append(folder)
    for driver in _PROCESSOR_DRIVERS:
        if found := [value for folder in drivers.get(driver, []) for _, value in _sensors(folder)]:
            return max(found)
    # Reading the controller of a Mac is slow, so that it is asked only if the processors themselves say nothing.
    mac = (sensor for folder in drivers.get("applesmc", []) for sensor in _sensors(folder))
    if found := [value for label, value in mac if _MAC_KEY.fullmatch(label)]:
        return max(found)
    zones = root.glob("sys/class/thermal/thermal_zone*")
    packages = (zone for zone in zones if read_text(zone / "type").strip() == _PROCESSOR_ZONE)
    return max((value for zone in packages if (value := _degrees(zone / "temp")) is not None), default=None)


def _sensors(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield label and degrees of the sensors of a hwmon device."""
    inputs = {
        path: read_text(path.with_name(path.name.replace("_input", "_label"))).strip() for path in _inputs(folder)
    }
    for path, label in inputs.items():
        # k10temp: Tctl is for the fans and up to 27 degrees above what Tdie measures, where there is a Tdie.
        if label == "Tctl" and "Tdie" in inputs.values():
            continue
        if (value := _degrees(path)) is not None:
            yield label, value


def _inputs(folder: Path) -> list[Path]:
    # Before Linux 3.15 or so, coretemp's files were those of its device.
    return sorted(folder.glob("temp*_input")) or sorted(folder.glob("device/temp*_input"))


def _degrees(path: Path) -> float | None:
    try:
        value = int(read_text(path)) / 1000
    except ValueError:
        return None
    return value if _PLAUSIBLE[0] <= value <= _PLAUSIBLE[1] else None


class Sensor:
    """Takes samples for the journal; what is told of an interval is of that since the last one.

    Attributes:
        folder: Where the build is.
        root: Where ``proc`` and ``sys`` are.
    """

    def __init__(self, folder: Path, *, root: Path = ROOT) -> None:
        self.folder = folder
        self.root = root
        self._ticks = self._read_ticks()
        self._build: tuple[float, float] | None = None

    def sample(self, jobs: Sequence[Job], build_cpu_seconds: float) -> Sample:
        """Return how the machine fares now, with ``jobs`` at work.

        ``build_cpu_seconds`` is what the build has used in all (see ``processes.cpu_seconds``).
        """
        table = read_table(self.root / "proc/meminfo")
        machine = read_machine(self.root)
        some, full = pressure(self.root)
        disk = os.statvfs(self.folder)
        return Sample(
            cpu=round(self._cpu(), 4),
            build_cpu=round(self._build_cpu(build_cpu_seconds), 3),
            memory_total=machine.memory,
            memory_available=self._available(table),
            swap_total=machine.swap,
            swap_used=min(machine.swap, max(0, table.get("SwapTotal", 0) - table.get("SwapFree", 0))),
            some_pressure=some,
            full_pressure=full,
            disk_free=disk.f_bavail * disk.f_frsize,
            temperature=temperature(self.root),
            jobs=tuple(jobs),
        )

    def _available(self, table: dict[str, int]) -> int:
        groups = (group for group in memory_groups(self.root) if group.limit is not None)
        free = (max(0, (group.limit or 0) - group.used) for group in groups)
        return min([table.get("MemAvailable", 0), *free])

    def _read_ticks(self) -> tuple[int, int]:
        """Return how long all processors were busy and have been running, in clock ticks (proc_stat(5))."""
        line = read_text(self.root / "proc/stat").partition("\n")[0]
        # user nice system idle iowait irq softirq steal: all but idle and iowait is busy, steal too, which another
        # guest of the same host has. What follows is counted in user already.
        numbers = [int(part) for part in line.split()[1:9]]
        return sum(numbers) - sum(numbers[3:5]), sum(numbers)

    def _cpu(self) -> float:
        before, self._ticks = self._ticks, self._read_ticks()
        busy, passed = (now - then for now, then in zip(self._ticks, before, strict=True))
        return min(1.0, max(0.0, busy / passed)) if passed > 0 else 0.0

    def _build_cpu(self, seconds: float) -> float:
        now = time.monotonic()
        before, self._build = self._build, (now, seconds)
        if before is None or now <= before[0]:
            return 0.0
        # A process that ended while the others were read is missed once and there again with its parent: never below
        # nothing, and never more than the machine has.
        busy = (seconds - before[1]) / (now - before[0])
        return min(float(os.cpu_count() or 1), max(0.0, busy))
