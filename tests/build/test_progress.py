from __future__ import annotations

import subprocess
import sys
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from debtool.build.journal import Begin, Edge, End, Entry, Event, Limit, Note, Phase, Sample
from debtool.build.progress import Progress, Status
from debtool.deb.workers import is_alive
from tests.support.recording import STEPS, rocm_recording

BEGIN = Begin("torch 2.7.1 for noble", 77, "boot", 8, 32 * 10**9, 8)
SAMPLE = Sample(0.9, 7.5, 32 * 10**9, 20 * 10**9, 0, 0, 0.0, 0.0, 10**11, 60.0)


def after(*events: tuple[float, Event]) -> Progress:
    progress = Progress()
    for when, event in events:
        progress.take(Entry(when, event))
    return progress


def test_a_run_has_phases_and_steps() -> None:
    progress = after(
        (0, BEGIN),
        (0, Phase("source", 1, 3)),
        (60, Phase("compile", 2, 3)),
        (70, Edge(1, 4, "Building CXX object a.o")),
        (75, SAMPLE),
        (80, Edge(2, 4, "Building CXX object b.o")),
    )
    assert progress.title == "torch 2.7.1 for noble"
    assert [(stage.name, stage.seconds(100)) for stage in progress.stages] == [("source", 60), ("compile", 40)]
    assert (progress.steps.done, progress.steps.whole, progress.steps.left) == (2, 4, 2)
    assert [(step.time, step.worked, step.output) for step in progress.steps.finished] == [
        (70, 10, "a.o"),
        (80, 20, "b.o"),
    ]
    assert (progress.worked(100), progress.elapsed(100), progress.active) == (40, 100, 80)
    assert progress.sample is SAMPLE
    assert progress.limit == 8


def test_a_build_that_goes_on_counts_on_and_does_not_count_the_night_between() -> None:
    progress = after(
        (0, BEGIN),
        (0, Phase("compile", 1, 1)),
        (100, Edge(400, 1000, "Building CXX object a.o")),
        (110, End("interrupted", "asked to stop")),
        (40_000, BEGIN),
        (40_000, Phase("compile", 1, 1)),
        (40_030, Edge(1, 600, "Building CXX object b.o")),
    )
    assert (progress.steps.done, progress.steps.whole, progress.steps.left) == (401, 1000, 599)
    assert progress.steps.finished[-1].worked == 140
    assert (progress.worked(40_040), progress.elapsed(40_040)) == (150, 150)
    assert progress.ended is None
    assert len(progress.runs) == 2


def test_a_run_that_was_killed_lasted_until_the_last_that_was_heard_of_it() -> None:
    progress = after(
        (0, BEGIN),
        (0, Phase("compile", 1, 1)),
        (50, Edge(1, 10, "Building CXX object a.o")),
        (55, SAMPLE),
        (9000, BEGIN),
        (9001, Phase("compile", 1, 1)),
    )
    assert progress.worked(9011) == 65
    assert progress.elapsed(9011) == 66
    assert progress.sample is None
    assert not progress.recent


def test_ninja_is_started_anew_within_a_run() -> None:
    generator = (1, Edge(1, 4, "Generating a.h"))
    progress = after(
        (0, BEGIN),
        (0, Phase("compile", 1, 1)),
        generator,
        (2, Edge(1, 100, "Building CXX object a.o")),
        (3, Edge(50, 100, "Building CXX object b.o")),
        (4, Limit(6, "c.o was killed for memory")),
        (5, Edge(1, 50, "Building CXX object c.o")),
    )
    assert (progress.steps.done, progress.steps.whole) == (51, 100)
    assert progress.limit == 6


def test_phases_count_for_themselves() -> None:
    progress = after(
        (0, BEGIN),
        (0, Phase("compile", 1, 2)),
        (9, Edge(900, 900, "Linking CXX shared library libtorch.so")),
        (10, Phase("torchvision", 2, 2)),
    )
    assert progress.steps.whole == 0
    progress.take(Entry(12, Edge(1, 60, "Building CXX object v.o")))
    assert (progress.steps.done, progress.steps.whole, progress.steps.finished[0].worked) == (1, 60, 2)


