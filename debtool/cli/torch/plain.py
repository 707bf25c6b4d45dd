"""A build for logs: a line now and then, when something is worth one, without anything that only terminals obey."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from debtool.build.health import judge
from debtool.build.journal import Begin, Edge, End, Limit, Note, Phase, Sample
from debtool.build.pace import estimate, human_time
from debtool.model.text import human_bytes, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from debtool.build.journal import Entry
    from debtool.build.progress import Progress

_PART = 0.02
_SECONDS = 60.0
"""Progress is told after that part of all steps, or that long after the last line about it, whichever comes first."""
_AGAIN = 300.0
"""Seconds after which it is said again that all is quiet, or that it is not well."""


class PlainLines:
    """Turns entries, each of which ``progress`` has just taken, into lines."""

    def __init__(self, progress: Progress, history: Mapping[str, float]) -> None:
        self._progress = progress
        self._history = history
        self._told_done = 0
        self._told_at = 0.0
        self._state = "working"
        self._state_at = 0.0

    def of(self, entry: Entry) -> Iterator[str]:
        """Yield the lines that ``entry`` is worth."""
        for text in self._texts(entry):
            yield f"{time.strftime('%H:%M:%S', time.localtime(entry.time))} {visible(text)}"

    def _texts(self, entry: Entry) -> Iterator[str]:
        progress, now = self._progress, entry.time
        match entry.event:
            case Begin() as begin:
                self._state = "working"
                again = f" goes on, run {len(progress.runs)}" if len(progress.runs) > 1 else ""
                yield f"{begin.title}{again}: {begin.jobs} jobs at most, {human_bytes(begin.memory)} of memory"
            case Phase(name, number, of, kept):
                self._told_done, self._told_at = progress.steps.done, now
                yield f"phase {number} of {of}: {name}{' (done before)' if kept else ''}"
            case Edge():
                steps = progress.steps
                # After a change of the settings more is left than an earlier run left.
                self._told_done = min(self._told_done, steps.done)
                due = steps.done - self._told_done >= _PART * steps.whole or now - self._told_at >= _SECONDS
                if (due or steps.left == 0) and steps.done > self._told_done:
                    self._told_done, self._told_at = steps.done, now
                    yield self._steps(now)
            case Sample():
                yield from self._health(now)
            case Limit(jobs, why):
                yield f"from now on {jobs} at once at most: {why}"
            case Note(text, level):
                yield f"{'warning: ' if level == 'warning' else ''}{text}"
            case End(status, text):
                yield f"{status} after {human_time(progress.elapsed(now))}: {text}"

    def _steps(self, now: float) -> str:
        progress = self._progress
        steps = progress.steps
        name = progress.stages[-1].name
        text = f"{name}: {steps.done}/{steps.whole} ({steps.done / steps.whole:.0%})"
        if (found := estimate(progress, now, self._history)) is not None:
            text += f", about {human_time(found.seconds)} left ({human_time(found.low)} to {human_time(found.high)})"
        return text

    def _health(self, now: float) -> Iterator[str]:
        health = judge(self._progress, now)
        changed = health.state != self._state
        again = health.state != "working" and now - self._state_at >= _AGAIN
        if not changed and not again:
            return
        # That steps finish again after a quiet time is said by the next line about steps.
        told = health.state != "working" or self._state != "quiet"
        self._state, self._state_at = health.state, now
        if told:
            yield " ".join([health.text, *health.also])
