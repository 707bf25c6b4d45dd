from __future__ import annotations

from dataclasses import replace

from debtool.build.health import Health, judge
from debtool.build.journal import Begin, Edge, Entry, Event, Job, Phase, Sample
from debtool.build.progress import Progress
from tests.support.recording import HELD_FROM, HELD_TO, OOM_AT, QUIET_FROM, rocm_recording

GB = 10**9
FUNCTIONS = Job(501, "cc1plus", "Functions.cpp", 360.0, 350.0, GB)
OTHER = Job(502, "cc1plus", "Other.cpp", 20.0, 19.0, GB)
BUSY = Sample(0.9, 1.9, 32 * GB, 20 * GB, 8 * GB, 0, 0.0, 0.0, 100 * GB, 60.0, (FUNCTIONS, OTHER))
IDLE = replace(BUSY, cpu=0.0, build_cpu=0.0)


def compiling(*events: tuple[float, Event]) -> Progress:
    """A build that began to compile at 0 and has finished a step at 10."""
    progress = Progress()
    begin: list[tuple[float, Event]] = [
        (0.0, Begin("torch", 77, "boot", 2, 32 * GB, 2)),
        (0.0, Phase("compile", 5, 7)),
        (10.0, Edge(1, 100, "Building CXX object a.o")),
    ]
    for when, event in [*begin, *events]:
        progress.take(Entry(when, event))
    return progress


def health_of(sample: Sample, *, since: float = 15.0, until: float = 20.0) -> Health:
    """The verdict after ``sample`` was seen every five seconds."""
    times = [since + 5 * number for number in range(int((until - since) / 5) + 1)]
    return judge(compiling(*((when, sample) for when in times)), until)


def test_working() -> None:
    found = health_of(BUSY)
    assert found == Health("working", "2 compilers are at work, the longest on Functions.cpp for 6 min.")
    assert health_of(replace(BUSY, jobs=(OTHER,))).text == "1 compiler is at work, on Other.cpp for 20 s."
    assert health_of(replace(BUSY, jobs=(replace(OTHER, tool="ld", what=""),))).text.endswith("at work, ld for 20 s.")


def test_before_anything_is_measured() -> None:
    progress = Progress()
    progress.take(Entry(0, Begin("torch", 77, "boot", 2, GB, 2)))
    assert judge(progress, 5.0).state == "working"
    progress.take(Entry(5, Phase("source", 1, 7)))
    # Nobody samples while sources are fetched: that the journal is silent means nothing then.
    assert judge(progress, 900.0) == Health("working", "source is at work, for 15 min.")


def test_quiet_is_normal_while_compilers_compute() -> None:
    found = health_of(BUSY, until=250.0)
    assert found.state == "quiet"
    assert found.text == (
        "No step has finished for 4 min. That is normal: 2 compilers are at work and use the processor, the longest on "
        "Functions.cpp for 6 min."
    )
    assert health_of(replace(BUSY, jobs=(FUNCTIONS,)), until=250.0).text.endswith(
        "1 compiler is at work and uses the processor, on Functions.cpp for 6 min."
    )
    assert health_of(BUSY, until=65.0).state == "working"


def test_quiet_without_any_compiler_is_told_as_what_it_is() -> None:
    found = health_of(replace(BUSY, jobs=()), until=100.0)
    assert found.text == "No step has finished for 2 min, and no compiler is at work: compile does the rest."


def test_stuck_when_nothing_computes_for_two_minutes() -> None:
    assert health_of(IDLE, until=130.0).state == "quiet"
    found = health_of(IDLE, until=200.0)
    assert found.state == "stuck"
    assert found.text == (
        "Nothing of the build has used the processor for 3 min: it seems stuck. Alive: cc1plus on Functions.cpp for "
        "6 min (process 501) and 1 more. Ctrl-C where it was started, then the same command, goes on from here."
    )
    assert "No compiler is alive." in health_of(replace(IDLE, jobs=()), until=200.0).text
    held = tuple(replace(job, paused=True) for job in IDLE.jobs)
    assert "All of 2 compilers are held." in health_of(replace(IDLE, jobs=held), until=200.0).text