def test_the_last_notes_and_minutes_are_kept() -> None:
    progress = after((0, BEGIN), (0, Phase("compile", 1, 1)))
    for number in range(1000):
        progress.take(Entry(number, Note(f"note {number}")))
        progress.take(Entry(number, SAMPLE))
    assert [note.text for _, note in progress.notes] == [f"note {number}" for number in range(980, 1000)]
    assert progress.recent[0][0] == 399


def test_what_a_build_is_at() -> None:
    def at(*events: tuple[float, Event], living: bool = True, boot: str = "boot") -> Status:
        return after(*events).status(boot, lambda pid: living and pid == 77)

    assert at() == "waiting"
    assert at((0, BEGIN)) == "running"
    assert at((0, BEGIN), living=False) == "dead"
    assert at((0, BEGIN), boot="another") == "dead"
    assert at((0, BEGIN), (9, End("done", "a.whl")), living=False) == "done"
    assert at((0, BEGIN), (9, End("failed", "…"))) == "failed"
    assert at((0, BEGIN), (9, End("interrupted", "…")), (20, BEGIN)) == "running"


def test_a_process_lives_or_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_alive(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        assert not is_alive(process.pid)
    assert is_alive(1)


def test_the_recorded_build_is_followed_to_its_end() -> None:
    progress = Progress()
    before = 0
    for entry in rocm_recording():
        progress.take(entry)
        if isinstance(entry.event, Edge):
            # The kernel killed a compiler on the way, and ninja counted anew: what people see never goes back.
            assert progress.steps.done == before + 1
            before += 1
            assert progress.steps.whole == STEPS
    assert before == STEPS
    assert progress.status("any") == "done"


def events() -> st.SearchStrategy[Event]:
    counts = st.integers(0, 50)
    return st.one_of(
        st.just(BEGIN),
        st.builds(Phase, st.sampled_from(["source", "compile"]), st.just(1), st.just(2), st.booleans()),
        st.builds(Edge, counts, counts, st.text(max_size=5)),
        st.just(SAMPLE),
        st.builds(Limit, st.integers(1, 9), st.just("")),
        st.builds(Note, st.text(max_size=5)),
        st.builds(End, st.sampled_from(["done", "failed", "interrupted"]), st.just("")),
    )


@given(st.lists(st.tuples(st.floats(0, 1e6), events()), max_size=30))
def test_whatever_a_journal_says_the_figures_are_possible(told: list[tuple[float, Event]]) -> None:
    progress = after(*told)
    now = progress.last + 5
    assert 0 <= progress.steps.done <= progress.steps.whole
    assert progress.worked(now) >= 0
    assert progress.elapsed(now) >= 0
    assert progress.status("boot", lambda _: True) in get_args(Status)


def test_what_ninja_counts_before_it_reads_its_file_again_is_not_how_far_the_build_is() -> None:
    progress = Progress()
    begin = Begin("torch", 1, "boot", 2, 2**34, 2)
    compiling = Phase("compile", 5, 9)
    first: list[Event] = [begin, compiling, Edge(500, 1401, "Building CXX object a.o")]
    again: list[Event] = [begin, compiling, Edge(1, 4, "Generating ATen headers"), Edge(2, 4, "Re-running CMake...")]
    for time, event in enumerate(first + again):
        progress.take(Entry(time, event))
    assert (progress.steps.done, progress.steps.whole) == (500, 1401)
    progress.take(Entry(9, Edge(1, 900, "Building CXX object b.o")))
    assert (progress.steps.done, progress.steps.whole) == (502, 1401)


def test_a_note_that_every_run_repeats_is_told_once() -> None:
    progress = Progress()
    for time, text in enumerate(["swap: none", "source: verified", "swap: none"]):
        progress.take(Entry(time, Note(text)))
    assert [(time, note.text) for time, note in progress.notes] == [(1, "source: verified"), (2, "swap: none")]
