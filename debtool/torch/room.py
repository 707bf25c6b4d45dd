"""Whether a machine has room for a build of PyTorch: processors, memory, swap and disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from debtool.build.checks import Check, check
from debtool.model.text import amount, human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from debtool.build.checks import Verdict
    from debtool.build.machine import Machine
    from debtool.torch.wanted import Wanted

_GB = 10**9

_SOURCE = {"upstream": 4 * _GB, "debian": _GB // 2}
"""Bytes of a source tree.

Debian's, without third_party, is 161 MB (measured: 2.6.0), and is unpacked from an archive and copied. Upstream's, with
all submodules, is an estimate on the safe side of a shallow clone.
"""

_BUILD_CPU, _BUILD_ROCM = 6 * _GB, 15 * _GB
"""Bytes of a build's folder, linked libraries, the installed copy and the wheel among them: estimates.

For the CPU: the first 287 of 1402 steps of Debian's 2.6.0 left 140 MB (measured, without debug information); upstream
compiles its third_party as well. For ROCm nothing was measured: every HIP unit has the host's and the GPU's code.
"""

_CACHE_CPU, _CACHE_ROCM = 5 * _GB, 15 * _GB
"""Bytes of a compiler cache that loses nothing of one build: estimates. 287 steps of 2.6.0 left 35 MB in ccache."""

_BLOCK = 512  # what stat(2) counts blocks in, whatever the file system's are

_SWAP_BELOW = 2
"""Swap is asked for where there is less than this many times the memory that the jobs are taken to need."""

_LEVELS = {
    "x86-64-v4": frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
    "x86-64-v3": frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    "x86-64-v2": frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    "x86-64": frozenset({"cmov", "cx8", "fxsr", "mmx", "sse", "sse2"}),
}
"""The levels of x86-64 (psABI), the highest first: what each adds, as /proc/cpuinfo names it."""


def cpu_level(cpuinfo: str) -> str | None:
    """Return the level of x86-64 of the first processor in ``cpuinfo`` (/proc/cpuinfo); None if it is of another kind.

    A level counts with all below it.

    >>> cpu_level("flags : cmov cx8 fxsr mmx sse sse2 avx")
    'x86-64'
    """
    flags = _flags(cpuinfo)
    best = None
    for name in reversed(_LEVELS):
        if not flags >= _LEVELS[name]:
            break
        best = name
    return best


def _flags(cpuinfo: str) -> frozenset[str]:
    line = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def check_cpu(wanted: Wanted, architecture: str, root: Path) -> Iterator[Check]:
    """Yield the checks of the processor; ``architecture`` is the machine's, as uname(2) says it."""
    why = "packages are for amd64, and nothing is cross-compiled"
    if architecture != "x86_64":
        fix = "build on a PC or a server with an x86-64 processor"
        yield check("architecture", "missing", architecture, "x86_64", why, fix=fix)
        return
    yield check("architecture", "ok", architecture, "x86_64", why)
    try:
        cpuinfo = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    level = cpu_level(cpuinfo)
    found = level or "an unknown level"
    if wanted.march == "native":
        why = "-march=native is right only where the machine that builds is the one that runs the result"
        if beyond := sorted(_flags(cpuinfo) & (_LEVELS["x86-64-v3"] | _LEVELS["x86-64-v4"])):
            there = f"{found}, which has {' '.join(beyond)}"
            fix = "leave -march as it is (--march westmere), or build on the Mac Pro itself"
            yield check("CPU", "missing", there, "a CPU without AVX", why, fix=fix)
        else:
            yield check("CPU", "ok", found, "a CPU without AVX", why)
        return
    why = f"code is compiled with -march={wanted.march}, whatever this CPU can do"
    if level in {"x86-64", None}:
        fix = "build on a newer CPU, or try the result on the machine that it is for"
        yield check("CPU", "warning", found, "x86-64-v2", f"{why}: the result may not run here", fix=fix)
    else:
        yield check("CPU", "ok", found, "x86-64-v2 or higher", why)


