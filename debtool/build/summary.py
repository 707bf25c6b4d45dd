"""A build's journal as one page that stands alone: what happened when, how memory and pace went, what took long."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from debtool.build import plot
from debtool.build.journal import Begin, Edge, Job, Limit, Note, Reader, Sample
from debtool.build.pace import human_time
from debtool.build.plot import Plot, Series, Timeline, make_plot
from debtool.build.progress import Progress, Stage
from debtool.deb.files import replace_file
from debtool.model.errors import InputError, Issue
from debtool.model.text import amount, human_bytes, thousands, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from debtool.build.journal import Entry

_LONGEST = 20
_MARKS = 60
"""Notes that are marked in the plots; warnings go first."""
_NOTES = 300
"""Notes that the page lists."""
_BINS = 120
"""Parts of the build that a pace is told for."""
_LEAST_BIN = 60.0


def write_summary(journal: Path, out: Path) -> None:
    """Write the page about ``journal`` to ``out``; the same journal gives the same bytes in the same time zone.

    Raises:
        InputError: There is no build in the journal, or no journal.
    """
    try:
        record = _read(Reader(journal).new())
    except FileNotFoundError:
        raise InputError(Issue("there is no such file", fix="check the path", file=journal)) from None
    if not record.progress.runs:
        raise InputError(Issue("no build is told of in it", fix="name the journal of a build", file=journal))
    replace_file(out, _page(record))


@dataclass(slots=True)
class _Record:
    """What the page needs of a journal."""

    progress: Progress = field(default_factory=Progress)
    stages: list[Stage] = field(default_factory=list)
    samples: list[tuple[float, Sample]] = field(default_factory=list)
    limits: list[tuple[float, int]] = field(default_factory=list)
    notes: list[tuple[float, Note]] = field(default_factory=list)
    edges: list[float] = field(default_factory=list)
    jobs: dict[tuple[int, int, str, str], Job] = field(default_factory=dict)
    peak: int = 0
    """The most memory that all compilers together had."""


def _read(entries: Iterable[Entry]) -> _Record:
    record = _Record()
    for entry in entries:
        record.progress.take(entry)
        stage = record.progress.stage
        if stage is not None and (not record.stages or record.stages[-1] is not stage):
            record.stages.append(stage)
        now = entry.time
        match entry.event:
            case Begin(jobs=jobs) | Limit(jobs=jobs):
                record.limits.append((now, jobs))
            case Note() as note:
                record.notes.append((now, note))
            case Edge():
                record.edges.append(now)
            case Sample() as sample:
                record.samples.append((now, sample))
                _take_jobs(record, sample)
    return record


def _take_jobs(record: _Record, sample: Sample) -> None:
    run = len(record.progress.runs)
    for job in sample.jobs:
        key = (run, job.pid, job.tool, job.what)
        seen = record.jobs.get(key)
        memory = max(job.memory, seen.memory) if seen else job.memory
        seconds = max(job.seconds, seen.seconds) if seen else job.seconds
        record.jobs[key] = Job(job.pid, job.tool, job.what, seconds, job.cpu, memory)
    record.peak = max(record.peak, sum(job.memory for job in sample.jobs))


def _page(record: _Record) -> bytes:
    progress = record.progress
    timeline = Timeline([(run.began, run.last) for run in progress.runs])
    marked = sorted(sorted(record.notes, key=lambda one: one[1].level != "warning")[:_MARKS], key=lambda one: one[0])
    values = {
        "title": progress.title,
        "status": progress.ended.status if progress.ended else "not ended",
        "result": progress.ended.text if progress.ended else "",
        "facts": list(_facts(record)),
        "box": plot,
        "plots": _plots(record, timeline),
        "stages": [_stage(stage, timeline, progress.last) for stage in record.stages if not stage.kept],
        "gaps": [(span, human_time(seconds)) for span, seconds in timeline.gaps],
        "ticks": [(x, human_time(second) if second else "0") for x, second in timeline.ticks],
        "marks": [(timeline.x(when), note.level, _clock(when), visible(note.text)) for when, note in marked],
        "notes": [(_moment(when), note.level, visible(note.text)) for when, note in record.notes[-_NOTES:]],
        "omitted": max(0, len(record.notes) - _NOTES),
        "longest": _longest(record),
    }
    return _environment().get_template("summary.html.j2").render(**values).encode("utf-8", "replace")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    return environment


def _facts(record: _Record) -> Iterator[tuple[str, str]]:
    progress = record.progress
    runs = progress.runs
    yield "began", _moment(runs[0].began)
    yield "ended" if progress.ended else "last heard of", _moment(progress.last)
    between = runs[-1].last - runs[0].began - progress.elapsed(progress.last)
    yield "worked", human_time(progress.elapsed(progress.last))
    if len(runs) > 1:
        yield "runs", f"{len(runs)}, with {human_time(between)} between them"
    yield "steps", thousands(len(record.edges))
    begin = runs[-1].begin
    yield "machine", f"{amount(begin.cpus, 'processor')}, {human_bytes(begin.memory)} of memory"
    limits = sorted({jobs for _, jobs in record.limits})
    yield "jobs at once", " to ".join(thousands(jobs) for jobs in dict.fromkeys([limits[0], limits[-1]]))
    if not record.samples:
        return
    samples = [sample for _, sample in record.samples]
    yield "peak memory", human_bytes(max(_used(sample) for sample in samples))
    yield "peak of the compilers", human_bytes(record.peak)
    if any(sample.swap_total for sample in samples):
        yield "peak swap", human_bytes(max(sample.swap_used for sample in samples))
    yield "processors busy", f"{sum(sample.cpu for sample in samples) / len(samples):.0%} on average"
    if temperatures := [sample.temperature for sample in samples if sample.temperature is not None]:
        yield "hottest", f"{max(temperatures):.0f} °C"
    yield "least free disk", human_bytes(min(sample.disk_free for sample in samples))


def _plots(record: _Record, timeline: Timeline) -> list[Plot]:
    samples = record.samples
    cpus = record.progress.runs[-1].begin.cpus
    used = [(when, float(_used(sample))) for when, sample in samples]
    swap = [(when, float(sample.swap_used)) for when, sample in samples if sample.swap_total]
    total = [(when, float(sample.memory_total)) for when, sample in samples]
    running = [(when, float(sum(not job.paused for job in sample.jobs))) for when, sample in samples]
    held = [(when, float(sum(job.paused for job in sample.jobs))) for when, sample in samples]
    limit = [(when, float(jobs)) for when, jobs in _lasting(record)]
    pace = list(_pace(record.edges, timeline, record))
    cpu = [(when, sample.cpu) for when, sample in samples]
    build = [(when, sample.build_cpu / max(1, cpus)) for when, sample in samples]
    return [
        make_plot(
            "memory",
            "Memory",
            f"Memory in use, at most {human_bytes(_most(used))} of {human_bytes(_most(total))}; "
            f"swap, at most {human_bytes(_most(swap))}.",
            timeline,
            [
                Series("in use", "first", "area", used, most=True),
                Series("swap used", "bad", "line", swap, most=True),
                Series("all there is", "limit", "step", total, most=True),
            ],
            human_bytes,
        ),
        make_plot(
            "jobs",
            "Compilers at work",
            f"Compilers at work, at most {_most(running):.0f}; held for memory, at most {_most(held):.0f}; "
            f"allowed at once, at most {_most(limit):.0f}.",
            timeline,
            [
                Series("at work", "first", "area", running),
                Series("held", "bad", "line", held if any(value for _, value in held) else [], most=True),
                Series("limit", "limit", "step", limit, most=True),
            ],
            lambda value: f"{value:.3g}",
        ),
        make_plot(
            "pace",
            "Pace",
            f"Steps finished each minute, at most {_most(pace):.0f}; {thousands(len(record.edges))} in all.",
            timeline,
            [Series("steps a minute", "first", "area", pace)],
            lambda value: f"{value:.3g}/min",
        ),
        make_plot(
            "cpu",
            "Processors",
            f"Part of {amount(cpus, 'processor')} that was busy, at most {_most(cpu):.0%}, and what the build used.",
            timeline,
            [Series("busy", "second", "area", cpu), Series("by the build", "first", "line", build)],
            lambda value: f"{value:.0%}",
        ),
    ]


def _lasting(record: _Record) -> Iterator[tuple[float, int]]:
    """Yield the limit at every change and at the end of every run, up to which it lasted."""
    changes = iter([*record.limits, (float("inf"), 0)])
    change = next(changes)
    for run in record.progress.runs:
        jobs = run.begin.jobs
        while change[0] <= run.last:
            yield change
            jobs = change[1]
            change = next(changes)
        yield run.last, jobs


def _pace(edges: list[float], timeline: Timeline, record: _Record) -> Iterator[tuple[float, float]]:
    """Yield the steps a minute in each part of each run."""
    if not edges:
        return
    width = max(_LEAST_BIN, timeline.seconds / _BINS)
    runs: dict[int, dict[int, int]] = {}
    for when in edges:
        run = timeline.run_of(when)
        counts = runs.setdefault(run, {})
        part = int(max(0.0, when - record.progress.runs[run].began) / width)
        counts[part] = counts.get(part, 0) + 1
    for run, counts in runs.items():
        began, last = record.progress.runs[run].began, record.progress.runs[run].last
        for part in range(max(counts) + 1):
            begin = began + part * width
            # The last part of a run may be cut short: its pace is that of the time that it had.
            seconds = min(width, max(_LEAST_BIN / 2, last - begin))
            yield begin + seconds / 2, counts.get(part, 0) * 60 / seconds


def _stage(stage: Stage, timeline: Timeline, last: float) -> dict[str, Any]:
    end = last if stage.ended is None else stage.ended
    return {
        "name": visible(stage.name),
        "span": timeline.span(stage.began, end),
        "seconds": human_time(stage.seconds(last)),
        "began": _moment(stage.began),
    }


def _longest(record: _Record) -> list[dict[str, str]]:
    jobs = sorted(record.jobs.values(), key=lambda job: (-job.seconds, job.what, job.pid))[:_LONGEST]
    return [
        {
            "what": visible(job.what or job.tool),
            "tool": visible(job.tool),
            "seconds": human_time(job.seconds),
            "memory": human_bytes(job.memory),
        }
        for job in jobs
    ]


def _used(sample: Sample) -> int:
    return max(0, sample.memory_total - sample.memory_available)


def _most(points: list[tuple[float, float]]) -> float:
    return max((value for _, value in points), default=0.0)


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def _clock(when: float) -> str:
    return time.strftime("%H:%M", time.localtime(when))
