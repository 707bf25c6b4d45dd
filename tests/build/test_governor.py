"""When jobs are held for want of memory, and when they are let go."""

from __future__ import annotations

from debtool.build.governor import Decision, Governor
from debtool.build.journal import Job, Sample

GIB = 2**30


def sample(available: float, *, full: float | None = 0.0, total: float = 16) -> Sample:
    return Sample(1.0, 2.0, int(total * GIB), int(available * GIB), 0, 0, full, full, 100 * GIB, None)


def job(pid: int, cpu: float, *, paused: bool = False) -> Job:
    return Job(pid, "cc1plus", f"{pid}.cpp", cpu, cpu, GIB, paused)


def test_with_memory_to_spare_nothing_is_held() -> None:
    assert Governor().decide(sample(8), [job(1, 5), job(2, 1)], 0) == Decision()


def test_the_youngest_is_held_when_memory_is_short() -> None:
    assert Governor().decide(sample(0.5), [job(1, 50), job(2, 1), job(3, 20)], 0) == Decision(hold=(2,))


def test_the_youngest_is_held_when_everything_waits_for_memory_though_some_is_said_to_be_available() -> None:
    assert Governor().decide(sample(8, full=40), [job(1, 50), job(2, 1)], 0) == Decision(hold=(2,))


def test_without_pressure_information_the_free_memory_decides() -> None:
    assert Governor().decide(sample(8, full=None), [job(1, 50), job(2, 1)], 0) == Decision()
    assert Governor().decide(sample(0.5, full=None), [job(1, 50), job(2, 1)], 0) == Decision(hold=(2,))


def test_the_last_running_job_is_never_held() -> None:
    assert Governor().decide(sample(0.1), [job(1, 50), job(2, 1, paused=True)], 0) == Decision()


def test_a_held_job_goes_on_when_there_is_room_and_not_before() -> None:
    jobs = [job(1, 50), job(2, 1, paused=True), job(3, 20, paused=True)]
    assert Governor().decide(sample(1.5), jobs, 0) == Decision()
    assert Governor().decide(sample(8, full=10), jobs, 0) == Decision()
    assert Governor().decide(sample(8), jobs, 0) == Decision(release=(3,))


def test_held_jobs_go_on_when_nothing_else_runs_however_short_memory_is() -> None:
    jobs = [job(2, 1, paused=True), job(3, 20, paused=True)]
    assert Governor().decide(sample(0.1), jobs, 0) == Decision(release=(3,))


def test_a_held_job_is_ended_when_a_single_one_stays_short_for_long() -> None:
    governor = Governor()
    jobs = [job(1, 50), job(2, 1, paused=True), job(3, 20, paused=True)]
    assert [governor.decide(sample(0.1), jobs, now) for now in (0, 30, 59)] == [Decision()] * 3
    assert governor.decide(sample(0.1), jobs, 60) == Decision(end=2)
    assert governor.decide(sample(0.1), jobs, 61) == Decision()


def test_the_patience_begins_anew_after_there_was_room() -> None:
    governor = Governor()
    jobs = [job(1, 50), job(2, 1, paused=True)]
    governor.decide(sample(0.1), jobs, 0)
    governor.decide(sample(1.5), jobs, 30)
    assert governor.decide(sample(0.1), jobs, 61) == Decision()


def test_a_small_machine_is_not_held_up_by_a_mark_for_large_ones() -> None:
    assert Governor().decide(sample(0.3, total=2), [job(1, 5), job(2, 1)], 0) == Decision()
    assert Governor().decide(sample(0.15, total=2), [job(1, 5), job(2, 1)], 0) == Decision(hold=(2,))