def check_memory(wanted: Wanted, machine: Machine) -> Iterator[Check]:
    """Yield the checks of memory and swap against the number of jobs."""
    each = wanted.memory_per_job
    able = machine.jobs(each)
    jobs = wanted.jobs or max(able, 1)
    there = f"{human_bytes(machine.memory)} for {amount(machine.cpus, 'processor')}"
    why = f"a compiler is taken to need {human_bytes(each)}; the number of jobs is min(processors, memory / that)"
    wants = f"{human_bytes(jobs * each)} for {amount(jobs, 'job')}"
    swap = _swap_fix(max(8 * 2**30, jobs * each // 2))
    if not able and machine.memory + machine.swap < each:
        fix = f"build on a machine with more memory, or add swap: {swap}"
        yield check("memory", "missing", f"{there}: too little for even one compiler", wants, why, fix=fix)
    elif not able:
        fix = "expect it to be slow: one job at a time, and the worst units in swap"
        yield check("memory", "warning", f"{there}, and swap", wants, why, fix=fix)
    elif jobs > able:
        fix = f"--jobs {able}, or leave --jobs out"
        yield check("memory", "warning", f"{there}: enough for {amount(able, 'job')}", wants, why, fix=fix)
    else:
        yield check("memory", "ok", there, wants, why)
    why = "without swap the kernel kills a compiler as soon as some large units come together"
    wants = "some swap, or twice the memory that the jobs need"
    found = human_bytes(machine.swap) if machine.swap else "none"
    enough = machine.swap or machine.memory >= _SWAP_BELOW * jobs * each
    yield check("swap", "ok" if enough else "warning", found, wants, why, fix=swap)


def _swap_fix(size: int) -> str:
    gigabytes = -(-size // 2**30)
    file = "/swapfile"
    return f"fallocate -l {gigabytes}G {file} && chmod 600 {file} && mkswap {file} && swapon {file} (as root)"


def check_disk(wanted: Wanted) -> Iterator[Check]:
    """Yield the checks of the folders of the build and of the compiler cache; what is there already counts."""
    need = _SOURCE[wanted.flavour] + (_BUILD_CPU if wanted.cpu_only else _BUILD_ROCM)
    place = _existing(wanted.folder)
    free, used = _room(wanted.folder)
    why = "the source, the build and the wheel (debtool/torch/room.py has the figures)"
    there = f"{human_bytes(free)} free in {place}" + (f", {human_bytes(used)} used by the build so far" if used else "")
    more_room = "make room, or build in a folder on a larger disk (--cache DIR)"
    verdict: Verdict = "ok" if free + used >= need else "missing"
    yield check("disk", verdict, there, human_bytes(need), why, fix=more_room)
    yield from _folder(wanted, place)
    if wanted.launcher == "none":
        return
    shared = place.stat().st_dev == _existing(wanted.cache).stat().st_dev
    left = max(0, need - used) if shared else 0
    free, used = _room(wanted.cache)
    need = _CACHE_CPU if wanted.cpu_only else _CACHE_ROCM
    there = f"{human_bytes(max(0, free - left))} free" + (" after the build" if left else "")
    there += f" in {_existing(wanted.cache)}" + (f", {human_bytes(used)} in the cache" if used else "")
    why = "with less, the cache forgets what a second try would need"
    verdict = "ok" if free - left + used >= need else "warning"
    yield check("disk for the cache", verdict, there, human_bytes(need), why, fix=more_room)


def _folder(wanted: Wanted, place: Path) -> Iterator[Check]:
    """Yield why the build cannot be in its folder, if so; ``place`` is what exists of it."""
    name = "build folder"
    if not os.access(place, os.W_OK | os.X_OK):
        why = "everything of the build is written there"
        fix = f"become somebody who may write to {place}, or build elsewhere (--cache DIR)"
        yield check(name, "missing", f"{place} cannot be written to", "a folder of one's own", why, fix=fix)
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        why = "configure runs the small programs that it compiles, and the build its own protoc"
        fix = "build on a file system that is not mounted noexec (--cache DIR)"
        yield check(name, "missing", f"{place} is mounted noexec", "programs can run there", why, fix=fix)
    if any(character.isspace() for character in str(wanted.folder)):
        why = "compiler flags name the folder, and are split at white space"
        fix = "build in a folder without white space in its path (--cache DIR)"
        yield check(name, "missing", f"white space in {wanted.folder}", "a plain path", why, fix=fix)


def _room(folder: Path) -> tuple[int, int]:
    """Return how many bytes are free where ``folder`` is or will be, and how many it takes up itself."""
    facts = os.statvfs(_existing(folder))
    return facts.f_bavail * facts.f_frsize, _size(folder)


def _existing(folder: Path) -> Path:
    """Return ``folder``, or the nearest folder above it that exists."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())


def _size(folder: Path) -> int:
    """Return how many bytes the files below ``folder`` take up on the disk; 0 where there are none."""
    total, ahead = 0, [str(folder)]
    while ahead:
        try:
            with os.scandir(ahead.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
        except OSError:
            continue
    return total
