"""When a build will have compiled everything: from its own pace, and from how long each step took in an earlier build.

A step's weight is the seconds that it took earlier; without a record every step weighs the same. The pace is weight
per working second, so that it holds both how fast this machine is against the earlier build's and how many jobs are
at work at once. Two paces are looked at, of the whole build and of its recent part: one knows the average, the other
what has changed (fewer jobs, larger files, a cache that no longer helps).
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from debtool.deb.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from debtool.build.progress import Finished, Progress, Steps

HISTORY = "history.json"
"""The record's name, beside a build's journal."""

_FEWEST_STEPS = 20
_FEWEST_SECONDS = {"history": 60.0, "pace": 300.0}
"""Before that many steps and seconds nothing that deserves to be called a pace is known. Steps alone say little at
first: in the real build of tests/build/test_pace.py, the first quarter of them took a thirtieth of the time."""
_KNOWN = 0.5
"""Part of the finished steps that must be in an earlier record, for that record to be about this build."""
_RECENT_PART = 0.2
_RECENT_SECONDS = 300.0
"""The recent part: the last fifth, or five minutes where that is more."""
_WIDTH = 0.15
"""By that part, a range of an earlier record is wider than its two paces say."""
_LOW, _HIGH = 0.7, 2.5
"""By these, a range of a mere count of steps; and at its upper end by the part of the steps that is ahead besides.

It is that wide because the largest files of PyTorch come late: in the real build, three quarters through what was
recorded of it, three times as much time was left as the number of steps said.
"""
_STILL = 0.5
"""When the time that was left is used up and nothing has finished meanwhile: what is left is told as this part of the
time since the last step. What has lasted long lasts on."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left of the present phase.

    Attributes:
        seconds: Working seconds that are left, most likely.
        low: At least so many, most likely.
        high: At most so many, most likely.
        basis: Whether an earlier build's record was used, or this build's pace alone.
    """

    seconds: float
    low: float
    high: float
    basis: Literal["history", "pace"]


def estimate(progress: Progress, now: float, history: Mapping[str, float] | None = None) -> Estimate | None:
    """Return what is left of the present phase at ``now``; None while too little is known, or nothing is left.

    ``history`` has the seconds that outputs took in an earlier build (`read_history`).
    """
    busy = [sum(not job.paused for job in sample.jobs) for _, sample in progress.recent]
    parallel = sum(busy) / len(busy) if busy else 1.0
    return estimate_steps(progress.steps, progress.worked(now), history or {}, max(1.0, parallel))


def estimate_steps(steps: Steps, worked: float, history: Mapping[str, float], parallel: float = 1.0) -> Estimate | None:
    """Return what is left of ``steps`` after ``worked`` working seconds, ``parallel`` jobs at once."""
    finished = steps.finished
    if steps.left == 0 or len(finished) < _FEWEST_STEPS:
        return None
    outputs = [step.output for step in finished]
    known = [history[output] for output in outputs if output in history]
    if len(known) < _KNOWN * len(outputs) or not sum(known):
        history, known = {}, [1.0]
    basis: Literal["history", "pace"] = "history" if history else "pace"
    if finished[-1].worked < _FEWEST_SECONDS[basis]:
        return None
    # What is not in the record is taken for an average one of its time: small files come first.
    mean = sum(known) / len(known)
    done = list(accumulate(history.get(output, mean) for output in outputs))
    ahead, longest = _weight_ahead(steps.left, outputs, history, mean)
    whole, recent = _paces(finished, done)
    if not history:
        # Nothing tells that long steps are on their way meanwhile; the pace falls.
        whole = done[-1] / worked
        both = sorted([ahead / whole, ahead / recent])
        high = both[1] * (_HIGH + steps.left / steps.whole)
        return Estimate(sum(both) / 2, both[0] * _LOW, high, basis)
    # The longest step cannot be shared among jobs: near the end, linking takes as long as linking takes.
    floor = longest * parallel / recent
    idle = max(0.0, worked - finished[-1].worked)
    low, high = (max(seconds, floor) - idle for seconds in sorted([ahead / whole, ahead / recent]))
    still = idle * _STILL
    return Estimate(
        max((low + high) / 2, still), max(low * (1 - _WIDTH), still), max(high * (1 + _WIDTH), still), basis
    )


def _weight_ahead(left: int, outputs: Iterable[str], history: Mapping[str, float], mean: float) -> tuple[float, float]:
    """Return the weight of the ``left`` steps and of the heaviest among them; 0 for that where none is known.

    The record may have outputs that this build has not, or lack some that it has: ninja's count decides. ``mean`` is
    the weight of one where the record has none of them.
    """
    rest = [history[output] for output in history.keys() - set(outputs)]
    if not rest:
        return left * mean, 0.0
    return left * sum(rest) / len(rest), max(rest)


def _paces(finished: list[Finished], done: list[float]) -> tuple[float, float]:
    """Return the weight per working second of all of ``finished`` and of the recent part."""
    end = finished[-1].worked
    since = end - max(_RECENT_SECONDS, _RECENT_PART * end)
    first = bisect_left(finished, since, key=lambda step: step.worked)
    whole = done[-1] / end
    if first == 0 or finished[first - 1].worked >= end:
        return whole, whole
    before = first - 1
    recent = (done[-1] - done[before]) / (end - finished[before].worked)
    # All of a recent part may weigh next to nothing (files that the record says were copied): no pace to divide by.
    return whole, max(recent, whole / 10)


def durations_of(finished: Iterable[Finished], log: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of each finished step's output, as ninja's log (``read_log``) has them.

    The log has every output of a step that has several; a record has one each, so that a step counts once.
    """
    return {step.output: log[step.output] for step in finished if step.output in log}


def keep_history(path: Path, durations: Mapping[str, float]) -> None:
    """Make ``path`` the record of a build: the seconds that each output took.

    What took longer by the record that is there keeps that: since then a compiler cache has answered, which it does not
    do for other settings.
    """
    earlier = read_history(path)
    longer = {output: max(round(taken, 2), earlier.get(output, 0.0)) for output, taken in sorted(durations.items())}
    replace_file(path, json.dumps({"schema": 1, "seconds": longer}, indent=0).encode())


def read_history(path: Path) -> dict[str, float]:
    """Return the record in ``path``; one that is not there or cannot be read is empty: it only sharpens a forecast."""
    try:
        values = {output: float(seconds) for output, seconds in json.loads(path.read_bytes())["seconds"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {output: seconds for output, seconds in values.items() if 0 <= seconds < math.inf}


def nearest_history(journal: Path) -> Path | None:
    """Return the record for the build that writes ``journal``: its own of earlier, else the newest of its siblings'."""
    own = journal.with_name(HISTORY)
    if own.is_file():
        return own
    others = [path for path in journal.parent.parent.glob(f"*/{HISTORY}") if path.is_file()]
    return max(others, key=lambda path: path.stat().st_mtime, default=None)


def human_time(seconds: float) -> str:
    """Return a duration as people say it, two units at most.

    >>> human_time(45.4), human_time(250), human_time(5520), human_time(200_000)
    ('45 s', '4 min', '1 h 32 min', '2 d 8 h')
    """
    whole = max(0, round(seconds))
    if whole < 60:  # noqa: PLR2004 -- seconds in a minute
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:  # noqa: PLR2004 -- minutes in an hour
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:  # noqa: PLR2004 -- hours in a day
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(hours + minutes / 60), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
