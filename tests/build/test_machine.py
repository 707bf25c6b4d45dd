"""What the machine is and how it fares, from recorded trees of /proc and /sys, and from this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from debtool.build.control_group import memory_groups
from debtool.build.journal import Job
from debtool.build.machine import Machine, Sensor, oom_kills, pressure, read_machine, temperature

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 2**30
MEMINFO = """\
MemTotal:       24684096 kB
MemFree:        22553804 kB
MemAvailable:   23396276 kB
Buffers:           13128 kB
HugePages_Total:       0
SwapTotal:       8388604 kB
SwapFree:        8126460 kB
"""
MACHINE = {
    "proc/meminfo": MEMINFO,
    "proc/vmstat": "nr_free_pages 5638451\noom_kill 3\npswpin 0\n",
    "proc/pressure/memory": (
        "some avg10=12.50 avg60=3.10 avg300=0.70 total=81234\nfull avg10=4.25 avg60=1.00 avg300=0.20 total=41234\n"
    ),
    "proc/stat": "cpu  1000 100 500 8000 300 0 50 50 40 0\ncpu0 500 50 250 4000 150 0 25 25 20 0\n",
    "proc/sys/kernel/random/boot_id": "f90d6a5a-989b-43e1-a076-f4027fa157d6\n",
}
# A container of a machine with version 2 alone, as systemd sets it up.
SECOND = {
    **MACHINE,
    "proc/self/cgroup": "0::/user.slice/build.scope/inner\n",
    "proc/self/mountinfo": (
        "23 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"
        "31 23 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    ),
    "sys/fs/cgroup/user.slice/memory.max": "max\n",
    "sys/fs/cgroup/user.slice/build.scope/memory.max": f"{4 * GIB}\n",
    "sys/fs/cgroup/user.slice/build.scope/memory.current": f"{3 * GIB}\n",
    "sys/fs/cgroup/user.slice/build.scope/memory.stat": (
        f"anon {GIB}\nfile {2 * GIB}\ninactive_file {GIB}\nactive_file {GIB // 2}\n"
    ),
    "sys/fs/cgroup/user.slice/build.scope/memory.swap.max": "0\n",
    "sys/fs/cgroup/user.slice/build.scope/memory.events": "low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\n",
    "sys/fs/cgroup/user.slice/build.scope/memory.pressure": (
        "some avg10=80.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=60.00 avg60=0.00 avg300=0.00 total=1\n"
    ),
    "sys/fs/cgroup/user.slice/build.scope/inner/memory.max": "max\n",
}
# A container of Docker without a namespace for groups, on a machine with version 1: only its own part is mounted.
FIRST = {
    **MACHINE,
    "proc/self/cgroup": "9:name=systemd:/docker/abc\n4:cpuset,memory:/docker/abc/job\n0::/docker/abc\n",
    "proc/self/mountinfo": (
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory,cpuset\n"
        "37 31 0:37 /docker/abc /sys/fs/cgroup/systemd ro,relatime - cgroup cgroup rw,name=systemd\n"
    ),
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
    "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": f"{3 * GIB}\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
    "sys/fs/cgroup/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB // 4}\ntotal_active_file 0\n",
    "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/job/memory.memsw.limit_in_bytes": "9223372036854771712\n",
}


def plant(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_this_machine() -> None:
    machine = read_machine()
    assert machine.cpus == len(os.sched_getaffinity(0))
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < machine.memory <= physical
    assert re.fullmatch(r"[0-9a-f-]{36}", machine.boot)
    assert oom_kills() >= 0


def test_a_machine_without_groups(tmp_path: Path) -> None:
    root = plant(tmp_path, MACHINE)
    boot = "f90d6a5a-989b-43e1-a076-f4027fa157d6"
    cpus = len(os.sched_getaffinity(0))
    assert read_machine(root) == Machine(cpus, 24684096 * 1024, 8388604 * 1024, boot)
    assert pressure(root) == (12.5, 4.25)
    assert oom_kills(root) == 3


def test_a_group_of_version_2_with_less(tmp_path: Path) -> None:
    root = plant(tmp_path, SECOND)
    names = [str(group.folder.relative_to(root / "sys/fs/cgroup")) for group in memory_groups(root)]
    assert names == ["user.slice/build.scope/inner", "user.slice/build.scope", "user.slice", "."]
    assert read_machine(root).memory == 4 * GIB
    assert read_machine(root).swap == 0
    assert pressure(root) == (80.0, 60.0), "of the group, which is short, and not of the machine, which is not"
    assert oom_kills(root) == 3, "the kernel counts those of groups there as well"
    (root / "proc/vmstat").write_text("nr_free_pages 1\n")
    assert oom_kills(root) == 2


def test_a_group_of_version_1_with_less(tmp_path: Path) -> None:
    root = plant(tmp_path, FIRST)
    names = [str(group.folder.relative_to(root / "sys/fs/cgroup/memory")) for group in memory_groups(root)]
    assert names == ["job", "."]
    assert read_machine(root).memory == 2 * GIB
    assert read_machine(root).swap == GIB, "the limit of memory and swap together, without that of memory"
    assert pressure(root) == (12.5, 4.25), "version 1 tells none"
    (root / "proc/vmstat").unlink()
    assert oom_kills(root) == 5


def test_a_limit_above_the_machine_is_none(tmp_path: Path) -> None:
    root = plant(tmp_path, SECOND | {"sys/fs/cgroup/user.slice/build.scope/memory.max": f"{100 * GIB}\n"})
    assert read_machine(root).memory == 24684096 * 1024


def test_nothing_is_readable(tmp_path: Path) -> None:
    assert read_machine(tmp_path).memory == 0
    assert pressure(tmp_path) == (None, None)
    assert oom_kills(tmp_path) == 0
    assert temperature(tmp_path) is None
    sample = Sensor(tmp_path, root=tmp_path).sample([], 0.0)
    assert (sample.cpu, sample.memory_total, sample.some_pressure) == (0.0, 0, None)


def test_an_old_kernel_without_full(tmp_path: Path) -> None:
    root = plant(tmp_path, {"proc/pressure/memory": "some avg10=1.00 avg60=0.00 avg300=0.00 total=0\n"})
    assert pressure(root) == (1.0, None)


def hwmon(number: int, name: str, sensors: Mapping[str, str | int], *, below: str = "") -> dict[str, str]:
    """Return a hwmon device's files: a label for each number in thousandths of a degree."""
    folder = f"sys/class/hwmon/hwmon{number}"
    files = {f"{folder}/name": f"{name}\n"}
    for index, (label, value) in enumerate(sensors.items(), 1):
        files[f"{folder}/{below}temp{index}_label"] = f"{label}\n"
        files[f"{folder}/{below}temp{index}_input"] = f"{value}\n"
    return files


