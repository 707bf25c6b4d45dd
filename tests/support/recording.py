"""The journal of a ROCm build of PyTorch, a stand-in: no machine with ROCm was at hand.

It is made from what is known of such builds: 8,642 steps with ninja's lines as they are printed, one hour and a half on
the 24 threads of a Mac Pro 5,1, a quarter of an hour in which large device units let nothing finish, memory that is
short, a compiler that the kernel kills, and jobs that are held. The same seed gives the same journal.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debtool.build.journal import Begin, Edge, End, Entry, Job, Limit, Note, Phase, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 8642
THREADS = 24
QUIET_FROM = 5748
"""Steps that are done when the large device units begin."""
OOM_AT = 7000
HELD_FROM, HELD_TO = 7700, 8200
PHASES = ("preflight", "source", "patch", "hipify", "configure", "compile", "wheel", "audit")

_MEMORY, _SWAP = 48 * 10**9, 8 * 10**9
_TICK = 0.5
_SAMPLE = 5.0
_GLOO = "third_party/gloo/gloo/CMakeFiles/gloo_hip.dir/gloo_hip_generated_hip.hip.o"


@dataclass(slots=True)
class _Unit:
    """A step that waits or runs."""

    what: str
    name: str
    tool: str
    seconds: float
    memory: float
    pid: int = 0
    worked: float = 0.0
    age: float = 0.0
    paused: bool = False

    @property
    def memory_now(self) -> float:
        """Bytes that it has by now."""
        return self.memory * min(1.0, 0.3 + self.worked / self.seconds)


def rocm_recording(*, pid: int = 4242, boot: str = "recorded", began: float = 1_780_000_000.0) -> Iterator[Entry]:
    """Yield the entries, which begin at ``began``."""
    now = began
    title = "torch 2.7.1+rocm6.3.noavx for noble-rocm6.3"
    command = "debtool torch build --target noble-rocm6.3"
    yield Entry(now, Begin(title, pid, boot, THREADS, _MEMORY, THREADS, command=command))
    for number, (name, seconds) in enumerate(
        zip(PHASES[:5], (3.0, 210.0, 2.0, 64.0, 95.0), strict=True),
        1,
    ):
        yield Entry(now, Phase(name, number, len(PHASES)))
        now += seconds
    yield Entry(now, Phase("compile", 6, len(PHASES)))
    build = _Build(now)
    yield from build.entries()
    now = build.now
    for number, (name, seconds) in enumerate(zip(PHASES[6:], (40.0, 75.0), strict=True), 7):
        yield Entry(now, Phase(name, number, len(PHASES)))
        now += seconds
    yield Entry(now, End("done", "torch-2.7.1+rocm6.3.noavx-cp312-cp312-linux_x86_64.whl"))


class _Build:
    """The compile phase, half a second at a time."""

    def __init__(self, began: float) -> None:
        self.now = began
        self._random = random.Random(20260206)  # noqa: S311 -- a recording is to be the same each time
        self._queue = list(reversed(list(self._units())))
        self._running: list[_Unit] = []
        self._done, self._base = 0, 0
        self._limit = THREADS
        self._swap = 0.0
        self._killed = False
        self._draining = False
        self._pid = 5000

    def entries(self) -> Iterator[Entry]:
        since = _SAMPLE
        while self._queue or self._running:
            self.now += _TICK
            since += _TICK
            self._start()
            yield from self._hold()
            yield from self._work()
            if self._done >= OOM_AT and not self._killed:
                yield from self._kill()
            if self._draining and not self._running:
                self._draining, self._base = False, self._done  # ninja is started anew and counts what is left
            if since >= _SAMPLE:
                since = 0.0
                yield Entry(self.now, self._sample())

    def _units(self) -> Iterator[_Unit]:
        pick = self._random
        for number in range(STEPS):
            if number < 240:
                yield self._unit("Building C object third_party/cpuinfo", f"source{number}.c", "cc1", 0.7, 0.06)
            elif number < 2300:
                yield self._unit("Building CXX object third_party/protobuf", f"wire_{number}.cc", "cc1plus", 2.7, 0.25)
            elif number < 4300:
                folder = "caffe2/CMakeFiles/torch_cpu.dir/__/aten/src/ATen/native"
                yield self._unit(f"Building CXX object {folder}", f"Operator{number}.cpp", "cc1plus", 11.7, 0.7)
            elif number == QUIET_FROM - 1:
                yield _Unit(f"Building HIPCC object {_GLOO}", "hip.hip (gfx1030)", "clang", 60.0, 0.9e9)
            elif QUIET_FROM <= number < QUIET_FROM + THREADS:
                name = f"flash_fwd_hdim{32 * (number - QUIET_FROM + 1)}.hip"
                made = self._unit("Building HIPCC object caffe2/CMakeFiles/torch_hip.dir", name, "clang", 1.0, 1.5)
                made.seconds = pick.uniform(722, 790)
                yield made
            elif number < 7900:
                heavy = 2.4 if OOM_AT - 60 < number < OOM_AT + 60 else 1.1
                folder = "caffe2/CMakeFiles/torch_hip.dir/__/aten/src/ATen/native/hip"
                yield self._unit(f"Building HIPCC object {folder}", f"Kernel{number}.hip", "clang", 12.1, heavy)
            elif number < STEPS - 12:
                folder = "caffe2/torch/CMakeFiles/torch_python.dir/csrc/autograd"
                yield self._unit(f"Building CXX object {folder}", f"python_{number}.cpp", "cc1plus", 14.0, 0.9)
            else:
                yield self._unit("Linking CXX shared library lib", f"libtorch_{STEPS - number}.so", "ld", 30.0, 1.8)

    def _unit(self, verb: str, name: str, tool: str, median: float, memory: float) -> _Unit:
        pick = self._random
        seconds = max(0.2, median * math.exp(pick.gauss(0, 0.55)))
        shown = f"{name} (gfx1030)" if tool == "clang" else name
        suffix = "" if tool == "ld" else ".o"
        return _Unit(f"{verb}/{name}{suffix}", shown, tool, seconds, memory * 1e9 * pick.uniform(0.8, 1.2))

    def _start(self) -> None:
        while self._queue and not self._draining and len(self._running) < self._limit:
            # The large units start together: a chain of the build lets them all go at once.
            large = self._queue[-1].seconds > 600
            if large and any(unit.seconds <= 600 for unit in self._running):
                return
            if not large and any(unit.seconds > 600 for unit in self._running):
                return
            unit = self._queue.pop()
            self._pid += self._random.randint(2, 9)
            unit.pid = self._pid
            self._running.append(unit)

    def _work(self) -> Iterator[Entry]:
        for unit in list(self._running):
            unit.age += _TICK
            unit.worked += 0.0 if unit.paused else _TICK
            if unit.worked >= unit.seconds:
                self._running.remove(unit)
                self._done += 1
                yield Entry(self.now, Edge(self._done - self._base, STEPS - self._base, unit.what))

    def _kill(self) -> Iterator[Entry]:
        self._killed = self._draining = True
        victim = max(self._running, key=lambda unit: unit.memory)
        self._running.remove(victim)
        victim.worked = victim.age = 0.0
        self._queue.append(victim)
        self._limit = 18
        reason = f"{victim.name} was killed for memory"
        yield Entry(self.now, Limit(self._limit, reason))
        yield Entry(self.now, Note(f"{reason}: it goes on with {self._limit} jobs at once", level="warning"))

    def _hold(self) -> Iterator[Entry]:
        wanted = 4 if HELD_FROM <= self._done < HELD_TO else 0
        held = [unit for unit in self._running if unit.paused]
        if len(held) < wanted and len(self._running) > 8:
            unit = self._running[-1]
            if not unit.paused:
                unit.paused = True
                yield Entry(self.now, Note(f"memory is short: {unit.name} is held until there is room"))
        for unit in held if len(held) > wanted else ():
            unit.paused = False
            yield Entry(self.now, Note(f"{unit.name} goes on"))

    def _sample(self) -> Sample:
        pick = self._random
        running = [unit for unit in self._running if not unit.paused]
        wanted = 3.2e9 + sum(unit.memory_now for unit in self._running)
        short = OOM_AT - 90 < self._done < OOM_AT + 1 or HELD_FROM <= self._done < HELD_TO
        if short:
            wanted = max(wanted, _MEMORY * pick.uniform(0.955, 0.985))
        self._swap += ((wanted - 0.9 * _MEMORY) * 0.9 - self._swap) * (0.15 if short else 0.01)
        self._swap = min(max(self._swap, 0.0), _SWAP)
        before_kill = OOM_AT - 90 < self._done < OOM_AT + 1
        some, full = (38.0, 17.0) if before_kill else (14.0, 3.0) if short else (0.4, 0.0)
        busy = min(1.0, len(running) / THREADS * pick.uniform(0.96, 1.0)) * (0.6 if before_kill else 1.0)
        quiet = any(unit.seconds > 600 for unit in self._running)
        jobs = sorted(self._running, key=lambda unit: -unit.age)
        return Sample(
            cpu=round(busy, 3),
            build_cpu=round(busy * THREADS * 0.98, 2),
            memory_total=_MEMORY,
            memory_available=int(max(0.3e9, _MEMORY - wanted)),
            swap_total=_SWAP,
            swap_used=int(self._swap),
            some_pressure=some,
            full_pressure=full,
            disk_free=int(140e9 - 4e6 * self._done),
            temperature=round(58 + 24 * busy + (10 if quiet else 0) + pick.uniform(-1, 1)),
            jobs=tuple(
                Job(unit.pid, unit.tool, unit.name, unit.age, unit.worked, int(unit.memory_now), unit.paused)
                for unit in jobs
            ),
        )
