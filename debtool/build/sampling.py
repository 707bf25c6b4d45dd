"""Samples in the journal while debtool itself works, and not a command that it drives: audits, emulated runs."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from debtool.build.machine import Sensor
from debtool.build.processes import below, cpu_seconds, job_of, read_process

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from debtool.build.journal import Job, Journal, Sample
    from debtool.build.processes import Process

_PERIOD = 5.0
"""Seconds between two samples, as `drive` writes them."""


def look(sensor: Sensor, pid: int) -> tuple[dict[int, Process], list[Job], Sample]:
    """Return the processes below ``pid`` by number, what is at work among them, longest first, and a sample."""
    processes = {process.pid: process for process in below(pid)}
    jobs = sorted(filter(None, map(job_of, processes.values())), key=lambda job: -job.seconds)
    # ``pid`` is in it for those that have ended: their time is their parents', and in the end its own.
    everything = [*processes.values(), *filter(None, [read_process(pid)])]
    return processes, jobs, sensor.sample(jobs, cpu_seconds(everything))


class Sampling:
    """Writes a sample now and then, as long as its context lasts.

    Args:
        journal: Where to; a line is one write(2), so that others may write meanwhile.
        folder: The build's folder, whose disk is looked at.
        period: Seconds between two samples.
    """

    def __init__(self, journal: Journal, folder: Path, *, period: float = _PERIOD) -> None:
        self._journal = journal
        self._sensor = Sensor(folder)
        self._period = period
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            _, _, sample = look(self._sensor, os.getpid())
            self._journal.write(sample)
            if self._done.wait(self._period):
                return
