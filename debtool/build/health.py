"""How a build is doing at this moment, in a sentence for people: busy, quiet and normal, or in trouble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from debtool.build.pace import human_time
from debtool.model.text import amount, human_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from debtool.build.journal import Job, Sample
    from debtool.build.progress import Progress, Stage

State: TypeAlias = Literal["working", "quiet", "held", "swapping", "stuck", "silent"]

QUIET_AFTER = 60.0
"""Seconds without a finished step from which people wonder. PyTorch's large units take minutes, device code more."""
STUCK_AFTER = 120.0
"""Seconds without any use of the processor from which a build is called stuck: compilers compute all the time, and what
waits for a disk, or for memory, is told apart."""
STUCK_BELOW = 0.02
"""Processors that count as none: ninja and this program themselves use a hundredth now and then."""
SILENT_AFTER = 120.0
"""Seconds without an entry in the journal, which gets one every five seconds, from which the driver is in doubt."""
SWAPPING_FROM = 10.0
"""Percent of time in which everything waited for memory (PSI ``full avg10``) from which a build loses clearly more to
swapping than it wins by another job. systemd-oomd kills at 60 %, over half a minute."""
SWAP_GROWTH = 256 * 10**6
"""Bytes by which used swap grows within `SWAP_WINDOW` where a machine without PSI is called swapping: idle programs
that are moved out once are less."""
SWAP_WINDOW = 60.0
"""Seconds."""
HOT_FROM = 90.0
"""Degrees from which a processor may run slower: Intel's throttle themselves at 95 to 105 (TjMax)."""
DISK_LOW = 2 * 10**9
"""Free bytes that linking PyTorch's libraries may need: libtorch_hip.so alone has more than one gigabyte."""


@dataclass(frozen=True, slots=True)
class Health:
    """A verdict.

    Attributes:
        state: ``working``; ``quiet``: nothing finishes, which is normal; ``held``: jobs wait until memory is free;
            ``swapping``: memory is so short that little else happens; ``stuck``: nothing happens; ``silent``: nobody
            writes the journal.
        text: The same in words.
        also: What else should be known, each a sentence: heat, a disk that fills.
    """

    state: State
    text: str
    also: tuple[str, ...] = ()


def judge(progress: Progress, now: float) -> Health:
    """Return how a running build is doing at ``now``."""
    state, text = _verdict(progress, now)
    return Health(state, text, () if state == "silent" else _also(progress.sample))


def _verdict(progress: Progress, now: float) -> tuple[State, str]:
    stage, sample = progress.stage, progress.sample
    if stage is None:
        return "working", "The build begins."
    if sample is None or not progress.recent or progress.recent[-1][0] < stage.began:
        return "working", f"{stage.name} is at work, for {human_time(stage.seconds(now))}."
    return _trouble(progress, stage, sample, now) or _calm(progress, stage, sample, now)


def _trouble(progress: Progress, stage: Stage, sample: Sample, now: float) -> tuple[State, str] | None:
    if (unheard := now - progress.last) >= SILENT_AFTER:
        pid = progress.runs[-1].begin.pid
        return "silent", (
            f"Nothing was written to the journal for {human_time(unheard)}, though process {pid} lives: it is stopped "
            f"(`kill -CONT {pid}`), its disk is full, or the machine is overloaded."
        )
    if swapping := _swapping(progress, sample):
        return "swapping", swapping
    idle = _idle(progress, now)
    if idle < STUCK_AFTER or any(job.waits and not job.paused for job in sample.jobs):
        return None
    if not progress.steps.finished and not sample.jobs:
        return "quiet", (
            f"{stage.name} has not used the processor for {human_time(idle)}: it waits for the network or the disk."
        )
    return "stuck", (
        f"Nothing of the build has used the processor for {human_time(idle)}: it seems stuck. {_alive(sample.jobs)} "
        "Ctrl-C where it was started, then the same command, goes on from here."
    )


