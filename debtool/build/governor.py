"""How many jobs may run while memory is short: the youngest are held, and let go again when there is room.

A held job (SIGSTOP) keeps the memory that it has but asks for no more, so those that are further can finish. Holding
works for whatever runs the compilers; ninja itself cannot be told another number of jobs while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from debtool.build.journal import Job, Sample

_LOW = 0.05
"""Part of the memory below which another job is held: one large compiler can take as much within seconds."""
_LEAST = 400 * 2**20
"""Bytes below which another job is held, on machines where the part above is less."""
_ROOM = 0.15
"""Part of the memory above which a held job goes on: clearly above `_LOW`, lest jobs be held and let go in turn."""
_STALLED = 20.0
"""Percent of time in which everything waited for memory (PSI ``full avg10``) from which another job is held: with swap,
memory is "available" long after work has all but stopped."""
_CALM = 2.0
"""Percent of the same below which a held job goes on."""
_HOPELESS = 60.0
"""Seconds that a single job may stay short of memory before a held one is ended to make room."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Attributes:
        hold: Processes to be held.
        release: Processes to be let go on.
        end: A held process to be ended, so that its memory is free; its step is done again later.
    """

    hold: tuple[int, ...] = ()
    release: tuple[int, ...] = ()
    end: int | None = None


class Governor:
    """Decides after each sample; it only counts, others act."""

    def __init__(self) -> None:
        self._short_since: float | None = None

    def decide(self, sample: Sample, jobs: Sequence[Job], now: float) -> Decision:
        """Return what to do about ``jobs``, of which some may be held, ``now`` seconds after whatever start."""
        running = [job for job in jobs if not job.paused]
        held = [job for job in jobs if job.paused]
        if held and not running:
            self._short_since = None
            return Decision(release=(_oldest(held).pid,))
        if self._short(sample):
            if len(running) > 1:
                self._short_since = None
                return Decision(hold=(_youngest(running).pid,))
            if self._short_since is None:
                self._short_since = now
            if held and now - self._short_since >= _HOPELESS:
                self._short_since = now
                return Decision(end=_youngest(held).pid)
            return Decision()
        self._short_since = None
        if held and _roomy(sample):
            return Decision(release=(_oldest(held).pid,))
        return Decision()

    @staticmethod
    def _short(sample: Sample) -> bool:
        few = sample.memory_available < max(_LOW * sample.memory_total, min(_LEAST, 0.1 * sample.memory_total))
        return few or (sample.full_pressure or 0.0) >= _STALLED


def _roomy(sample: Sample) -> bool:
    return sample.memory_available > _ROOM * sample.memory_total and (sample.full_pressure or 0.0) < _CALM


def _youngest(jobs: Sequence[Job]) -> Job:
    """The one that loses least: with the least processor time so far."""
    return min(jobs, key=lambda job: (job.cpu, -job.pid))


def _oldest(jobs: Sequence[Job]) -> Job:
    return max(jobs, key=lambda job: (job.cpu, -job.pid))