def test_not_stuck_while_a_compiler_waits_for_the_disk() -> None:
    jobs = tuple(replace(job, waits=True) for job in IDLE.jobs)
    found = health_of(replace(IDLE, jobs=jobs), until=200.0)
    assert found.state == "quiet"
    assert found.text.endswith(
        "2 compilers are at work, the longest on Functions.cpp for 6 min, and wait for the disk."
    )


def test_not_stuck_when_the_processor_was_used_between_two_samples() -> None:
    # A sample tells of the moment before it alone: the compilers' own clocks tell of all of the time.
    progress = compiling()
    for number in range(40):
        jobs = (replace(FUNCTIONS, cpu=10.0 + number),)
        progress.take(Entry(15.0 + 5 * number, replace(IDLE, jobs=jobs)))
    assert judge(progress, 210.0).state == "quiet"


def test_not_stuck_when_it_has_only_just_stopped_to_compute() -> None:
    progress = compiling(*((when, BUSY if when < 150 else IDLE) for when in map(float, range(15, 260, 5))))
    assert judge(progress, 260.0).state == "quiet"
    assert judge(progress, 275.0).state == "stuck"


def test_a_download_is_not_stuck() -> None:
    progress = Progress()
    progress.take(Entry(0, Begin("torch", 77, "boot", 2, GB, 2)))
    progress.take(Entry(0, Phase("source", 1, 7)))
    for number in range(100):
        progress.take(Entry(5.0 * number, replace(IDLE, jobs=())))
    found = judge(progress, 500.0)
    assert (found.state, found.text.split(":")[1]) == ("quiet", " it waits for the network or the disk.")


def test_held() -> None:
    jobs = (FUNCTIONS, replace(OTHER, paused=True))
    found = health_of(replace(BUSY, jobs=jobs))
    assert found == Health("held", "1 of 2 compilers is held until memory is free again; the others go on.")


def test_swapping_by_pressure() -> None:
    found = health_of(replace(BUSY, swap_used=3 * GB, some_pressure=40.0, full_pressure=17.4))
    assert found.state == "swapping"
    assert found.text == (
        "The machine is swapping: programs wait for memory 17 % of the time, 3 GB of 8 GB swap used; fewer jobs help."
    )
    none = health_of(replace(BUSY, swap_total=0, full_pressure=17.4))
    assert (none.state, "no swap to use" in none.text) == ("swapping", True)
    assert health_of(replace(BUSY, swap_used=8 * GB, full_pressure=1.0)).state == "working"


def test_swapping_where_the_kernel_tells_no_pressure() -> None:
    plain = replace(BUSY, some_pressure=None, full_pressure=None)
    grown = [(15.0 + 5 * number, replace(plain, swap_used=number * GB // 10)) for number in range(10)]
    assert judge(compiling(*grown), 60.0).state == "swapping"
    # What was moved out long ago harms nobody.
    still = [(when + 100, replace(plain, swap_used=GB)) for when, _ in grown]
    assert judge(compiling(*still), 160.0).state == "quiet"


def test_silent_when_nobody_writes_the_journal() -> None:
    found = judge(compiling((15.0, BUSY)), 15.0 + 180)
    assert found.state == "silent"
    assert found.text.startswith("Nothing was written to the journal for 3 min, though process 77 lives")


def test_heat_and_a_full_disk_are_only_told() -> None:
    found = health_of(replace(BUSY, temperature=93.4, disk_free=int(1.2e9)))
    assert found.state == "working"
    assert found.also == (
        "The processor is at 93 °C and may run slower for it.",
        "Only 1.2 GB are free on the disk.",
    )
    assert health_of(replace(BUSY, temperature=None)).also == ()


def test_the_recorded_build_is_judged_as_it_went() -> None:
    progress = Progress()
    states: dict[str, set[int]] = {}
    for entry in rocm_recording():
        progress.take(entry)
        if isinstance(entry.event, Sample):
            states.setdefault(judge(progress, entry.time).state, set()).add(progress.steps.done)
    assert states.keys() == {"working", "quiet", "held", "swapping"}
    assert QUIET_FROM in states["quiet"]
    assert min(states["held"]) >= HELD_FROM
    assert max(states["held"]) <= HELD_TO + 10
    assert OOM_AT - 100 <= min(states["swapping"]) <= max(states["swapping"]) <= OOM_AT + 1
