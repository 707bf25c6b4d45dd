from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debtool.build.journal import Begin, Edge, End, Entry, Phase, Sample
from debtool.build.ninja import output_of
from debtool.build.pace import (
    Estimate,
    durations_of,
    estimate,
    estimate_steps,
    human_time,
    keep_history,
    nearest_history,
    read_history,
)
from debtool.build.progress import Finished, Progress, Steps
from tests.support.recording import rocm_recording

REAL = Path(__file__).parents[1] / "data" / "torch" / "compile-2.6.0.tsv"


def real_build() -> tuple[list[Finished], dict[str, float]]:
    """The first steps of a real build of PyTorch, and the seconds that each took."""
    finished, log = [], {}
    for line in REAL.read_text().splitlines()[1:]:
        worked, seconds, what = line.split("\t")
        finished.append(Finished(float(worked), float(worked), output_of(what)))
        if seconds:
            log[output_of(what)] = float(seconds)
    return finished, durations_of(finished, log)


def told_at(part: float, history: dict[str, float]) -> tuple[Estimate | None, float]:
    """What was said of the real build when ``part`` of its steps were done, and what was really left."""
    finished, _ = real_build()
    done = int(part * len(finished))
    steps = Steps(len(finished) - done, len(finished), finished[:done])
    return estimate_steps(steps, finished[done - 1].worked, history, 2.0), finished[-1].worked - finished[
        done - 1
    ].worked


@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_with_the_record_of_an_earlier_build_the_time_left_is_known_to_a_tenth(part: float) -> None:
    _, history = real_build()
    found, left = told_at(part, history)
    assert found is not None
    assert found.basis == "history"
    assert found.seconds == pytest.approx(left, rel=0.1)
    assert found.low <= left <= found.high


