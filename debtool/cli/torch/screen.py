"""A build on a terminal's screen: as many lines as there is room for, the most important ones first."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from debtool.build.pace import human_time
from debtool.model.text import human_bytes, thousands, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from debtool.build.health import Health
    from debtool.build.journal import Job, Note, Sample
    from debtool.build.pace import Estimate
    from debtool.build.progress import Progress, Status

COLOURS = {
    "working": "green",
    "quiet": "cyan",
    "held": "yellow",
    "swapping": "bold red",
    "stuck": "bold red",
    "silent": "bold red",
    "running": "green",
    "waiting": "cyan",
    "done": "bold green",
    "failed": "bold red",
    "interrupted": "yellow",
    "dead": "bold red",
}
_LEAST_WIDTH = 40
_MOST_WIDTH = 140
_WIDE = 100
"""Columns from which there is room for the processes' numbers and processor time."""
_NOTE_LINES = 3
"""Lines of notes that are shown even where compilers would fill the screen."""
_FULL = 0.92
"""Part of the memory from which the bar warns."""


@dataclass(frozen=True, slots=True)
class Moment:
    """All that is shown of a build at one moment.

    Attributes:
        progress: Its state.
        now: The moment.
        status: What it is at.
        health: How it is doing; None unless it runs.
        estimate: What is left of the phase, if that is known.
    """

    progress: Progress
    now: float
    status: Status
    health: Health | None
    estimate: Estimate | None


def draw(moment: Moment, console: Console, *, width: int, height: int | None) -> Group:
    """Return the screen for ``moment``, in ``width`` columns and at most ``height`` lines; None means all lines."""
    width = max(_LEAST_WIDTH, min(width, _MOST_WIDTH))
    fancy = console.encoding.lower().startswith("utf")
    progress, sample = moment.progress, moment.progress.sample
    top: list[Text | str] = [_title(moment, width), *_phases(moment, width), *_steps(moment, width, fancy=fancy)]
    if sample is not None and moment.status == "running":
        top += ["", *_machine(sample, progress, width, fancy=fancy)]
    told = _health(moment, console, width)
    jobs = list(sample.jobs) if sample is not None and moment.status == "running" else []
    notes = list(progress.notes)
    room = 10_000 if height is None else height - len(top) - len(told)
    noted = [line for when, note in notes for line in note_line(when, note).wrap(console, width)]
    kept = min(len(noted), _NOTE_LINES)
    shown_jobs = _job_lines(jobs, room - 1 - (kept + 2 if noted else 0), width)
    left = max(0, room - (len(shown_jobs) + 1 if shown_jobs else 0) - 2)
    last_notes = noted[-left:] if left else []
    lines: list[Text | str] = [*top]
    if shown_jobs:
        lines += ["", *shown_jobs]
    if last_notes:
        lines += ["", Text("notes", "bold"), *last_notes]
    lines += told
    if height is not None and len(lines) > height:
        lines = [*lines[: max(0, height - len(told))], *told]  # too low a screen: how it is doing goes before all else
    return Group(*(_fitted(line, width) for line in lines))


def bar(part: float, width: int, style: str, *, fancy: bool) -> Text:
    """Return a bar of ``width`` columns, of which ``part`` is full; in ASCII unless ``fancy``.

    >>> bar(0.5, 8, "green", fancy=False).plain
    '####----'
    """
    full = round(min(1.0, max(0.0, part)) * width)
    line = Text(("█" if fancy else "#") * full, style)
    line.append(("░" if fancy else "-") * (width - full), "bright_black")
    return line


def _fitted(line: Text | str, width: int) -> Text:
    text = Text(line) if isinstance(line, str) else line
    text.rstrip()
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text


def _title(moment: Moment, width: int) -> Text:
    progress = moment.progress
    right = f"{moment.status}, {human_time(progress.elapsed(moment.now))}"
    if len(progress.runs) > 1:
        right += f", run {len(progress.runs)}"
    title = Text(visible(progress.title), "bold")
    title.truncate(max(10, width - len(right) - 2), overflow="ellipsis")
    title.append(" " * max(2, width - title.cell_len - len(right)))
    return title.append(right, COLOURS[moment.status])


def _phases(moment: Moment, width: int) -> list[Text]:
    progress = moment.progress
    stage = progress.stage
    if stage is None:
        return []
    now = moment.now if moment.status == "running" else progress.last
    line = Text.assemble("phase ", (f"{stage.number} of {stage.of}", "bold"), ": ", (visible(stage.name), "bold"))
    line.append(f", {human_time(stage.seconds(now))}")
    before = progress.stages[:-1]
    if not before:
        return [line]
    told = [f"{visible(one.name)} {'(kept)' if one.kept else human_time(one.seconds(now))}" for one in before]
    done = Text(f"done: {', '.join(told)}", "bright_black")
    if done.cell_len > width:
        done = Text(f"done: {', '.join(visible(one.name) for one in before)}", "bright_black")
    return [line, done]


