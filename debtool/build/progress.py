"""How far a build is, from the events of its journal: the state that all views of it show."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from debtool.build.journal import Begin, Edge, End, Entry, Limit, Note, Phase, Sample
from debtool.build.ninja import output_of
from debtool.deb.workers import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable

Status: TypeAlias = Literal["waiting", "running", "done", "failed", "interrupted", "dead"]
"""``waiting``: nothing has begun; ``dead``: it neither runs nor has it said how it ended."""

_NOTES = 20
_PREPARING = ("Re-running CMake", "Generating ")
"""What ninja does before it reads its own file again, and until then counts alone."""
_RECENT = 600.0
"""Seconds of samples that are kept: what judges the moment looks no further back."""


class Finished(NamedTuple):
    """A step that was finished.

    Attributes:
        time: When, in seconds since 1970-01-01 UTC.
        worked: The phase's working seconds until then, without the time in which no run was at it.
        output: What it made (`ninja.output_of`).
    """

    time: float
    worked: float
    output: str


@dataclass(slots=True)
class Run:
    """One run of the build, from its beginning to its end or to the last that was heard of it."""

    begin: Begin
    began: float
    last: float
    end: End | None = None


@dataclass(slots=True)
class Stage:
    """A phase of a run; ``ended`` is None while it lasts."""

    name: str
    number: int
    of: int
    began: float
    kept: bool
    ended: float | None = None

    def seconds(self, now: float) -> float:
        """Return how long it took, or has been taking until ``now``."""
        return max(0.0, (now if self.ended is None else self.ended) - self.began)


@dataclass(slots=True)
class Steps:
    """The steps of one phase, over all runs.

    ninja counts anew whenever it is started, and then only what is left. What is left is therefore what it says, and
    the whole is the most that it ever said.

    Attributes:
        left: Steps that are still to be done.
        whole: Steps in all.
        finished: Those that were finished, in order; one that was done twice is there twice.
        before: Working seconds of the phase in earlier runs.
    """

    left: int = 0
    whole: int = 0
    finished: list[Finished] = field(default_factory=list)
    before: float = 0.0

    @property
    def done(self) -> int:
        """Steps that are done."""
        return self.whole - self.left


class Progress:
    """The state of a build; `take` every entry of its journal, in order.

    Attributes:
        runs: All runs, the present one last.
        stages: The phases of the present run, the present one last.
        limit: How many jobs run at once at most.
        sample: The last sample, None before the first.
        recent: The last minutes' samples of the present run with their times.
        notes: The last notes with their times.
        last: The time of the last entry.
        active: When the present run last finished a step, or began its phase.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.stages: list[Stage] = []
        self.limit = 0
        self.sample: Sample | None = None
        self.recent: deque[tuple[float, Sample]] = deque()
        self.notes: deque[tuple[float, Note]] = deque(maxlen=_NOTES)
        self.last = 0.0
        self.active = 0.0
        self._steps: dict[str, Steps] = {}

    def take(self, entry: Entry) -> None:
        """Let ``entry`` change the state."""
        now = entry.time
        match entry.event:
            case Begin() as begin:
                self._begin(begin, now)
            case Phase(name, number, of, kept):
                self._close(now)
                self.stages.append(Stage(name, number, of, now, kept))
                self.active = now
            case Edge() as edge:
                self._step(edge, now)
            case Sample() as sample:
                self._sample(sample, now)
            case Limit(jobs=jobs):
                self.limit = jobs
            case Note() as note:
                # Each run says again what it found of the machine.
                others = [(then, other) for then, other in self.notes if other != note]
                self.notes = deque([*others, (now, note)], maxlen=_NOTES)
            case End() as end if self.runs:
                self._close(now)
                self.runs[-1].end = end
        self.last = max(self.last, now)
        if self.runs:
            self.runs[-1].last = max(self.runs[-1].last, now)

    @property
    def title(self) -> str:
        """What is built; "" before the first run."""
        return self.runs[-1].begin.title if self.runs else ""

    @property
    def stage(self) -> Stage | None:
        """The present phase, or the last one of a run that ended."""
        return self.stages[-1] if self.stages else None

    @property
    def steps(self) -> Steps:
        """The steps of the present phase; those of a phase without any are none."""
        return self._steps.get(self.stages[-1].name, Steps()) if self.stages else Steps()

    @property
    def ended(self) -> End | None:
        """How the present run ended; None while it has not said so."""
        return self.runs[-1].end if self.runs else None

    def worked(self, now: float) -> float:
        """Return the present phase's working seconds until ``now``, over all runs."""
        stage = self.stage
        return self.steps.before + (stage.seconds(now) if stage and stage.ended is None else 0.0)

    def elapsed(self, now: float) -> float:
        """Return the seconds of all runs until ``now``, without the time between them."""
        past = sum(run.last - run.began for run in self.runs[:-1])
        if not self.runs:
            return 0.0
        run = self.runs[-1]
        return past + max(0.0, (now if run.end is None else run.last) - run.began)

    def status(self, boot: str, alive: Callable[[int], bool] | None = None) -> Status:
        """Return what the build is at.

        Args:
            boot: The present boot of the machine that the journal is on (``Begin.boot``).
            alive: Whether a process lives there; None asks the kernel.
        """
        if not self.runs:
            return "waiting"
        run = self.runs[-1]
        if run.end is not None:
            return run.end.status
        living = run.begin.boot == boot and (alive or is_alive)(run.begin.pid)
        return "running" if living else "dead"

    def _begin(self, begin: Begin, now: float) -> None:
        self._close(self.last)  # of a run that was killed
        self.runs.append(Run(begin, now, now))
        self.stages, self.limit, self.sample, self.active = [], begin.jobs, None, now
        self.recent.clear()

    def _sample(self, sample: Sample, now: float) -> None:
        self.sample = sample
        self.recent.append((now, sample))
        while now - self.recent[0][0] > _RECENT:
            self.recent.popleft()

    def _step(self, edge: Edge, now: float) -> None:
        if not self.stages:
            return
        steps = self._steps.setdefault(self.stages[-1].name, Steps())
        if not (edge.total < steps.whole and edge.what.startswith(_PREPARING)):
            steps.whole = max(steps.whole, edge.total)
            steps.left = max(0, edge.total - edge.done)
        steps.finished.append(Finished(now, self.worked(now), output_of(edge.what)))
        self.active = now

    def _close(self, now: float) -> None:
        """End the present phase."""
        stage = self.stage
        if stage is None or stage.ended is not None:
            return
        if stage.name in self._steps:
            self._steps[stage.name].before = self.worked(now)
        stage.ended = now