@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_the_record_of_a_faster_machine_and_another_release_serves_as_well(part: float) -> None:
    _, history = real_build()
    pick = random.Random(5)  # noqa: S311 -- nothing is to be kept secret
    other = {output: seconds / 3 * pick.uniform(0.7, 1.4) for output, seconds in history.items() if pick.random() < 0.9}
    obsolete = pick.sample(list(other.values()), len(other) // 10)
    other |= {f"gone/{number}.o": seconds for number, seconds in enumerate(obsolete)}
    found, left = told_at(part, other)
    assert found is not None
    assert found.seconds == pytest.approx(left, rel=0.3)


def test_the_pace_alone_says_nothing_before_it_knows_something_and_then_the_range_holds() -> None:
    # The first half of these steps took a tenth of the time: there is nothing in their number that tells.
    assert told_at(0.25, {})[0] is None
    assert told_at(0.5, {})[0] is None
    found, left = told_at(0.75, {})
    assert found is not None
    assert found.basis == "pace"
    assert found.low <= left <= found.high
    assert found.seconds < left / 2  # no more than that can be had from a number of steps


def even(count: int, seconds: float = 10.0, *, left: int = 100) -> Steps:
    """``count`` finished steps, one every ``seconds``."""
    finished = [Finished(seconds * n, seconds * n, f"{n}.o") for n in range(1, count + 1)]
    return Steps(left, count + left, finished)


def record(count: int, seconds: float = 10.0) -> dict[str, float]:
    return {f"{number}.o": seconds for number in range(1, count + 1)}


def test_an_even_pace_goes_on() -> None:
    found = estimate_steps(even(100), 1000.0, {})
    assert found is not None
    assert found.seconds == pytest.approx(1000)
    assert found.low < 1000 < found.high


def test_nothing_is_said_of_what_is_done_or_has_hardly_begun() -> None:
    assert estimate_steps(even(100, left=0), 1000.0, {}) is None
    assert estimate_steps(even(10), 100.0, {}) is None
    assert estimate_steps(even(100, 0.5), 50.0, {}) is None
    assert estimate_steps(Steps(), 0.0, {}) is None


def test_the_range_tells_of_a_pace_that_has_changed() -> None:
    fast = [Finished(n, n, f"{n}.o") for n in range(1, 1001)]
    slow = [Finished(1000 + 10 * n, 1000 + 10 * n, f"slow{n}.o") for n in range(1, 101)]
    found = estimate_steps(Steps(100, 1200, fast + slow), 2000.0, {})
    assert found is not None
    assert found.low < 200
    assert found.high > 900


def test_while_long_steps_are_at_work_the_time_left_of_a_record_runs_down() -> None:
    steps, history = even(100), record(200)
    at_once = estimate_steps(steps, 1000.0, history)
    later = estimate_steps(steps, 1300.0, history)
    assert at_once is not None
    assert later is not None
    assert at_once.seconds == pytest.approx(1000)
    assert later.seconds == pytest.approx(700)
    # What has lasted longer than all that should have been left lasts on, for nobody knows how long.
    endless = estimate_steps(steps, 5000.0, history)
    assert endless is not None
    assert endless.seconds == pytest.approx(2000)


def test_a_pace_without_a_record_falls_while_nothing_finishes() -> None:
    at_once, later = estimate_steps(even(100), 1000.0, {}), estimate_steps(even(100), 1600.0, {})
    assert at_once is not None
    assert later is not None
    assert later.seconds > at_once.seconds


def test_the_last_long_step_is_not_shared_among_jobs() -> None:
    history = {**record(100, 80.0), "libtorch.so": 600.0}
    finished = even(100, left=1)
    found = estimate_steps(finished, 1000.0, history, parallel=8.0)
    assert found is not None
    assert found.seconds == pytest.approx(600)


def test_a_record_of_something_else_is_no_record() -> None:
    found = estimate_steps(even(100), 1000.0, {f"other{number}.o": 1.0 for number in range(500)})
    assert found is not None
    assert found.basis == "pace"


def test_a_record_of_nothing_but_noughts_does_no_harm() -> None:
    found = estimate_steps(even(100), 1000.0, record(200, 0.0))
    assert found is not None
    assert found.seconds == pytest.approx(1000)


def test_the_time_between_two_runs_does_not_count() -> None:
    progress = Progress()
    began = 0.0
    for run in range(2):
        began = run * 50_000.0
        progress.take(Entry(began, Begin("torch", 1, "boot", 2, 10**9, 2)))
        progress.take(Entry(began, Phase("compile", 1, 1)))
        for number in range(1, 51):
            edge = Edge(number, 200 - 50 * run, f"Building CXX object {run}-{number}.o")
            progress.take(Entry(began + 10 * number, edge))
        if run == 0:
            progress.take(Entry(began + 500, End("interrupted", "")))
    found = estimate(progress, began + 500)
    assert found is not None
    assert found.seconds == pytest.approx(1000, rel=0.01)


def test_the_recorded_build_with_the_record_of_itself() -> None:
    """A quarter of an hour without a finished step, a killed compiler and fewer jobs, each at its worst moment."""
    entries = list(rocm_recording())
    edges = [entry for entry in entries if isinstance(entry.event, Edge)]
    seen: dict[str, float] = {}
    for entry in entries:
        for job in entry.event.jobs if isinstance(entry.event, Sample) else ():
            seen[job.what.removesuffix(" (gfx1030)")] = job.seconds
    outputs = [output_of(entry.event.what) for entry in edges if isinstance(entry.event, Edge)]
    history = {output: seen.get(output.rpartition("/")[2].removesuffix(".o"), 1.0) for output in outputs}
    progress = Progress()
    off: dict[int, float] = {}
    for entry in entries:
        progress.take(entry)
        minute = int((entry.time - entries[0].time) // 60)
        if minute in {20, 30, 45, 55, 72, 80} and minute not in off:
            found = estimate(progress, entry.time, history)
            assert found is not None
            assert found.basis == "history"
            off[minute] = found.seconds / (edges[-1].time - entry.time) - 1
    assert len(off) == 6
    assert {minute: part for minute, part in off.items() if abs(part) > 0.3} == {}


def test_a_record_is_kept_whole_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "build" / "history.json"
    keep_history(path, {"a.o": 1.234567, "b\udcff.o": 20.0})
    assert read_history(path) == {"a.o": 1.23, "b\udcff.o": 20.0}
    assert [entry.name for entry in path.parent.iterdir()] == ["history.json"]


def test_what_a_compiler_cache_answered_does_not_make_a_record_shorter(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    keep_history(path, {"a.o": 30.0, "b.o": 2.0, "gone.o": 1.0})
    keep_history(path, {"a.o": 0.1, "b.o": 3.0, "new.o": 4.0})
    assert read_history(path) == {"a.o": 30.0, "b.o": 3.0, "new.o": 4.0}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seconds": 5}', '{"seconds": {"a.o": "soon"}}', "\xff"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.json"
    assert read_history(path) == {}
    path.write_bytes(text.encode("latin-1"))
    assert read_history(path) == {}


VALUES = st.recursive(
    st.none() | st.floats() | st.text(max_size=3), lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from(["seconds", "schema"]), VALUES))
def test_whatever_stands_in_a_record_its_seconds_are_numbers(
    tmp_path_factory: pytest.TempPathFactory, values: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "history.json"
    path.write_text(json.dumps(values))
    assert all(0 <= seconds < float("inf") for seconds in read_history(path).values())


def test_the_nearest_record_is_the_build_s_own_and_else_the_newest(tmp_path: Path) -> None:
    journal = tmp_path / "torch-2.7.1" / "journal.jsonl"
    assert nearest_history(journal) is None
    for age, name in enumerate(["torch-2.6.0", "torch-2.5.1"]):
        keep_history(tmp_path / name / "history.json", {"a.o": 1.0})
        os.utime(tmp_path / name / "history.json", (1000 - age, 1000 - age))
    assert nearest_history(journal) == tmp_path / "torch-2.6.0" / "history.json"
    keep_history(journal.with_name("history.json"), {"a.o": 1.0})
    assert nearest_history(journal) == journal.with_name("history.json")


def test_only_outputs_that_steps_were_named_by_are_in_a_record() -> None:
    finished = [Finished(1, 1, "a.o"), Finished(2, 2, "Running utility command for x")]
    assert durations_of(finished, {"a.o": 5.0, "a.d": 5.0, "b.h": 9.0}) == {"a.o": 5.0}


@given(st.floats(0, 1e7))
def test_durations_have_two_units_at_most(seconds: float) -> None:
    told = human_time(seconds).split()
    assert len(told) in {2, 4}
    assert all(int(number) >= 0 for number in told[::2])
    assert human_time(3599.9) == "1 h"
    assert human_time(-5) == "0 s"