# A Mac Pro 5,1: two six-core Xeons, the System Management Controller, a Radeon RX 6600 XT. TCAG and TCPG are limits.
CONTROLLER = hwmon(
    0,
    "applesmc",
    {"TA0P": 24000, "TCAC": 61500, "TCAD": 59000, "TCAG": 94000, "TCAH": 48250, "TCBD": 63250, "TCPG": 103000}
    | {"TN0D": 71000, "TM1P": 43000, "TCBH": -127000},
)
MAC_PRO = (
    CONTROLLER
    | hwmon(1, "coretemp", {"Core 0": 58000, "Core 1": 60000, "Core 2": 57000})
    | hwmon(2, "coretemp", {"Core 0": 66000, "Core 1": 64000, "Core 10": 65000})
    | hwmon(3, "amdgpu", {"edge": 74000, "junction": 88000, "mem": 82000})
    | {"sys/class/thermal/cooling_device0/type": "Processor\n"}
)


@pytest.mark.parametrize(
    ("files", "degrees"),
    [
        (MAC_PRO, 66.0),
        (CONTROLLER, 63.25),
        (hwmon(0, "applesmc", {"TA0P": 24000, "TCPG": 103000}), None),
        (hwmon(0, "k10temp", {"Tctl": 87250, "Tdie": 60250, "Tccd1": 61500}), 61.5),
        (hwmon(0, "k10temp", {"Tctl": 55000}), 55.0),
        (hwmon(0, "coretemp", {"Core 0": "garbage", "Core 1": 0, "Core 2": 128000}), None),
        (hwmon(0, "coretemp", {"Core 0": 47000}, below="device/"), 47.0),
        (hwmon(0, "nvme", {"Composite": 51850}) | hwmon(1, "acpitz", {"": 27800}), None),
        ({"sys/class/thermal/thermal_zone0/type": "acpitz\n", "sys/class/thermal/thermal_zone0/temp": "99000\n"}, None),
        (
            {
                "sys/class/thermal/thermal_zone0/type": "acpitz\n",
                "sys/class/thermal/thermal_zone0/temp": "27800\n",
                "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
                "sys/class/thermal/thermal_zone1/temp": "53000\n",
            },
            53.0,
        ),
    ],
)
def test_the_hottest_sensor_of_a_processor(files: Mapping[str, str], degrees: float | None, tmp_path: Path) -> None:
    assert temperature(plant(tmp_path, files)) == degrees