def _steps(moment: Moment, width: int, *, fancy: bool) -> list[Text]:
    steps = moment.progress.steps
    if not steps.whole:
        return []
    part = steps.done / steps.whole
    count = f" [{steps.done}/{steps.whole}] {int(100 * part)} %"
    style = "green" if moment.status in {"running", "done"} else "yellow"
    lines = [bar(part, width - len(count), style, fancy=fancy).append(count, "bold")]
    if moment.status == "running":
        lines.append(_forecast(moment))
    return lines


def _forecast(moment: Moment) -> Text:
    found = moment.estimate
    if found is None:
        left = moment.progress.steps.left
        return Text("time left: not known yet" if left else "all steps are done", "bright_black")
    ends = time.strftime("%H:%M", time.localtime(moment.now + found.seconds))
    low, high = human_time(found.low), human_time(found.high)
    span = "" if low == high else f"  ({low} to {high})"
    basis = "an earlier build" if found.basis == "history" else "its pace alone"
    about = (f"about {human_time(found.seconds)}", "bold")
    return Text.assemble("time left: ", about, span, f", until {ends}", (f"  by {basis}", "bright_black"))


def _machine(sample: Sample, progress: Progress, width: int, *, fancy: bool) -> list[Text]:
    size = max(8, min(24, width // 4))
    used = sample.memory_total - sample.memory_available
    part = used / max(1, sample.memory_total)
    cpus = progress.runs[-1].begin.cpus
    cpu = Text("processors  ").append_text(bar(sample.cpu, size, "green", fancy=fancy))
    cpu.append(f" {sample.cpu:4.0%}  build {sample.build_cpu:.1f} of {cpus}")
    if sample.temperature is not None:
        cpu.append(f"  {sample.temperature:.0f} °C")
    memory = Text("memory      ").append_text(bar(part, size, "red" if part > _FULL else "green", fancy=fancy))
    memory.append(f" {part:4.0%}  {human_bytes(used)} of {human_bytes(sample.memory_total)}")
    if sample.some_pressure is not None:
        memory.append(f"  pressure {sample.some_pressure:.0f} %")
    held = sum(job.paused for job in sample.jobs)
    last = Text(f"jobs        {len(sample.jobs) - held} of at most {progress.limit}")
    if held:
        last.append(f", {held} held", "yellow")
    swap = f"{human_bytes(sample.swap_used)} of {human_bytes(sample.swap_total)}" if sample.swap_total else "none"
    last.append(f"   swap {swap}   disk {human_bytes(sample.disk_free)} free")
    return [cpu, memory, last]


def _job_lines(jobs: Sequence[Job], room: int, width: int) -> list[Text]:
    """Return a table of at most ``room`` lines, with its heading."""
    if not jobs or room < 2:  # noqa: PLR2004 -- a heading and a line
        return []
    wide = width >= _WIDE
    # The columns for tool, time and memory take 27; processor time and process another 17.
    name = max(10, width - (44 if wide else 27) - 1)
    heading = f"{'at work on':<{name}} {'tool':<8} {'for':>8} {'memory':>8}"
    lines = [Text(heading + (f" {'cpu':>7} {'pid':>8}" if wide else ""), "bold")]
    fits = len(jobs) if len(jobs) <= room - 1 else room - 2
    for job in sorted(jobs, key=lambda job: (job.paused, -job.seconds))[:fits]:
        what = Text(visible(job.what or job.tool))
        what.truncate(name, overflow="ellipsis", pad=True)
        tool = Text(" held" if job.paused else f" {visible(job.tool)}")
        tool.truncate(9, overflow="ellipsis", pad=True)
        line = what.append_text(tool)
        line.append(f" {human_time(job.seconds):>8} {human_bytes(job.memory):>8}")
        if wide:
            line.append(f" {human_time(job.cpu):>7} {job.pid:>8}")
        if job.paused:
            line.stylize("yellow")
        lines.append(line)
    if fits < len(jobs):
        lines.append(Text(f"and {thousands(len(jobs) - fits)} more", "bright_black"))
    return lines


def note_line(when: float, note: Note) -> Text:
    """Return a note with its time."""
    line = Text(time.strftime("%H:%M ", time.localtime(when)), "bright_black")
    return line.append(visible(note.text), "yellow" if note.level == "warning" else "default")


def _health(moment: Moment, console: Console, width: int) -> list[Text]:
    health = moment.health
    if health is None:
        return []
    told = Text(visible(health.text), COLOURS[health.state])
    lines = [Text(), *told.wrap(console, width)]
    for sentence in health.also:
        lines += Text(visible(sentence), "yellow").wrap(console, width)
    return lines