def _calm(progress: Progress, stage: Stage, sample: Sample, now: float) -> tuple[State, str]:
    running = [job for job in sample.jobs if not job.paused]
    if held := len(sample.jobs) - len(running):
        compilers = amount(len(sample.jobs), "compiler")
        return "held", f"{held} of {compilers} {_be(held)} held until memory is free again; the others go on."
    since = human_time(now - progress.active)
    quiet = now - progress.active >= QUIET_AFTER and bool(progress.steps.finished)
    longest = max(running, key=lambda job: job.seconds, default=None)
    quiet = now - progress.active >= QUIET_AFTER
    if longest is None:
        if quiet:
            return "quiet", f"No step has finished for {since}, and no compiler is at work: {stage.name} does the rest."
        return "working", f"{stage.name} is at work, for {human_time(stage.seconds(now))}."
    count = f"{amount(len(running), 'compiler')} {_be(len(running))} at work"
    which = f"{'the longest ' if len(running) > 1 else ''}{_on(longest)} for {human_time(longest.seconds)}"
    if not quiet:
        return "working", f"{count}, {which}."
    if all(job.waits for job in running):
        return "quiet", f"No step has finished for {since}: {count}, {which}, and {_wait(len(running))} for the disk."
    using = "use" if len(running) > 1 else "uses"
    return "quiet", f"No step has finished for {since}. That is normal: {count} and {using} the processor, {which}."


def _idle(progress: Progress, now: float) -> float:
    """Return the seconds up to ``now`` in which the build used no processor and finished nothing."""
    since = now
    later: dict[int, float] = {}
    for time, sample in reversed(progress.recent):
        # A sample tells only of the moment before it; what its compilers have used in all tells of the time between.
        used = any(later[job.pid] - job.cpu > STUCK_BELOW * (since - time) for job in sample.jobs if job.pid in later)
        if used or sample.build_cpu >= STUCK_BELOW:
            break
        since = time
        later = {job.pid: job.cpu for job in sample.jobs}
    return max(0.0, now - max(since, progress.active))


def _swapping(progress: Progress, sample: Sample) -> str | None:
    lost = sample.full_pressure
    if lost is not None:
        if lost < SWAPPING_FROM:
            return None
        told = f"programs wait for memory {lost:.0f} % of the time"
    else:
        end = progress.recent[-1][0]
        window = [one.swap_used for time, one in progress.recent if end - time <= SWAP_WINDOW]
        growth = window[-1] - window[0]
        if growth < SWAP_GROWTH:
            return None
        told = f"{human_bytes(growth)} went to swap within {human_time(SWAP_WINDOW)}"
    if sample.swap_used == 0:
        return f"The machine is short of memory: {told}, and it has no swap to use; fewer jobs or some swap help."
    used = f"{human_bytes(sample.swap_used)} of {human_bytes(sample.swap_total)} swap used"
    return f"The machine is swapping: {told}, {used}; fewer jobs help."


def _alive(jobs: Sequence[Job]) -> str:
    if not jobs:
        return "No compiler is alive."
    if all(job.paused for job in jobs):
        return f"All of {amount(len(jobs), 'compiler')} are held."
    first = max(jobs, key=lambda job: job.seconds)
    rest = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    name = f"{first.tool} {_on(first)}" if first.what else first.tool
    return f"Alive: {name} for {human_time(first.seconds)} (process {first.pid}){rest}."


def _also(sample: Sample | None) -> tuple[str, ...]:
    if sample is None:
        return ()
    told = []
    if sample.temperature is not None and sample.temperature >= HOT_FROM:
        told.append(f"The processor is at {sample.temperature:.0f} °C and may run slower for it.")
    if sample.disk_free < DISK_LOW:
        told.append(f"Only {human_bytes(sample.disk_free)} are free on the disk.")
    return tuple(told)


def _on(job: Job) -> str:
    return f"on {job.what}" if job.what else job.tool


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"