def test_a_sample_is_of_the_time_since_the_last_one(tmp_path: Path) -> None:
    root = plant(tmp_path, MACHINE | CONTROLLER)
    sensor = Sensor(tmp_path, root=root)
    # 300 ticks later: 150 idle, 30 waiting for a disk, 20 stolen by another guest.
    plant(root, {"proc/stat": "cpu  1080 100 520 8150 330 0 50 70 60 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"})
    job = Job(4, "cc1plus", "a.cpp", 12.0, 11.5, GIB)
    first = sensor.sample([job], 100.0)
    assert first.cpu == pytest.approx(120 / 300)
    assert first.build_cpu == 0.0, "there is nothing that it could be told since"
    assert (first.memory_total, first.memory_available) == (24684096 * 1024, 23396276 * 1024)
    assert (first.swap_total, first.swap_used) == (8388604 * 1024, 262144 * 1024)
    assert (first.some_pressure, first.full_pressure, first.temperature) == (12.5, 4.25, 63.25)
    assert first.jobs == (job,)
    disk = os.statvfs(tmp_path)
    assert 0 < first.disk_free <= disk.f_blocks * disk.f_frsize
    assert sensor.sample([], 100.0).cpu == 0.0, "no tick has passed"


def test_what_the_build_kept_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = Sensor(tmp_path, root=plant(tmp_path, MACHINE))
    clock = iter([1000.0, 1010.0, 1020.0, 1030.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    told = [sensor.sample([], seconds).build_cpu for seconds in (500.0, 520.0, 480.0, 880.0)]
    assert told == [0.0, 2.0, 0.0, 12.0], "a process that was missed once costs nothing, and comes back as no miracle"


def test_what_a_group_has_left(tmp_path: Path) -> None:
    root = plant(tmp_path, SECOND)
    sample = Sensor(tmp_path, root=root).sample([], 0.0)
    assert (sample.memory_total, sample.memory_available) == (4 * GIB, 5 * GIB // 2), "its page cache can be dropped"
    assert (sample.swap_total, sample.swap_used) == (0, 0)


@pytest.mark.root
def test_a_real_group_kills_for_memory(tmp_path: Path) -> None:
    group, version = _own_group(tmp_path)
    limit = 96 * 2**20
    try:
        (group / ("memory.max" if version == 2 else "memory.limit_in_bytes")).write_text(str(limit))
        script = (
            "import os, sys, pathlib; pathlib.Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()))\n"
            "from debtool.build.machine import oom_kills, read_machine\n"
            "print(read_machine().memory, oom_kills(), flush=True)\n"
            "data = bytearray(os.urandom(1 << 20)) * 1000\n"
        )
        before = oom_kills()
        command = [sys.executable, "-c", script, str(group)]
        ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
        assert ended.returncode == -9, ended.stderr
        assert ended.stdout.split() == [str(limit), str(before)]
        assert oom_kills() == before + 1
    finally:
        group.rmdir()


def _own_group(tmp_path: Path) -> tuple[Path, int]:
    """Make a memory group below the one that this process is in."""
    for outer in memory_groups():
        if outer.version == 1 or (outer.folder / "memory.max").exists():
            group = outer.folder / f"debtool-test-{tmp_path.name}"
            group.mkdir()
            return group, outer.version
    pytest.fail("there is no memory controller in this machine's control groups")
